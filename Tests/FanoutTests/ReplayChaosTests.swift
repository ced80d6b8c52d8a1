// Clients that are behind, ask for events of before, change their mind, and leave, in any order: nobody crashes or waits for ever, and
// the ledger agrees at every moment.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct ReplayChaosTests {
    @Test(arguments: testSeeds(4))
    func wishesInAnyOrder(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var limits = Limits()
        limits.historyEventsMax = generator.pick([16, 64, 400, 4000])
        limits.sendBufferBytes = generator.pick([4096, 32_768])
        limits.ringSpansMax = generator.pick([1, 2, 16, 256])
        limits.outboxBytesMax = generator.pick([2000, 65_536])
        limits.replayEventsMax = generator.pick([10, 100, 100_000])
        limits.messagesPerSecond = 0
        limits.disconnectsSlowConsumers = generator.chance(20)
        let disconnects = limits.disconnectsSlowConsumers
        let rig = try Rig(limits, shards: 2)
        rig.hub.setArchive(WideTable(rows: 300, bytes: generator.pick([10, 500]), rig.hub.clock.now().advanced(byMilliseconds: -50_000), stutters: generator.chance(30)))
        let failures = SharedFailures()
        let isOver = Locked(0)
        let published = Published()
        let clients = 6
        try onThreads(clients + 1) { role in
            failures.catching {
                var generator = SeededGenerator(seed: seed &* 100 &+ UInt64(role))
                if role == clients {
                    var number = 0
                    while isOver.withLock({ $0 }) < clients {
                        published.publish((0..<generator.int(1...20)).map { _ in
                            number += 1
                            var event = ModelEvent.random(number: number, using: &generator)
                            if generator.chance(20) { event.component = String(repeating: "p", count: generator.int(0...9000)) }
                            return event
                        }, to: rig.hub)
                        if let wrong = rig.imbalance() { throw TestFailure(wrong) }
                    }
                    return
                }
                defer { isOver.withLock { $0 += 1 } }
                for _ in 0..<4 {
                    let client = try rig.subscribe(Subscription(statsInterval: 5), to: role % 2)
                    var last = "\(rig.hub.epoch)-0"
                    var waiting: Set<String> = []
                    var isClosed = false
                    for step in 0..<30 {
                        if generator.chance(60) {
                            let names = generator.pick(["[\"logs\"]", "[\"requests\"]", "[\"providers\"]", "[\"all\"]", "[\"logs\",\"requests\"]"])
                            var data = #""channels":\#(names)"#
                            let type = generator.chance(70) ? "subscribe" : "unsubscribe"
                            if type == "subscribe" {
                                if generator.chance(30) { data += #","filters":{"logs":{"level":"\#(generator.pick(["error", "debug", "info,warn"]))"}}"# }
                                switch generator.int(0..<5) {
                                case 0: data += #","since":"\#(last)""#
                                case 1: data += #","history":\#(generator.int(0...300))"#
                                case 2: data += #","since":"\#(generator.pick(["1h", "0", "1s", "48s"]))""#
                                case 3: data += #","since":"\#(generator.pick(["1h", "40s"]))","history":\#(generator.int(0...300))"#
                                default: break
                                }
                            }
                            let id = "\(step)"
                            waiting.insert(id)
                            guard try client.send(#"{"type":"\#(type)","id":"\#(id)","data":{\#(data)}}"#) else { isClosed = true; break }
                        } else if generator.chance(50) {
                            waiting.insert("p\(step)")
                            guard try client.send(#"{"type":"ping","id":"p\#(step)"}"#) else { isClosed = true; break }
                        }
                        if generator.chance(10) { break }
                        // Reads until some answer has come, or a little.
                        var count = generator.int(0...60)
                        while count > 0, !waiting.isEmpty {
                            count -= 1
                            guard let message = try client.message() else { isClosed = true; break }
                            if let id = message["id"]?.string {
                                if ["ack", "error", "pong"].contains(message["type"]?.string) { waiting.remove(id) } else { last = id }
                            }
                        }
                        if isClosed { break }
                    }
                    if isClosed, !disconnects { throw TestFailure("closed: \(String(describing: client.closeCode)) \(client.closeReason)") }
                    if !isClosed, generator.chance(50) {
                        // Everything that was asked is answered at last.
                        while !waiting.isEmpty {
                            guard let message = try client.message() else { break }
                            if ["ack", "error", "pong"].contains(message["type"]?.string), let id = message["id"]?.string { waiting.remove(id) }
                        }
                        if !waiting.isEmpty, !disconnects { throw TestFailure("no answer to \(waiting)") }
                    }
                    client.end()
                }
            }
        }
        #expect(failures.all == [], "seed \(seed)")
        try rig.waitForClients(0)
        #expect(rig.imbalance() == nil, "seed \(seed)")
        #expect(rig.hub.replays.running.load(ordering: .relaxed) == 0)
    }
}
