// What a run is to do.

import Host

/// A run of the bench. Made from the command line; the coordinator and its workers each make the same one.
public struct BenchPlan: Sendable {
    /// How events are published.
    public enum Pace: Equatable, Sendable {
        /// Somebody else does it.
        case none
        case perSecond(Int)
        /// As fast as `outstanding` allows.
        case fullSpeed
    }

    /// What the messages to the clients are written in.
    public enum Encoding: String, CaseIterable, Sendable {
        case json, msgpack

        /// What the clients ask for; nil where nothing need be.
        var subprotocol: String? {
            switch self {
            case .json: nil
            case .msgpack: "goleapai.v1.msgpack"
            }
        }
    }

    public var target: ServerURL
    public var encoding = Encoding.json
    /// All connections, the slow ones among them.
    public var clients = 100
    /// Of the clients, how many never read.
    public var slow = 0
    public var processes = 1
    /// Names; the first one is where events go.
    public var channels = ["logs"]
    public var filters = FieldPatterns()
    /// Of the events' data, where it is not what the filters ask for.
    public var fields = FieldPatterns()
    public var pace = Pace.perSecond(100)
    /// Events without an answer, at most.
    public var outstanding: Int?
    /// Events of one request.
    public var batch = 1
    /// Of one published event, with its channel and type.
    public var eventBytes = 250
    /// Clients ask for compression, of messages that stand each for itself.
    public var compresses = false
    public var nanoseconds: UInt64 = 5_000_000_000
    /// Ends the measuring instead of `nanoseconds`.
    public var events: Int?
    public var warmUpNanoseconds: UInt64 = 1_000_000_000
    /// Connect, and publish nothing.
    public var isIdle = false
    /// The value of the field `Authorization`.
    public var authorization: String?
    public var trust = TLSClientContext.Trust.system
    /// The server's process, where it is known better than by its port.
    public var serverProcess: Int?

    public static let clientsMax = 1_000_000
    public static let processesMax = 64
    public static let batchMax = 10_000
    public static let outstandingMax = 1_000_000
    public static let eventBytesMax = 262_144
    /// Events without an answer where nothing is said.
    static let outstandingDefault = 65_536
    /// Connections from one address of 127.0.0.0/8: ports are 16 bits, and not all of them are free.
    static let clientsPerSource = 10_000
    /// Descriptors of a process that are not clients.
    public static let descriptorsReserved = 64
    /// How long nothing may come while something is still to come.
    static let patienceNanoseconds: UInt64 = 5_000_000_000
    /// How long a request may be without an answer, and no further client connect, before the run is given up.
    static let giveUpNanoseconds: UInt64 = 20_000_000_000

    public init(target: ServerURL) { self.target = target }

    /// The fields of the events.
    var eventFields: FieldPatterns { fields.filled(by: filters) }

    public var publishes: Bool { !isIdle && pace != .none }

    /// The target of client `number`'s request.
    func requestTarget(_ number: Int) -> String {
        var query = channels.count == 1 ? [] : ["channels=\(channels.joined(separator: ","))"]
        query += filters.fields.map { "\(BenchPlan.encoded($0.name))=\(BenchPlan.encoded($0.pattern.text(number, of: clients)))" }
        let path = channels.count == 1 ? "/ws/\(channels[0])" : "/ws"
        return target.basePath + path + (query.isEmpty ? "" : "?" + query.joined(separator: "&"))
    }

    /// Percent-encoding of all that could mean something in a query (RFC 3986 §2.3), commas aside.
    static func encoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF")
        return text.utf8.map { byte in
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || "-._~,".utf8.contains(byte)
            return isPlain ? String(UnicodeScalar(byte)) : "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
        }.joined()
    }

    /// The clients of one worker.
    func clients(of worker: Int) -> Range<Int> {
        clients * worker / processes..<clients * (worker + 1) / processes
    }

    /// - Throws: what cannot be published like this.
    public func check() throws(BenchError) {
        _ = try EventShape(channel: channels[0], fields: eventFields, clients: clients, eventBytes: eventBytes, run: 0)
    }

    /// Which clients read: the last ones do not.
    var readers: Int { clients - slow }
}
