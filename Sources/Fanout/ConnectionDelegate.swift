// What the engine asks of whoever knows addresses, rights and answers.

import Host
import Protocol

/// How a request goes on once its head is known.
public enum Route: Sendable {
    /// Answered without looking at a body.
    case answer(Response)
    /// Its body, at most this many bytes, is read, then `respond` is called.
    case request(bodyBytesMax: Int, principal: Principal = .anonymous)
    /// Becomes a client.
    case upgrade(Upgrade)
}

/// How a connection starts its life as a client.
public struct Upgrade: Sendable {
    public private(set) var encoding: Encoding
    /// Of WebSocket.
    public var subprotocol: String?
    public private(set) var compression: AgreedCompression?
    /// Further fields of the answer over HTTP that begins a stream, or refuses it.
    public var fields: [(String, String)] = []
    public var subscription: Subscription
    /// Who it is.
    public var principal: Principal
    /// It says who it is by its first message; until then it gets nothing.
    public var awaitsAuthentication = false
    public var welcomes = false
    public var heartbeatIsJSON = false
    /// Events of before that it wants of its channels.
    public var replay: ReplayRequest?

    /// - Parameter subscription: its rights are set to those of the principal.
    public init(
        encoding: Encoding = .text, subprotocol: String? = nil, subscription: Subscription, principal: Principal = .anonymous
    ) {
        self.encoding = encoding
        self.subprotocol = subprotocol
        self.subscription = subscription
        self.subscription.rights = principal.rights
        self.principal = principal
    }

    /// Compresses the stream that the client gets, if its request asks for it.
    public mutating func compress(_ head: RequestHead, _ limits: CompressionLimits) {
        guard limits.isEnabled, AcceptEncoding.takesGzip(head) else { return }
        encoding = Encoding(encoding.form, .gzip)
    }

    /// Compresses what the client gets, and takes compressed messages of it, as was agreed upon.
    public mutating func compress(_ agreed: AgreedCompression) {
        compression = agreed
        encoding = Encoding(encoding.form, agreed.deflate.serverKeepsContext ? .none : .deflate(window: agreed.deflate.serverWindow))
    }
}

/// Whether a principal may have one more client.
public enum PrincipalAdmission: Sendable {
    /// It counts until the object is let go of; nil where nothing is counted.
    case admitted((any AnyObject & Sendable)?)
    /// Why not, as a sentence.
    case refused(String)
}

/// A request with its body.
public struct Request: Sendable {
    public let head: RequestHead
    public let body: [UInt8]
    public let peer: PeerAddress
    /// Who asks, as `Route.request` said.
    public let principal: Principal
}

/// Knows what the engine does not: routes and answers. Called on shard queues; must not block.
public protocol ConnectionDelegate: AnyObject, Sendable {
    /// Whether binary messages are accepted.
    var acceptsBinary: Bool { get }
    /// Decides by a request's head: at once, or with nil and by one call of `later` from any thread.
    func route(_ head: RequestHead, from peer: PeerAddress, later: @escaping @Sendable (Route) -> Void) -> Route?
    /// Looks at a token that a client has sent: at once, or with nil and by one call of `later` from any thread.
    /// - Parameter present: who the client is, which the token may prolong but not change; nil where it has not said so yet.
    func authenticate(
        _ token: String, insteadOf present: Principal?, from peer: PeerAddress, later: @escaping @Sendable (AuthenticationOutcome) -> Void
    ) -> AuthenticationOutcome?
    /// Counts one more client of a principal, unless that is one too many.
    func admit(_ principal: Principal) -> PrincipalAdmission
    /// Answers a request: at once, or with nil and by one call of `later` from any thread.
    func respond(to request: Request, later: @escaping @Sendable (Response) -> Void) -> Response?
    /// Takes a message in place of the subscription protocol.
    /// - Parameter payload: valid during the call only.
    /// - Returns: nil: the message is one of the subscription protocol; else a message to send back.
    func intercept(_ opcode: Opcode, _ payload: UnsafeRawBufferPointer) -> (opcode: Opcode, payload: [UInt8])?
}

extension ConnectionDelegate {
    public var acceptsBinary: Bool { false }
    public func authenticate(
        _ token: String, insteadOf present: Principal?, from peer: PeerAddress, later: @escaping @Sendable (AuthenticationOutcome) -> Void
    ) -> AuthenticationOutcome? { .accepted(present ?? .anonymous) }
    public func admit(_ principal: Principal) -> PrincipalAdmission { .admitted(nil) }
    public func intercept(_ opcode: Opcode, _ payload: UnsafeRawBufferPointer) -> (opcode: Opcode, payload: [UInt8])? { nil }
}
