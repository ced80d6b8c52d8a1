// Everything at once: connections of all kinds that do random things while events and states flow. Whatever they did, the
// others are served, and in the end nothing of them is left.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct ChaosTests {
    @Test(arguments: testSeeds(3), [false, true])
    func nothingIsLeftBehind(seed: UInt64, overTLS: Bool) throws {
        var limits = Limits()
        limits.historyEventsMax = 64
        limits.sendBufferBytes = 4096
        limits.ringSpansMax = 4
        limits.outboxBytesMax = 4096
        limits.clientsMax = 20
        limits.httpConnectionsMax = 6
        limits.messagesPerSecond = seed % 2 == 0 ? 0 : 50
        limits.disconnectsSlowConsumers = seed % 3 == 0
        limits.compression.thresholdBytes = 0
        limits.compression.keepsContext = seed % 2 == 0
        limits.roundCompressionMax = seed % 4 == 0 ? 1 : 10_000
        let rig = try Rig(limits, speaksTLS: overTLS)
        var upgrade = Upgrade(subscription: try ModelFilter([.all]).subscription())
        upgrade.compress(try Rig.agree(window: 15, on: rig.hub))
        let target = rig.desk.register(upgrade)
        let witness = try (0..<2).map { try rig.subscribe(ModelFilter([.requests]), to: $0, as: Rig.encoding(of: 4 * $0)) }
        let failures = SharedFailures()
        let published = Published()
        let ledgers = Locked([Ledger(), Ledger()])
        try onThreads(8) { role in
            failures.catching {
                switch role {
                case 0, 1:
                    var ledger = Ledger()
                    try ledger.read(witness[role], until: "marker")
                    ledgers.withLock { $0[role] = ledger }
                case 2:
                    var generator = SeededGenerator(seed: seed)
                    for round in 0..<60 {
                        try publish(
                            1, of: 6, from: 1, seed: seed &* 100 &+ UInt64(round), to: rig.hub, into: published, padding: 3000)
                        rig.hub.updateStats(
                            StatsGroup(window: generator.pick(StatsGroup.windows), interval: 5), at: Instant(milliseconds: 0),
                            data: Array("{}".utf8))
                        rig.hub.updateProviders([(id: "openai", timestamp: Instant(milliseconds: 0), data: Array("{}".utf8))])
                        for shard in rig.shards where generator.chance(20) { shard.post { _ = $0.describeClients() } }
                        if generator.chance(10) { rig.desk.answerWaiting() }
                        if generator.chance(20), let text = rig.imbalance() { throw TestFailure("seed \(seed): \(text)") }
                    }
                    rig.publishMarker()
                default: try ChaosTests.misbehave(rig, target, SeededGenerator(seed: seed &* 10 &+ UInt64(role)))
                }
            }
        }
        #expect(failures.all == [], "seed \(seed)")
        for (client, ledger) in zip(witness, ledgers.withLock { $0 }) {
            // Who was too slow has been closed, if that is the policy; its ledger is a beginning.
            if client.closeCode == nil {
                #expect(
                    ledger.complaint(against: published.events) { ModelFilter([.requests]).passes($0) } == nil, "seed \(seed)")
            } else {
                #expect(client.closeCode == 4008 && limits.disconnectsSlowConsumers)
            }
            client.end()
        }
        try waitUntil("all connections end") {
            // Also what was asked only now.
            rig.desk.answerWaiting()
            return rig.hub.connectionCount == 0
        }
        rig.settle()
        #expect(rig.hub.clientCount == 0)
        #expect(rig.hub.httpConnections.load(ordering: .relaxed) == 0)
        #expect(rig.imbalance() == nil, "seed \(seed)")
        for shard in rig.shards {
            let counters = shard.counters
            #expect(counters.connections.load(ordering: .relaxed) == 0)
            #expect(counters.clients.load(ordering: .relaxed) == 0)
            for channel in Channel.allCases { #expect(counters.subscriptions(to: channel) == 0) }
            shard.queue.sync {
                #expect(shard.groups.isEmpty && shard.groupList.isEmpty && shard.statsGroups.isEmpty)
                for bucket in 0..<Wheel.buckets where shard.wheel[bucket] != Wheel.none {
                    Issue.record("seed \(seed): bucket \(bucket)")
                }
            }
        }
    }

    private static func misbehave(_ rig: Rig, _ target: String, _ generator: SeededGenerator) throws {
        var generator = generator
        for _ in 0..<25 {
            let client = try rig.connectWire(to: generator.int(0...1), speaksTLS: rig.speaksTLS)
            if rig.speaksTLS {
                if generator.chance(10) {
                    try client.writeWire((0..<100).map { _ in UInt8.random(in: 0...255, using: &generator) })
                    client.end()
                    continue
                }
                // One connection too many is closed without a handshake.
                do { try client.handshake() } catch { continue }
                if generator.chance(10) { try client.tls?.changeKeys() }
            }
            switch generator.int(0..<6) {
            case 0:
                try client.write("GET /\(generator.pick(["x", "later", "large", "refused"])) HTTP/1.1\r\nHost: a\r\n\r\n")
                if generator.chance(50) { client.endWriting() }
            case 1: try client.write((0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) })
            case 2: try client.write(String(SocketClient.upgradeRequest(target).dropLast(generator.int(0...60))))
            default:
                try client.write(SocketClient.upgradeRequest(target))
                // Some wait until they are subscribed.
                if generator.chance(80), let answer = try client.answer(), answer.status != 101, answer.status != 503 {
                    throw TestFailure("\(answer.status) for an upgrade")
                }
                for _ in 0..<generator.int(0...12) {
                    let filter = ModelFilter.random(using: &generator)
                    let names = filter.channels.map { "\"\($0.name)\"" }.joined(separator: ",")
                    let window = generator.pick(StatsGroup.windows)
                    let text = generator.pick([
                        #"{"type":"subscribe","id":"1","data":{"channels":[\#(names)]}}"#,
                        #"{"type":"subscribe","data":{"channels":["stats"],"filters":{"stats":{"window":"\#(window)"}}}}"#,
                        #"{"type":"subscribe","data":{"channels":["logs","providers"],"filters":{"logs":{"level":"warn"}}}}"#,
                        #"{"type":"subscribe","id":"4","data":{"channels":[\#(names)],"history":\#(generator.int(0...50))}}"#,
                        #"{"type":"subscribe","data":{"channels":[\#(names)],"since":"\#(rig.hub.epoch)-\#(generator.int(0...300))"}}"#,
                        #"{"type":"unsubscribe","id":2,"data":{"channels":[\#(names)]}}"#, #"{"type":"ping","id":"3"}"#,
                        "nonsense",
                    ])
                    guard try client.send(text) else { break }
                    if generator.chance(10), try client.hasInput() { try client.skipInput() }
                    if generator.chance(5) { try client.send(opcode: 9, [1, 2, 3]) }
                    if generator.chance(5) { try client.write([0xFF]) }
                }
                if generator.chance(30) { try client.sendClose() }
                if generator.chance(30) { try client.skipInput() }
            }
            client.end()
        }
    }
}
