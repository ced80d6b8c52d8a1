// One connection as its shard keeps it: flat and small, because there are thousands.

import Base
import Host
import Protocol

/// A connection's state. Lives in the shard's table; touched on the shard's queue only.
///
/// What every delivery touches is here; what is needed rarely is behind `details`.
struct Client: ~Copyable {
    // MARK: socket
    var descriptor: Int32 = -1
    /// Distinguishes the users of one table place: an event of epoll for a former one is ignored.
    var generation: UInt32 = 0
    var flags: Flags = []
    /// How everything that is sent to it looks; of a client, not of an HTTP connection.
    var encoding = Encoding.text

    // MARK: what waits for the socket
    var ring = Ring()
    /// Bytes of `own` spans in the ring.
    var outboxBytes: UInt32 = 0
    /// When behind: the first event of history that the client has not been given.
    var cursor: UInt64 = 0

    // MARK: groups
    var group: Unmanaged<Group>?
    var groupPosition: Int32 = -1

    // MARK: signs of life, in ticks of the shard's wheel
    var lastReceived: UInt32 = 0
    var lastProgress: UInt32 = 0
    var lastPing: UInt32 = 0
    var deadline: UInt32 = 0
    var wheelNext: UInt32 = Wheel.none
    var wheelPrevious: UInt32 = Wheel.none
    var wheelBucket: Int32 = -1

    // MARK: protocol
    var receiver: FrameReceiver
    var details: ClientDetails

    /// Messages in the second that began at tick `messagesSince`.
    var messages: UInt64 = 0
    var messagesSince: UInt32 = 0
    /// Bytes received in the second that began at tick `bytesSince`.
    var bytesReceived = 0
    var bytesSince: UInt32 = 0

    // MARK: counters
    var bytesSent: UInt64 = 0
    var dropped: UInt64 = 0

    /// Whether everything that was to be sent is with the kernel.
    var isFlushed: Bool { ring.isEmpty && !flags.contains(.holding) }

    struct Flags: OptionSet {
        let rawValue: UInt32
        /// Speaks HTTP still.
        static let http = Flags(rawValue: 1)
        /// The socket took less than it was given; wait for EPOLLOUT.
        static let blocked = Flags(rawValue: 2)
        /// Fed from history by `cursor`.
        static let behind = Flags(rawValue: 4)
        /// Has been told that the daemon stops, or would be if it were no HTTP connection: it is closed as soon as it has everything.
        static let draining = Flags(rawValue: 8)
        /// Our close frame is in the ring or sent; nothing follows it.
        static let closing = Flags(rawValue: 16)
        /// After the ring is flushed the connection ends.
        static let endAfterFlush = Flags(rawValue: 32)
        /// Its input rests until its outbox has room.
        static let inputPaused = Flags(rawValue: 64)
        /// In the list of those that go on in the next round.
        static let ready = Flags(rawValue: 128)
        /// Wants heartbeats as JSON.
        static let jsonHeartbeat = Flags(rawValue: 256)
        /// The peer has ended its side.
        static let peerEnded = Flags(rawValue: 512)
        /// We have ended our side, and only wait for the peer's end.
        static let lingering = Flags(rawValue: 1024)
        /// A request is being answered elsewhere; input waits.
        static let answering = Flags(rawValue: 2048)
        /// Counted in `Hub.connections`.
        static let counted = Flags(rawValue: 4096)
        /// Will be taken down when the round is over.
        static let ended = Flags(rawValue: 8192)
        /// Has asked for something else than an upgrade, and counts among the other HTTP connections.
        static let plainHTTP = Flags(rawValue: 16_384)
        /// Its socket holds more than was read in this round.
        static let moreInput = Flags(rawValue: 32_768)
        /// Its bytes go through `details.tls`.
        static let tls = Flags(rawValue: 65_536)
        /// Its TLS handshake is not over.
        static let handshaking = Flags(rawValue: 131_072)
        /// A TLS record (or the goodbye) has begun and waits for the socket.
        static let holding = Flags(rawValue: 262_144)
        /// In the list of those whose handshake goes on.
        static let shaking = Flags(rawValue: 524_288)
        /// The peer's end, or an error, waits in the socket behind its input.
        static let hungUp = Flags(rawValue: 1_048_576)
        /// What it gets is compressed by `details.context`.
        static let streams = Flags(rawValue: 2_097_152)
    }
}

/// What a connection has that is rarely needed. Confined to the shard's queue.
final class ClientDetails {
    /// Unique in the life of the daemon; the `id` of `/admin/ws/clients`.
    let id: UInt64
    var address: PeerAddress
    /// What the connection came by.
    var way = ConnectionTransport.plain
    /// Counts the connection for its address.
    var admission: AddressGate.Admission?
    /// When it connected.
    let since: Instant
    var userAgent = ""
    /// Has been given the present state of the providers since it subscribed to them.
    var knowsProviders = false
    var subscription: Subscription
    var principal = Principal.unknown
    /// Counts the client for its principal.
    var place: (any AnyObject & Sendable)?
    /// What the client's address asked for, while it has still to say who it is.
    var awaiting: AwaitedUpgrade?
    /// A token of it is being looked at.
    var isAuthenticating = false
    /// Of what its messages may refer to, counted in `Hub.contexts`; 0 where they stand each for itself.
    var windowBits: UInt8 = 0
    /// What it is still to be given from history; nil while it keeps up.
    var backlog: Backlog?
    /// Lost events that are to be told before anything else comes from history.
    var loss: Loss?
    /// Why the connection ends, once it does.
    var ending = Ending.none
    /// The newest gap that was put into the ring.
    var placedGap: PlacedGap?
    /// Nil without TLS, and until the hello is looked at.
    var tls: TLSConnection?
    /// What the log says of TLS, once the handshake is over: `TLS 1.3`.
    var transport = ""
    /// Its own compressor, and what its messages refer to; nil while there is neither.
    var context: ClientContext?
    /// The request in the making; nil once upgraded.
    var exchange: HTTPExchange?
    /// Input that arrived while its reading rested.
    var pausedInput: [UInt8] = []
    /// While draining: bytes that the peer had taken when it was last looked at.
    var taken: Int64 = 0

    init(id: UInt64, address: PeerAddress, since: Instant, subscription: Subscription) {
        self.id = id
        self.address = address
        self.since = since
        self.subscription = subscription
    }
}

/// What a client's address asked for that has still to say who it is: in an object of its own, since few have one and all would pay for its size.
final class AwaitedUpgrade {
    let upgrade: Upgrade
    /// The tick of the handshake.
    let since: UInt32

    init(_ upgrade: Upgrade, since: UInt32) {
        self.upgrade = upgrade
        self.since = since
    }
}

/// The HTTP part of a connection's life. Confined to the shard's queue.
final class HTTPExchange {
    /// Received and not used up yet.
    var input: [UInt8] = []
    var parser = RequestHeadParser()
    var way: ProxyWay
    /// The request whose body is being read.
    var head: RequestHead?
    var decoder: BodyDecoder?
    var body: [UInt8] = []
    /// How long the body was when it was last given time.
    var bodyMark = 0
    var requests = 0
    /// The head's time is running.
    var isHeadTimed = false

    init(_ peer: PeerAddress) { way = ProxyWay(peer) }
}
