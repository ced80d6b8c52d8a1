// A hub and its shards in this process, and connections to them that have no network between: what a client does not read stays
// with the server but for the few kilobytes of `sendBufferBytes`.

import Base
import Glibc
import Protocol
import Synchronization
import TestSupport

@testable import Fanout
@testable import Host

/// Answers whatever the test registers.
final class Desk: ConnectionDelegate {
    private let upgrades = Locked<[String: Upgrade]>([:])
    /// Answers that were asked for and not given yet.
    let waiting = Locked<[@Sendable (Response) -> Void]>([])

    /// Answers every request that still waits.
    func answerWaiting() {
        let answers = waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        for answer in answers { answer(.error(500, "at last")) }
    }

    /// - Returns: the address that becomes this.
    func register(_ upgrade: Upgrade) -> String {
        upgrades.withLock {
            let target = "/ws/\($0.count)"
            $0[target] = upgrade
            return target
        }
    }

    func route(_ head: RequestHead, from peer: PeerAddress, later: @escaping @Sendable (Route) -> Void) -> Route? {
        if let upgrade = upgrades.withLock({ $0[head.path] }) {
            if !routesLater.load(ordering: .relaxed) { return .upgrade(upgrade) }
            looks.withLock { $0.append { later(.upgrade(upgrade)) } }
            return nil
        }
        return head.path == "/refused" ? .answer(.error(404, "nothing here")) : .request(bodyBytesMax: 100_000)
    }

    /// What becomes of each token; of any other the answer is a refusal. With an empty table nobody is asked who they are.
    let tokens = Locked<[String: Principal]>([:])
    /// Tokens and requests that are looked at until the test says so.
    let looks = Locked<[@Sendable () -> Void]>([])
    let looksLater = Atomic<Bool>(false)
    let routesLater = Atomic<Bool>(false)
    let admitted = ConnectionCounter<String>()

    func authenticate(
        _ token: String, insteadOf present: Principal?, from peer: PeerAddress, later: @escaping @Sendable (AuthenticationOutcome) -> Void
    ) -> AuthenticationOutcome? {
        let known = tokens.withLock { $0 }
        let outcome: AuthenticationOutcome = known.isEmpty ? .accepted(present ?? .anonymous) : known[token].map { .accepted($0) } ?? (token == "away" ? .unavailable("later") : .refused("no"))
        if !looksLater.load(ordering: .relaxed) { return outcome }
        looks.withLock { $0.append { later(outcome) } }
        return nil
    }

    func admit(_ principal: Principal) -> PrincipalAdmission {
        admitted.enter(principal.user, max: principal.user == "crowd" ? 2 : .max).map { .admitted($0) } ?? .refused("too many")
    }

    func respond(to request: Request, later: @escaping @Sendable (Response) -> Void) -> Response? {
        switch request.head.path {
        case "/later":
            waiting.withLock { $0.append(later) }
            return nil
        case "/large": return Response(status: 200, body: [UInt8](repeating: 120, count: 50_000), contentType: "text/plain")
        default:
            return Response(status: 200, body: Array("\(request.head.target) ".utf8) + request.body, contentType: "text/plain")
        }
    }
}

struct Rig {
    let hub: Hub
    let shards: [Shard]
    let desk = Desk()
    /// Connections speak TLS.
    let speaksTLS: Bool
    static let certificates = Result {
        let certificates = try TestCertificates()
        try certificates.make("server")
        return certificates
    }

    /// What a server with the files of these names speaks.
    static func tls(_ name: String = "server", clientCA: String = "", tickets: TLSTickets = TLSTickets()) throws -> TLSContext {
        let path = try certificates.get().path
        var settings = Settings.TLS()
        settings.certificate = "\(path)/\(name).crt"
        settings.key = "\(path)/\(name).key"
        settings.clientCA = clientCA
        return try TLSContext(settings, tickets: tickets)
    }

    init(
        _ limits: Limits = Limits(), shards count: Int = 2, clock: any Clock = SystemClock(), speaksTLS: Bool = false, tls: TLSContext? = nil
    ) throws {
        self.speaksTLS = speaksTLS
        let hub = Hub(limits: limits, clock: clock)
        self.hub = hub
        let desk = desk
        Log.set(level: .warn)  // Clients come and go by the hundred.
        shards = try (0..<count).map { try Shard(number: $0, hub: hub, delegate: desk) }
        hub.attach(shards)
        for shard in shards { shard.start() }
        guard speaksTLS || tls != nil else { return }
        // OpenSSL writes with write(2).
        signal(SIGPIPE, SIG_IGN)
        hub.serve(try tls ?? Rig.tls())
    }

    /// A connection that has said nothing yet; over TLS, if that is spoken here.
    func connect(to shard: Int = 0) throws -> SocketClient {
        let client = try connectWire(to: shard, speaksTLS: speaksTLS)
        if speaksTLS { try client.handshake() }
        return client
    }

    /// A connection on which not even TLS has begun.
    func connectWire(to shard: Int = 0, speaksTLS: Bool = true) throws -> SocketClient {
        let (near, far) = try SocketClient.pair()
        var accepted = AcceptedSocket(
            descriptor: FileDescriptor(owning: far), peer: PeerAddress(host: "127.0.0.1", port: 1, isLoopback: true))
        accepted.speaksTLS = speaksTLS
        shards[shard].adopt(accepted)
        return near
    }

    /// A client with this subscription.
    func subscribe(
        _ subscription: Subscription, to shard: Int = 0, as encoding: Encoding = .text, change: (inout Upgrade) -> Void = { _ in }
    ) throws -> SocketClient {
        var upgrade = Upgrade(encoding: Encoding(encoding.form), subscription: subscription)
        if case .deflate(let window) = encoding.compression { upgrade.compress(try Rig.agree(window: window, on: hub)) }
        change(&upgrade)
        let client = try connect(to: shard)
        switch encoding.spoken {
        case .webSocket: try client.upgrade(desk.register(upgrade))
        case .eventStream: try client.beginStream(desk.register(upgrade))
        }
        return client
    }

    func subscribe(_ filter: ModelFilter, to shard: Int = 0, as encoding: Encoding = .text) throws -> SocketClient {
        try subscribe(try filter.subscription(), to: shard, as: encoding)
    }

    /// What a client that asks for this window gets.
    static func agree(window: Int, on hub: Hub) throws -> AgreedCompression {
        let request = SocketClient.upgradeRequest("/", [("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=\(window)")])
        var parser = RequestHeadParser()
        let head = try Array(request.utf8).withUnsafeBytes { try parser.parse($0)?.head }
        guard let head, let agreed = try hub.agreeOnCompression(head) else { throw TestFailure("nothing was agreed upon") }
        return agreed
    }

    /// Gives a number of clients all encodings in turn, on both shards.
    static func encoding(of number: Int) -> Encoding { Encoding.allCases[number / 2 % Encoding.allCases.count] }

    /// Returns when everything is done that was asked of the shards before.
    func settle() { for shard in shards { shard.queue.sync {} } }

    /// Begins to stop; returns when everyone has been told.
    /// - Returns: how many clients that were.
    @discardableResult
    func drain() throws -> Int {
        let told = Locked<Int?>(nil)
        hub.drain { count in told.withLock { $0 = count } }
        try waitUntil("the clients are counted") { told.withLock { $0 } != nil }
        // The first round ends the block that counted, the second those that it has posted.
        settle()
        settle()
        return told.withLock { $0 } ?? 0
    }

    /// Lets ticks of the wheel pass, one at a time.
    func pass(_ ticks: Int, on clock: ManualClock, each: () throws -> Void) rethrows {
        for _ in 0..<ticks {
            clock.advance(.milliseconds(Wheel.tickMilliseconds))
            for shard in shards {
                shard.queue.sync {
                    shard.readClock()
                    shard.turnWheel()
                    shard.finishRound()
                }
            }
            try each()
        }
    }

    func pass(_ ticks: Int, on clock: ManualClock) { pass(ticks, on: clock) {} }

    /// Tells every subscribed client that the test has published all.
    func publishMarker() {
        hub.publish([EventDraft(channel: .all, type: "marker", timestamp: hub.clock.now(), data: Array("{}".utf8))])
    }

    /// A number that all shards count.
    func sum(_ counter: (ShardCounters) -> UInt64) -> UInt64 { shards.reduce(0) { $0 + counter($1.counters) } }

    func total(_ outcome: Outcome) -> UInt64 { shards.reduce(0) { $0 + $1.ledger.total(outcome) } }

    /// What does not add up in the ledgers; nil where every offered event is in exactly one account.
    func imbalance() -> String? {
        for shard in shards {
            let report = shard.queue.sync { shard.report() }
            for channel in Channel.allCases {
                let accounted = Outcome.allCases.filter { $0 != .offered }.reduce(report.waiting(channel)) { $0 + report.count($1, channel) }
                if accounted != report.count(.offered, channel) {
                    let accounts = Outcome.allCases.map { "\($0) \(report.count($0, channel))" }.joined(separator: ", ")
                    return "shard \(shard.number), \(channel): \(accounts), waiting \(report.waiting(channel))"
                }
            }
        }
        return nil
    }

    func waitForClients(_ count: Int) throws {
        try waitUntil("\(count) clients instead of \(hub.clientCount)") { hub.clientCount == count }
        settle()
    }
}

/// What was published, by sequence. Any thread may add.
final class Published: Sendable {
    private let all = Locked<[UInt64: ModelEvent]>([:])
    var events: [UInt64: ModelEvent] { all.withLock { $0 } }

    func publish(_ events: [ModelEvent], to hub: Hub) {
        if let range = hub.publish(events.map(\.draft)) { note(events, at: range) }
    }

    func note(_ events: [ModelEvent], at range: ClosedRange<UInt64>) {
        all.withLock { all in for (event, sequence) in zip(events, range) { all[sequence] = event } }
    }
}

/// Publishes random batches from several threads at once.
/// - Parameter padding: bytes of further text in some of the events.
func publish(
    _ batches: Int, of size: Int, from threads: Int, seed: UInt64, to hub: Hub, into published: Published, padding: Int = 0
) throws {
    try onThreads(threads) { thread in
        var generator = SeededGenerator(seed: seed &* 1000 &+ UInt64(thread))
        for batch in 0..<batches {
            published.publish(
                (0..<generator.int(1...size)).map { position in
                    var event = ModelEvent.random(number: (thread * batches + batch) * size + position, using: &generator)
                    if padding > 0, generator.chance(20) {
                        event.component = String(repeating: "p", count: generator.int(0...padding))
                    }
                    return event
                }, to: hub)
        }
    }
}

/// What went wrong on threads of a test.
final class SharedFailures: Sendable {
    private let texts = Locked<[String]>([])
    var all: [String] { texts.withLock { $0 } }
    func catching(_ body: () throws -> Void) {
        do { try body() } catch { texts.withLock { $0.append("\(error)") } }
    }
}

/// A ledger that a thread of a test leaves behind.
final class SharedLedger: Sendable {
    private let ledger = Locked(Ledger())
    var get: Ledger { ledger.withLock { $0 } }
    func set(_ new: Ledger) { ledger.withLock { $0 = new } }
}
