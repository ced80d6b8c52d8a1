// Events for `for await`, in a buffer with a bound.

/// What one reader of `LiveClient.events` or of a `LiveSubscription` is still to get. Owner: the client's thread.
struct EventSequence {
    private let continuation: AsyncStream<ClientEvent>.Continuation
    /// Events that found no room, and of which the reader has not been told.
    private var lost = 0

    /// - Parameter most: events that may wait for the reader.
    static func make(most: Int) -> (stream: AsyncStream<ClientEvent>, sequence: EventSequence) {
        let (stream, continuation) = AsyncStream.makeStream(of: ClientEvent.self, bufferingPolicy: .bufferingOldest(max(2, most)))
        return (stream, EventSequence(continuation: continuation))
    }

    private init(continuation: AsyncStream<ClientEvent>.Continuation) { self.continuation = continuation }

    /// - Returns: false when the reader is gone.
    mutating func give(_ event: ClientEvent) -> Bool {
        guard tellLost() else { return false }
        // Behind events that are lost nothing may come before their gap.
        if lost > 0 {
            lost += 1
            return true
        }
        switch continuation.yield(event) {
        case .dropped: lost += 1
        case .terminated: return false
        default: break
        }
        return true
    }

    /// Tells of what is lost, as soon as there is room for it.
    /// - Returns: false when the reader is gone.
    mutating func tellLost() -> Bool {
        guard lost > 0 else { return true }
        switch continuation.yield(.gap(Gap(reason: Gap.readerReason, dropped: lost))) {
        case .enqueued: lost = 0
        case .terminated: return false
        default: break
        }
        return true
    }

    func finish() { continuation.finish() }

    /// - Parameter left: called once the reader is gone, or the sequence is finished; any thread.
    func whenLeft(_ left: @escaping @Sendable () -> Void) { continuation.onTermination = { _ in left() } }
}
