// What the engine asks of whoever knows addresses, rights and answers.

import Host
import Protocol

/// How a request goes on once its head is known.
public enum Route: Sendable {
    /// Answered without looking at a body.
    case answer(Response)
    /// Its body, at most this many bytes, is read, then `respond` is called.
    case request(bodyBytesMax: Int)
    /// Becomes a WebSocket.
    case upgrade(Upgrade)
}

/// How a connection starts its life as a WebSocket.
public struct Upgrade: Sendable {
    public var subprotocol: String?
    public var subscription: Subscription
    public var welcomes = false
    public var heartbeatIsJSON = false
    /// Events of before that it wants of its channels.
    public var replay: ReplayRequest?

    public init(subprotocol: String? = nil, subscription: Subscription) {
        self.subprotocol = subprotocol
        self.subscription = subscription
    }
}

/// A request with its body.
public struct Request: Sendable {
    public let head: RequestHead
    public let body: [UInt8]
    public let peer: PeerAddress
}

/// Knows what the engine does not: routes and answers. Called on shard queues; must not block.
public protocol ConnectionDelegate: AnyObject, Sendable {
    /// Whether binary messages are accepted.
    var acceptsBinary: Bool { get }
    /// Decides by a request's head.
    func route(_ head: RequestHead, from peer: PeerAddress) -> Route
    /// Answers a request: at once, or with nil and by one call of `later` from any thread.
    func respond(to request: Request, later: @escaping @Sendable (Response) -> Void) -> Response?
    /// Takes a message in place of the subscription protocol.
    /// - Parameter payload: valid during the call only.
    /// - Returns: nil: the message is one of the subscription protocol; else frames to send back.
    func intercept(_ opcode: Opcode, _ payload: UnsafeRawBufferPointer) -> [UInt8]?
}

extension ConnectionDelegate {
    public var acceptsBinary: Bool { false }
    public func intercept(_ opcode: Opcode, _ payload: UnsafeRawBufferPointer) -> [UInt8]? { nil }
}
