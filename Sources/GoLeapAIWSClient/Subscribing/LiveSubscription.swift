// What one of several subscribers of a connection holds in its hands.

/// The events of one subscriber, as a sequence: what its channels and filters let pass, `gap`s of its channels, and what becomes of the
/// connection. It ends with `cancel()`, with the last reference to it, with the task that reads it, and when the client has stopped.
///
/// Any thread may cancel; one task reads.
public final class LiveSubscription: AsyncSequence, Sendable {
    public typealias Element = ClientEvent

    private let stream: AsyncStream<ClientEvent>
    private let end: @Sendable () -> Void

    init(_ stream: AsyncStream<ClientEvent>, end: @escaping @Sendable () -> Void) {
        self.stream = stream
        self.end = end
    }

    deinit { end() }

    /// Leaves the connection, which then asks for less.
    public func cancel() { end() }

    public func makeAsyncIterator() -> Iterator { Iterator(base: stream.makeAsyncIterator(), subscription: self) }

    public struct Iterator: AsyncIteratorProtocol {
        var base: AsyncStream<ClientEvent>.Iterator
        /// Lives as long as somebody reads.
        let subscription: LiveSubscription

        public mutating func next() async -> ClientEvent? { await base.next() }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> ClientEvent? { await base.next(isolation: actor) }
    }
}

/// Why there is no such subscription.
public enum SubscriptionError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What the daemon would not understand.
    case invalid(String)
    /// It needs a connection of its own, and there is none to be had.
    case full(String)

    public var description: String {
        switch self {
        case .invalid(let words), .full(let words): words
        }
    }
}
