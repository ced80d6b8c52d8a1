// State instead of history: what a new subscriber gets at once, and what one that is behind gets once instead of many times.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct StateTests {
    private let group = StatsGroup(window: "5m", interval: 5)

    private func update(_ rig: Rig, _ number: Int, _ group: StatsGroup? = nil) {
        rig.hub.updateStats(group ?? self.group, at: Instant(milliseconds: 0), data: Array(#"{"n":\#(number)}"#.utf8))
    }

    private func slowRig(spans: Int = 256) throws -> Rig {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        limits.ringSpansMax = spans
        return try Rig(limits, shards: 1, clock: ManualClock())
    }

    /// More than its socket takes.
    private func block(_ rig: Rig) {
        rig.hub.publish([draft(.logs, "\"" + String(repeating: "x", count: 50_000) + "\"")])
        rig.settle()
    }

    @Test func newSubscribersGetThePresentState() throws {
        let rig = try Rig()
        let first = try rig.subscribe(ModelFilter([.stats]), to: 0)
        update(rig, 1)
        #expect(try first.message()?["data"]?["n"]?.int == 1)
        let second = try rig.subscribe(ModelFilter([.all]), to: 1)
        #expect(try second.message()?["data"]?["n"]?.int == 1)
        update(rig, 2)
        for client in [first, second] {
            let message = try #require(try client.message())
            #expect(message["data"]?["n"]?.int == 2)
            #expect(message["id"] == nil && message["channel"] == nil)
            #expect(message["type"]?.string == "stats_update")
        }
    }

    /// Groups are by window and interval, over all shards; each is watched from its first member to its last.
    @Test func groupsOfStats() throws {
        final class Source: StatsSource {
            let calls = Locked<[String]>([])
            func watch(_ group: StatsGroup) { calls.withLock { $0.append("+\(group.window)/\(group.interval)") } }
            func unwatch(_ group: StatsGroup) { calls.withLock { $0.append("-\(group.window)/\(group.interval)") } }
        }
        let rig = try Rig()
        let source = Source()
        rig.hub.setStatsSource(source)
        let hour = StatsGroup(window: "1h", interval: 5)
        var wanted = Subscription(channels: ChannelSet(.stats), statsInterval: 5)
        let first = try rig.subscribe(wanted, to: 0)
        let second = try rig.subscribe(wanted, to: 1)
        wanted.filters.stats = hour
        let third = try rig.subscribe(wanted, to: 1)
        update(rig, 1)
        update(rig, 2, hour)
        #expect(try first.message()?["data"]?["n"]?.int == 1)
        #expect(try second.message()?["data"]?["n"]?.int == 1)
        #expect(try third.message()?["data"]?["n"]?.int == 2)
        // From one group into the other: its present state comes at once.
        try first.send(#"{"type":"subscribe","data":{"channels":["stats"],"filters":{"stats":{"window":"1h"}}}}"#)
        #expect(try first.message()?["data"]?["n"]?.int == 2)
        second.end()
        try rig.waitForClients(2)
        #expect(source.calls.withLock { $0 } == ["+5m/5", "+1h/5", "-5m/5"])
        first.end()
        third.end()
        try rig.waitForClients(0)
        #expect(source.calls.withLock { $0 } == ["+5m/5", "+1h/5", "-5m/5", "-1h/5"])
    }

    /// A client that does not read gets the newest state and none of those before, however many there were.
    @Test(arguments: [(1, 200), (16, 200), (256, 40), (256, 1000)])
    func onlyTheNewestStateWaits(spans: Int, updates: Int) throws {
        let rig = try slowRig(spans: spans)
        let client = try rig.subscribe(ModelFilter([.stats, .logs]))
        block(rig)
        for number in 0..<updates { update(rig, number) }
        rig.settle()
        #expect(rig.total(.conflated) == UInt64(updates - 1))
        rig.publishMarker()
        var numbers: [Int] = []
        while let message = try client.message(), message["type"]?.string != "marker" {
            if message["type"]?.string == "stats_update" { numbers.append(message["data"]?["n"]?.int ?? -1) }
        }
        #expect(numbers == [updates - 1])
    }

    /// A state of which a part is sent is finished; the one behind it is the newest.
    @Test func stateThatHasBegunIsFinished() throws {
        let rig = try slowRig()
        let client = try rig.subscribe(ModelFilter([.stats]))
        let large = String(repeating: "x", count: 60_000)
        rig.hub.updateStats(group, at: Instant(milliseconds: 0), data: Array(#"{"n":-1,"x":"\#(large)"}"#.utf8))
        for number in 0..<50 { update(rig, number) }
        rig.settle()
        #expect(try client.message()?["data"]?["n"]?.int == -1)
        #expect(try client.message()?["data"]?["n"]?.int == 49)
    }

    /// States do not stand in the way of events, nor events in the way of states.
    @Test func statesAndEventsOfASlowClient() throws {
        let rig = try slowRig(spans: 2)
        let client = try rig.subscribe(ModelFilter([.stats, .logs], ["component": "a,b"]))
        block(rig)
        for number in 0..<300 {
            rig.hub.publish([draft(.logs, #"{"n":\#(number),"component":"\#(number % 2 == 0 ? "a" : "c")"}"#)])
            if number % 10 == 0 { update(rig, number) }
        }
        rig.publishMarker()
        var numbers: [Int] = []
        var states: [Int] = []
        while let message = try client.message(), message["type"]?.string != "marker" {
            guard let number = message["data"]?["n"]?.int else { continue }
            if message["type"]?.string == "stats_update" { states.append(number) } else { numbers.append(number) }
        }
        #expect(numbers == (0..<150).map { $0 * 2 })
        #expect(states.last == 290)
    }

    /// The ack of a subscription goes before the state that it allows.
    @Test func answerThenState() throws {
        let rig = try Rig(shards: 1)
        rig.hub.updateProviders(
            ["a", "b"].map { (id: $0, timestamp: Instant(milliseconds: 5), data: Array(#"{"provider_id":"\#($0)"}"#.utf8)) })
        let client = try rig.subscribe(ModelFilter([]))
        try client.send(
            #"{"type":"subscribe","id":"1","data":{"channels":["providers"],"filters":{"providers":{"provider_id":"b"}}}}"#)
        #expect(try client.message()?["type"]?.string == "ack")
        let state = try #require(try client.message())
        #expect(state["type"]?.string == "provider_status")
        #expect(state["data"]?["provider_id"]?.string == "b")
        #expect(state["timestamp"]?.string == "1970-01-01T00:00:00.005Z")
        #expect(state["id"] == nil)
        try client.send(#"{"type":"subscribe","id":"2","data":{"channels":["providers"],"filters":{"providers":{}}}}"#)
        #expect(try client.message()?["id"]?.string == "2")
        #expect(try client.message()?["data"]?["provider_id"]?.string == "a")
        #expect(try client.message()?["data"]?["provider_id"]?.string == "b")
        // Another channel is no reason to send it again.
        try client.send(#"{"type":"subscribe","id":"3","data":{"channels":["logs"]}}"#)
        #expect(try client.message()?["id"]?.string == "3")
        try client.send(#"{"type":"ping"}"#)
        #expect(try client.message()?["type"]?.string == "pong")
    }

    @Test func welcomeComesFirst() throws {
        let rig = try Rig(shards: 1, clock: ManualClock())
        rig.hub.publish([draft(.logs, "{}")])
        rig.settle()
        rig.hub.updateProviders([(id: "a", timestamp: Instant(milliseconds: 5), data: Array("{}".utf8))])
        let client = try rig.subscribe(ModelFilter([.providers]).subscription()) { $0.welcomes = true }
        let message = try #require(try client.message())
        #expect(message["type"]?.string == "welcome")
        #expect(message["data"]?["sequence"]?.int == 1)
        #expect(message["data"]?["position"]?.string == "ml9bes00-1")
        #expect(message["data"]?["heartbeat_interval"]?.int == 30)
        #expect(message["data"]?["client_timeout"]?.int == 90)
        #expect(try client.message()?["type"]?.string == "provider_status")
    }
}
