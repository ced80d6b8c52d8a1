// Clients that do not read until history has moved on: the gap says exactly what is missing.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct SlowConsumerTests {
    /// Segments of sixteen events.
    private func limits(events: Int = 100) -> Limits {
        var limits = Limits()
        limits.historyEventsMax = events
        limits.sendBufferBytes = 4096
        return limits
    }

    @Test func gapAfterHistoryMovedOn() throws {
        let rig = try Rig(limits(), shards: 1, clock: ManualClock())
        let client = try rig.subscribe(ModelFilter([.logs]))
        let published = Published()
        for number in 0..<500 {
            var event = ModelEvent(channel: number % 2 == 0 ? .logs : .requests, type: "note", number: number)
            event.message = String(repeating: "m", count: 100)
            published.publish([event], to: rig.hub)
        }
        rig.settle()
        let waiting = rig.shards[0].queue.sync { rig.shards[0].describeClients()[0] }
        #expect(waiting.dropped > 0 && waiting.waiting > 0)
        rig.publishMarker()
        var ledger = Ledger()
        try ledger.read(client, until: "marker")
        #expect(ledger.complaint(against: published.events) { $0.channel == .logs } == nil)
        #expect(ledger.gaps.count == 1)
        let gap = try #require(ledger.gaps.first)
        #expect(gap.reason == "slow_consumer")
        // Up to the last of its events that history no longer has.
        let oldest = rig.hub.historySize().oldest
        #expect(gap.resume == published.events.filter { $0.key < oldest && $0.value.channel == .logs }.keys.max())
        #expect(UInt64(gap.dropped) == waiting.dropped)
        #expect(rig.total(.dropped) == waiting.dropped)
        #expect(rig.sum { $0.gaps.load(ordering: .relaxed) } == 1)
        // And it goes on as if nothing had been.
        rig.hub.publish([draft(.logs, #"{"n":1000}"#)])
        #expect(try client.message()?["data"]?["n"]?.int == 1000)
    }

    /// The gap names the channels and stands in the stream like any message.
    @Test func gapAsOnTheWire() throws {
        let rig = try Rig(limits(), shards: 1, clock: ManualClock())
        let client = try rig.subscribe(ModelFilter([.logs, .providers]))
        let text = String(repeating: "m", count: 3000)
        for number in 0..<300 { rig.hub.publish([draft(.logs, #"{"n":\#(number),"t":"\#(text)"}"#)]) }
        rig.settle()
        let message = try client.message(ofType: "gap")
        #expect(message["timestamp"]?.string == "2026-02-05T10:30:00.000Z")
        #expect(message["id"] == nil)
        #expect(message["data"]?["reason"]?.string == "slow_consumer")
        #expect(message["data"]?["channels"] == .array([.string("logs")]), "those that lost something")
        #expect(message["data"]?["resume"]?.string?.hasPrefix("ml9bes00-") == true)
        #expect(message.object?.map(\.key) == ["type", "timestamp", "data"])
    }

    /// Clients that read a little now and then, with frames that do not fit the socket; several publishers.
    @Test(arguments: testSeeds(10), [false, true])
    func whatIsMissingIsInAGap(seed: UInt64, overTLS: Bool) throws {
        var generator = SeededGenerator(seed: seed)
        var limits = limits(events: generator.pick([16, 50, 100, 200]))
        limits.historyBytesMax = generator.pick([20_000, 100_000, 16_777_216])
        limits.ringSpansMax = generator.pick([1, 2, 3, 16, 256])
        limits.roundBytesMax = generator.pick([1, 500, 5000, 65_536])
        limits.compression.thresholdBytes = generator.pick([0, 512])
        limits.compression.keepsContext = generator.chance(50)
        limits.roundCompressionMax = generator.pick([1, 10_000, 524_288])
        let rig = try Rig(limits, clock: ManualClock(), speaksTLS: overTLS)
        let filters = (0..<7).map { _ in ModelFilter.random(using: &generator) } + [ModelFilter([.all])]
        let clients = try filters.enumerated().map { try rig.subscribe($1, to: $0 % 2, as: Rig.encoding(of: $0)) }
        let published = Published()
        var ledgers = [Ledger](repeating: Ledger(), count: clients.count)
        for round in 0..<12 {
            try publish(
                generator.int(1...8), of: 8, from: 2, seed: seed &* 100 &+ UInt64(round), to: rig.hub, into: published,
                padding: generator.pick([0, 100, 8000]))
            for number in clients.indices where generator.chance(40) {
                // Not more than surely is there: what its filter passed and no gap can have taken.
                for _ in 0..<generator.int(0...5) where try clients[number].hasInput() {
                    if let message = try clients[number].message() { try ledgers[number].enter(message) }
                }
            }
        }
        rig.publishMarker()
        for (number, client) in clients.enumerated() {
            try ledgers[number].read(client, until: "marker")
            let complaint = ledgers[number].complaint(against: published.events, passes: filters[number].passes)
            #expect(complaint == nil, "seed \(seed), client \(number): \(filters[number])")
        }
        rig.settle()
        // Both ends counted: what was not delivered was dropped, and said so.
        let markers = UInt64(clients.count)
        let delivered = UInt64(ledgers.reduce(0) { $0 + $1.events.count })
        let dropped = UInt64(ledgers.reduce(0) { $0 + $1.gaps.reduce(0) { $0 + $1.dropped } })
        #expect(rig.total(.dropped) == dropped, "seed \(seed)")
        #expect(rig.total(.delivered) == delivered + markers, "seed \(seed)")
        #expect(rig.imbalance() == nil, "seed \(seed)")
    }

    /// Policy `disconnect`: the client hears 4008 instead of a gap, and nobody else does.
    @Test func disconnectPolicy() throws {
        var limits = limits()
        limits.disconnectsSlowConsumers = true
        let rig = try Rig(limits, clock: ManualClock())
        let slow = try rig.subscribe(ModelFilter([.logs]))
        let unconcerned = try rig.subscribe(ModelFilter([.providers]))
        let text = String(repeating: "m", count: 500)
        for number in 0..<400 { rig.hub.publish([draft(.logs, #"{"n":\#(number),"t":"\#(text)"}"#)]) }
        rig.settle()
        var ledger = Ledger()
        #expect(try !ledger.read(slow, until: "gap"))
        #expect(slow.closeCode == 4008)
        #expect(slow.closeReason == "too slow")
        // What it did get is the beginning, without a hole.
        #expect(ledger.events.map(\.number) == Array(0..<ledger.events.count))
        #expect(ledger.events.count < 400)
        try slow.sendClose(4008)
        #expect(try slow.frame() == nil)
        slow.end()
        try rig.waitForClients(1)
        rig.publishMarker()
        #expect(try unconcerned.message()?["type"]?.string == "marker")
    }

    /// With that policy a client whose filter passes nothing of what is gone stays.
    @Test func disconnectPolicySparesWhoLostNothing() throws {
        var limits = limits()
        limits.disconnectsSlowConsumers = true
        let rig = try Rig(limits, shards: 1, clock: ManualClock())
        let client = try rig.subscribe(ModelFilter([.logs], ["component": "mine"]))
        for number in 0..<400 { rig.hub.publish([draft(.logs, #"{"n":\#(number),"component":"other"}"#)]) }
        rig.hub.publish([draft(.logs, #"{"n":400,"component":"mine"}"#)])
        #expect(try client.message()?["data"]?["n"]?.int == 400)
        #expect(client.closeCode == nil)
    }

    /// Before the gap is told, no position is claimed beyond it: who resumes from there must not miss it.
    @Test func positionStaysBeforeAnUntoldGap() throws {
        let rig = try Rig(limits(), shards: 1, clock: ManualClock())
        let client = try rig.subscribe(ModelFilter([.logs]))
        let text = String(repeating: "m", count: 1000)
        for number in 0..<300 { rig.hub.publish([draft(.logs, #"{"n":\#(number),"t":"\#(text)"}"#)]) }
        rig.settle()
        try client.send(#"{"type":"ping"}"#)
        try waitUntil("the ping is taken") { rig.sum { $0.messagesReceived.load(ordering: .relaxed) } == 1 }
        rig.publishMarker()
        var settled: UInt64 = 0
        while let message = try client.message(), message["type"]?.string != "marker" {
            if message["type"]?.string == "pong" {
                let position = try #require(message["data"]?["position"]?.string.flatMap(sequence(ofID:)))
                #expect(position == settled)
            } else if message["type"]?.string == "gap" {
                #expect(message["data"]?["after"]?.string.flatMap(sequence(ofID:)) == settled)
            } else {
                settled = try #require(message["id"]?.string.flatMap(sequence(ofID:)))
            }
        }
    }
}
