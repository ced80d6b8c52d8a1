// What a shard counts for /metrics only.

import Base
import Protocol
import Synchronization

/// How a connection's bytes travel.
public enum ConnectionTransport: String, CaseIterable, Sendable {
    case plain, tls, unix
}

/// How a client's connection ended; the text is the metric label.
public enum ClientEnd: String, CaseIterable, Sendable {
    /// It sent a close frame first, or ended its stream.
    case closedByClient = "closed_by_client"
    /// We did.
    case closedByDaemon = "closed_by_daemon"
    /// It broke the protocol, and was told so by a close frame.
    case protocolError = "protocol_error"
    /// It went away without a close frame.
    case vanished
    /// A system call or OpenSSL failed.
    case broken
    /// It took none of our bytes for `client_timeout`.
    case stuck
    /// The daemon stopped before it had taken everything.
    case cutOff = "cut_off"
    case other
}

/// Who sent the close frame that ended a client.
public enum CloseSide: String, CaseIterable, Sendable {
    case client, daemon
}

/// The counters of one shard that nothing but the metrics page needs. Writer: the shard's queue; readers: any thread.
public final class ShardMetrics: Sendable {
    /// From publishing to the kernel's taking it, nanoseconds.
    public let delay = Histogram(bounds: ShardMetrics.delayBounds)
    /// Spans in a client's ring when a batch was handed out to it; 0: it had taken everything.
    public let depth = Histogram(bounds: ShardMetrics.depthBounds)
    /// Clients that are fed from history.
    let behind = Atomic<Int>(0)
    let bytesReceived = Atomic<UInt64>(0)
    private let opened = CounterCells(ConnectionTransport.allCases.count)
    private let ended = CounterCells(ConnectionTransport.allCases.count)
    private let responses = CounterCells(ShardMetrics.statuses.count + 1)
    private let closes = CounterCells(CloseSide.allCases.count * ShardMetrics.closeLabels.count)
    public let ends = CaseCounters<ClientEnd>()
    /// Messages answered with an error.
    public let messageErrors = CaseCounters<MessageErrorCode>()
    private let begun = CaseCounters<ClientProtocol>()
    private let over = CaseCounters<ClientProtocol>()

    /// 50 µs to 10 s.
    static let delayBounds: [UInt64] = [
        50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000,
        250_000_000,
        500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
    ]
    static let depthBounds: [UInt64] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096]
    /// Statuses that are counted by themselves; all others are one.
    public static let statuses = [101, 200, 204, 400, 401, 403, 404, 405, 408, 413, 414, 417, 422, 426, 429, 431, 501, 503, 505]
    /// Labels of close codes: those of the table, codes that are not in it, and a close frame without a code.
    public static let closeLabels = CloseCode.table.map(\.metricLabel) + ["other", "none"]

    init() {}

    // MARK: counting

    func open(_ transport: ConnectionTransport) { opened.add(ShardMetrics.index(of: transport)) }
    func end(_ transport: ConnectionTransport) { ended.add(ShardMetrics.index(of: transport)) }
    private static func index(of transport: ConnectionTransport) -> Int {
        ConnectionTransport.allCases.firstIndex(of: transport) ?? 0
    }

    func begin(_ spoken: ClientProtocol) { begun.add(spoken) }

    func answered(_ status: Int) { responses.add(ShardMetrics.statuses.firstIndex(of: status) ?? ShardMetrics.statuses.count) }

    func countBehind(_ step: Int) { behind.store(behind.load(ordering: .relaxed) + step, ordering: .relaxed) }

    func received(_ count: Int) {
        bytesReceived.store(bytesReceived.load(ordering: .relaxed) &+ UInt64(count), ordering: .relaxed)
    }

    /// A client's connection is over.
    func end(_ ending: Ending, of spoken: ClientProtocol) {
        over.add(spoken)
        ends.add(ending.counted)
        switch ending {
        case .closedByPeer(let code): closed(.client, code)
        case .closed(let code), .failed(let code, _): closed(.daemon, code)
        default: break
        }
    }

    private func closed(_ side: CloseSide, _ code: CloseCode?) {
        let label = ShardMetrics.closeLabels.firstIndex(of: code?.metricLabel ?? "none") ?? ShardMetrics.closeLabels.count - 1
        closes.add((CloseSide.allCases.firstIndex(of: side) ?? 0) * ShardMetrics.closeLabels.count + label)
    }

    // MARK: reading

    /// Since the start.
    public func connections(by transport: ConnectionTransport) -> UInt64 { opened[ShardMetrics.index(of: transport)] }
    public func presentConnections(by transport: ConnectionTransport) -> UInt64 {
        let index = ShardMetrics.index(of: transport)
        let gone = ended[index]
        return max(opened[index], gone) - gone
    }
    /// - Parameter position: in `statuses`; one beyond for all others.
    public func responses(at position: Int) -> UInt64 { responses[position] }
    /// - Parameter position: in `closeLabels`.
    public func closes(by side: CloseSide, at position: Int) -> UInt64 {
        closes[(CloseSide.allCases.firstIndex(of: side) ?? 0) * ShardMetrics.closeLabels.count + position]
    }
    public var clientsBehind: Int { behind.load(ordering: .relaxed) }
    public var bytesIn: UInt64 { bytesReceived.load(ordering: .relaxed) }
    /// Since the start.
    public func clients(by spoken: ClientProtocol) -> UInt64 { begun.count(spoken) }
    public func presentClients(by spoken: ClientProtocol) -> UInt64 {
        let gone = over.count(spoken)
        return max(begun.count(spoken), gone) - gone
    }
}

extension Ending {
    fileprivate var counted: ClientEnd {
        switch self {
        case .none: .other
        case .closedByPeer, .left: .closedByClient
        case .closed: .closedByDaemon
        case .failed: .protocolError
        case .vanished: .vanished
        case .broken, .brokenTLS: .broken
        case .stuck: .stuck
        case .cutOff: .cutOff
        }
    }
}

extension Shard {
    /// Events that are in one write count as its oldest; so many clients are written to between two looks at the clock, a power of two. That
    /// is some 150 µs, and costs less than an instruction per client.
    static let clientsPerLook = 64

    /// Enters the delay of what was given to the kernel since `before`.
    /// - Parameter before: events delivered so far; set to those until now.
    func enterDelay(since published: UInt64, _ before: inout UInt64) {
        let delivered = ledger.delivered
        guard delivered != before else { return }
        let now = hub.clock.monotonic()
        metrics.delay.observe(now > published ? now - published : 0, times: delivered &- before)
        before = delivered
    }

    /// Enters the delay of a span that had to wait, when its last byte is taken. Of a run that has grown meanwhile the first events have gone
    /// before: the last one's delay is known.
    func enterDelay(of span: Span) {
        guard span.kind == .log, span.isTimed else { return }
        let segment = Unmanaged<Segment>.fromOpaque(span.owner).takeUnretainedValue()
        let published = segment.entry(at: Int(span.last &- segment.firstSequence)).pointee.published
        let now = hub.clock.monotonic()
        metrics.delay.observe(now > published ? now - published : 0, times: UInt64(span.events))
    }

    /// A request was refused by a limit of HTTP.
    func countRefusal(_ error: HTTPError) {
        switch error.status {
        case 413: hub.refusals.add(.bodyBytes)
        case 414, 431: hub.refusals.add(.headBytes)
        default: break
        }
    }
}
