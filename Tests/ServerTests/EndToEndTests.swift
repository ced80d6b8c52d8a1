// Acceptors, two shards and the router as the daemon puts them together, spoken to over TCP.

import Base
import Dispatch
import Fanout
import Host
import Protocol
import Server
import Synchronization
import TestSupport
import Testing

/// A server in this process.
private final class Site: @unchecked Sendable {  // Sendable because everything in it is constant.
    let hub: Hub
    let shards: [Shard]
    let port: Int
    private let acceptors: AcceptorPool

    init(_ limits: Limits = Limits()) throws {
        let hub = Hub(limits: limits, clock: SystemClock())
        self.hub = hub
        let router = Router(
            hub: hub,
            options: RouterOptions(
                build: Build(name: "goleapai-ws", version: "1", commit: "", swift: ""),
                sources: { [] }, isDraining: { false }),
            rules: RouterRules(
                broadcast: BroadcastLimits(
                    eventsPerSecond: 1_000_000, burst: 100_000, eventBytesMax: 262_144, batchBytesMax: 8_388_608)))
        Log.set(level: .warn)  // Clients come and go by the hundred.
        let shards = try (0..<2).map { try Shard(number: $0, hub: hub, delegate: router) }
        self.shards = shards
        hub.attach(shards)
        for shard in shards { shard.start() }
        let socket = try ListeningSocket(ListenAddress(host: "127.0.0.1", port: 0))
        port = try #require(socket.address).port
        let turn = Turn()
        acceptors = try AcceptorPool(listening: [socket]) { shards[turn.next() % 2].adopt($0) }
        try acceptors.start(threads: 2)
    }

    func connect(_ target: String) throws -> SocketClient {
        let client = try SocketClient(port: port)
        try client.upgrade(target)
        return client
    }

    func stop() {
        acceptors.stop()
        hub.drain()
    }
}

private final class Turn: Sendable {
    private let number = Atomic<Int>(0)
    func next() -> Int { number.add(1, ordering: .relaxed).oldValue }
}

@Suite struct EndToEndTests {
    /// Producers over HTTP, one event at a time and in batches, and inside the process; clients with their filters in the address.
    @Test(arguments: testSeeds(2))
    func everyClientGetsWhatItAskedFor(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let site = try Site()
        let filters =
            (0..<10).map { _ in ModelFilter.random(using: &generator) } + [
                ModelFilter([.all]), ModelFilter([.requests], ["only_errors": "true"]),
            ]
        let clients = try filters.map { try site.connect($0.target) }
        let published = Locked<[UInt64: ModelEvent]>([:])
        let ledgers = Locked([Ledger](repeating: Ledger(), count: clients.count))
        let failures = Locked<[String]>([])
        let left = Atomic<Int>(3)
        try onThreads(clients.count + 3) { number in
            do {
                guard number >= clients.count else {
                    var ledger = Ledger()
                    try ledger.read(clients[number], until: "marker")
                    ledgers.withLock { $0[number] = ledger }
                    return
                }
                var generator = SeededGenerator(seed: seed &* 100 &+ UInt64(number))
                let producer = try SocketClient(port: site.port)
                for batch in 0..<25 {
                    let size = number == clients.count ? 1 : generator.int(1...12)
                    let events = (0..<size).map { ModelEvent.random(number: (number * 25 + batch) * 12 + $0, using: &generator) }
                    let first: UInt64
                    switch number - clients.count {
                    case 0: first = try EndToEndTests.post(producer, EndToEndTests.json(events[0]), "application/json", "id")
                    case 1:
                        first = try EndToEndTests.post(
                            producer, events.map(EndToEndTests.json).joined(separator: "\n"), "application/x-ndjson", "first_id")
                    default: first = try #require(site.hub.publish(events.map(\.draft))).lowerBound
                    }
                    published.withLock { all in
                        for (position, event) in events.enumerated() { all[first + UInt64(position)] = event }
                    }
                }
                if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
                    _ = try EndToEndTests.post(producer, #"{"channel":"all","type":"marker"}"#, "application/json", "id")
                }
            } catch {
                failures.withLock { $0.append("\(error)") }
            }
        }
        #expect(failures.withLock { $0 } == [])
        let events = published.withLock { $0 }
        #expect(site.hub.newestSequence == UInt64(events.count + 1))
        for (filter, ledger) in zip(filters, ledgers.withLock { $0 }) {
            #expect(ledger.complaint(against: events, passes: filter.passes) == nil, "seed \(seed): \(filter.target)")
        }
        site.stop()
        for client in clients {
            #expect(try client.message()?["type"]?.string == "drain")
            #expect(try client.message() == nil)
            #expect(client.closeCode == 1001)
        }
    }

    private static func json(_ event: ModelEvent) -> String {
        #"{"channel":"\#(event.channel.name)","type":"\#(event.type)","data":\#(String(decoding: event.data, as: UTF8.self))}"#
    }

    private static func post(_ client: SocketClient, _ body: String, _ type: String, _ key: String) throws -> UInt64 {
        let answer = try client.request("POST", "/admin/ws/broadcast", [("Content-Type", type)], body: Array(body.utf8))
        guard let answer, answer.status == 200, let id = try JSON(parsing: answer.body)[key]?.string,
            let sequence = sequence(ofID: id)
        else {
            throw TestFailure("not published: \(answer.map { "\($0.status) \($0.text)" } ?? "no answer")")
        }
        return sequence
    }

    /// What operators see and do, across the shards.
    @Test func administration() throws {
        let site = try Site()
        let clients = try ["/ws/logs?level=warn", "/ws/all", "/ws?channels=logs,stats", "/ws"].map { try site.connect($0) }
        let operatorClient = try SocketClient(port: site.port)
        func get(_ target: String) throws -> JSON {
            try JSON(parsing: try #require(try operatorClient.request("GET", target)).body)
        }
        let stats = try get("/admin/ws/stats")
        #expect(stats["total_clients"]?.int == 4)
        #expect(
            stats["subscriptions"]
                == .object([
                    ("logs", .number("2")), ("stats", .number("1")), ("providers", .number("0")), ("requests", .number("0")),
                    ("all", .number("1")),
                ]))
        #expect(stats["shards"]?.array?.compactMap { $0["clients"]?.int }.reduce(0, +) == 4)
        let list = try #require(try get("/admin/ws/clients")["clients"]?.array)
        #expect(
            list.compactMap { $0["id"]?.string }
                == list.compactMap { $0["id"]?.string.flatMap { Int($0) } }.sorted().map(String.init))
        #expect(list.count == 4)
        #expect(list[0]["channels"] == .array([.string("logs")]))
        #expect(list[0]["filters"]?["logs"]?["level"]?.string == "warn,error,fatal,panic")
        #expect(list[1]["channels"] == .array([.string("all")]))
        #expect(list[0]["address"]?.string?.hasPrefix("127.0.0.1:") == true)
        let id = try #require(list[1]["id"]?.string)
        #expect(try operatorClient.request("DELETE", "/admin/ws/clients/\(id)")?.status == 200)
        #expect(try clients[1].message() == nil)
        #expect(clients[1].closeCode == 4505)
        clients[1].end()
        try waitUntil("the client is gone") { site.hub.clientCount == 3 }
        #expect(try operatorClient.request("DELETE", "/admin/ws/clients/\(id)")?.status == 404)
        #expect(try get("/admin/ws/stats")["subscriptions"]?["all"]?.int == 0)
        site.stop()
    }

    /// Refusals on the way to a WebSocket leave the connection usable; nothing is upgraded by halves.
    @Test func refusedUpgrades() throws {
        let site = try Site()
        let client = try SocketClient(port: site.port)
        try client.write(SocketClient.upgradeRequest("/ws/logs?level=loud"))
        #expect(try client.answer()?.status == 400)
        try client.write(SocketClient.upgradeRequest("/ws/nope"))
        #expect(try client.answer()?.status == 404)
        try client.write(SocketClient.upgradeRequest("/ws/logs", [("Origin", "http://evil.example")]))
        #expect(try client.answer()?.status == 403)
        #expect(site.hub.clientCount == 0)
        try client.upgrade("/ws/logs")
        #expect(site.hub.clientCount == 1)
        site.stop()
        #expect(try client.message()?["type"]?.string == "drain")
        #expect(try client.message() == nil)
        #expect(client.closeCode == 1001)
    }

    /// A reader over TCP that lags behind a small history is told its gap and goes on.
    @Test func slowReaderOverTCP() throws {
        var limits = Limits()
        limits.historyEventsMax = 100
        limits.sendBufferBytes = 4096
        let site = try Site(limits)
        let filter = ModelFilter([.logs])
        let client = try site.connect(filter.target)
        var published: [UInt64: ModelEvent] = [:]
        // More than the kernel keeps for a connection on both sides.
        for number in 0..<1500 {
            var event = ModelEvent(channel: number % 3 == 0 ? .requests : .logs, type: "note", number: number)
            event.message = String(repeating: "m", count: 10_000)
            published[try #require(site.hub.publish([event.draft])).lowerBound] = event
        }
        site.hub.publish([EventDraft(channel: .all, type: "marker", timestamp: Instant(milliseconds: 0), data: Array("{}".utf8))])
        var ledger = Ledger()
        try ledger.read(client, until: "marker")
        #expect(ledger.complaint(against: published, passes: filter.passes) == nil)
        #expect(ledger.gaps.count >= 1)
        site.stop()
    }
}
