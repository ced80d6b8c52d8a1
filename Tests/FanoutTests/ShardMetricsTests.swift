// What a shard counts for the metrics page, held against what it did.

import Base
import Dispatch
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct HistogramTests {
    @Test(arguments: [(0, 0), (9, 0), (10, 0), (11, 1), (20, 1), (21, 2), (1_000_000, 2)] as [(UInt64, Int)])
    func aBoundIsPartOfItsBucket(value: UInt64, bucket: Int) {
        let histogram = Histogram(bounds: [10, 20])
        histogram.observe(value)
        histogram.observe(value, times: 4)
        #expect(histogram.reading.counts == (0...2).map { $0 == bucket ? 5 : 0 })
        #expect(histogram.reading.sum == 5 * value)
    }

    @Test func boundsGrow() {
        for bounds in [ShardMetrics.delayBounds, ShardMetrics.depthBounds] {
            #expect(zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 })
        }
    }
}

@Suite struct ShardMetricsTests {
    private func limits(events: Int = 10_000) -> Limits {
        var limits = Limits()
        limits.historyEventsMax = events
        limits.sendBufferBytes = 4096
        return limits
    }

    private func delays(_ rig: Rig) -> HistogramReading { rig.shards[0].metrics.delay.reading }
    private func count(_ reading: HistogramReading) -> UInt64 { reading.counts.reduce(0, +) }

    /// What is published while the shard is busy is late by just that.
    @Test func delayIsFromPublishingToTheSocket() throws {
        let clock = ManualClock()
        let rig = try Rig(limits(), shards: 1, clock: clock)
        let clients = try (0..<70).map { _ in try rig.subscribe(ModelFilter([.logs])) }
        rig.settle()
        let (busy, goOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        rig.shards[0].queue.async {
            busy.signal()
            goOn.wait()
        }
        busy.wait()
        rig.hub.publish([draft(.logs, "1"), draft(.requests, "2"), draft(.logs, "3")])
        clock.advance(.milliseconds(3))
        goOn.signal()
        for client in clients { #expect(try client.message()?["data"]?.int == 1) }
        rig.settle()
        let delays = delays(rig)
        #expect(count(delays) == 140 && count(delays) == rig.total(.delivered))
        let bucket = try #require(ShardMetrics.delayBounds.firstIndex(of: 5_000_000))
        #expect(delays.counts[bucket] == 140)
        #expect(delays.sum == 140 * 3_000_000)
        // Each had taken everything before.
        #expect(rig.shards[0].metrics.depth.reading.counts.first == 70)
    }

    /// What waits for a slow reader is late by that; every event is entered once, whether it was handed out at once or from history.
    @Test func everyLiveDeliveryHasADelay() throws {
        let clock = ManualClock()
        let rig = try Rig(limits(), shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        let pad = String(repeating: "p", count: 500)
        for number in 0..<400 { rig.hub.publish([draft(.logs, #"{"n":\#(number),"pad":"\#(pad)"}"#)]) }
        rig.settle()
        #expect(rig.shards[0].metrics.depth.reading.counts.dropFirst().reduce(0, +) > 0, "it does not read")
        clock.advance(.seconds(7))
        while try client.message()?["data"]?["n"]?.int != 399 {}
        rig.settle()
        let delays = delays(rig)
        #expect(count(delays) == 400 && rig.total(.delivered) == 400)
        let late = try #require(ShardMetrics.delayBounds.firstIndex(of: 10_000_000_000))
        #expect(delays.counts[late] > 0 && delays.counts[late] + delays.counts[0] == 400)
        #expect(rig.shards[0].metrics.clientsBehind == 0)
    }

    /// What a client asks for again is as old as it is: that is no delay.
    @Test func replaysHaveNone() throws {
        let clock = ManualClock()
        let rig = try Rig(limits(), shards: 1, clock: clock)
        for number in 0..<20 { rig.hub.publish([draft(.logs, #"{"n":\#(number)}"#)]) }
        clock.advance(.seconds(60))
        let client = try rig.subscribe(try ModelFilter([.logs]).subscription()) {
            $0.replay = ReplayRequest(since: .id(epoch: rig.hub.epoch.description, sequence: 0))
        }
        _ = try client.message(ofType: "caught_up")
        rig.settle()
        #expect(rig.total(.delivered) == 20)
        #expect(count(delays(rig)) == 0)
        rig.hub.publish([draft(.logs, "1")])
        _ = try client.message()
        rig.settle()
        #expect(count(delays(rig)) == 1 && delays(rig).sum == 0)
        #expect(rig.shards[0].metrics.clientsBehind == 0)
    }

    @Test func clientsAreBehindUntilTheyAreLevelOrGone() throws {
        let rig = try Rig(limits(events: 100), shards: 1, clock: ManualClock())
        let slow = try rig.subscribe(ModelFilter([.logs]))
        let pad = String(repeating: "p", count: 3000)
        for number in 0..<600 { rig.hub.publish([draft(number % 2 == 0 ? .logs : .requests, #""\#(pad)""#)]) }
        rig.settle()
        #expect(rig.shards[0].metrics.clientsBehind == 1)
        slow.end()
        try waitUntil("it is gone") { rig.hub.clientCount == 0 }
        rig.settle()
        #expect(rig.shards[0].metrics.clientsBehind == 0)
        #expect(ClientEnd.allCases.reduce(0) { $0 + rig.shards[0].metrics.ends.count($1) } == 1)
    }

    @Test func endsAndCloses() throws {
        let rig = try Rig(limits(), shards: 1)
        func closes(_ side: CloseSide, _ label: String) -> UInt64 {
            rig.shards[0].metrics.closes(by: side, at: ShardMetrics.closeLabels.firstIndex(of: label) ?? 0)
        }
        let polite = try rig.subscribe(ModelFilter([.logs]))
        _ = try polite.sendClose()
        try waitUntil("it has closed") { closes(.client, "normal") == 1 }
        let odd = try rig.subscribe(ModelFilter([.logs]))
        _ = try odd.sendClose(4095)
        try waitUntil("it has closed with a code of its own") { closes(.client, "other") == 1 }
        let silent = try rig.subscribe(ModelFilter([.logs]))
        _ = try silent.send(opcode: 8, [])
        try waitUntil("it has closed without a code") { closes(.client, "none") == 1 }
        let wrong = try rig.subscribe(ModelFilter([.logs]))
        _ = try wrong.send(opcode: 2, [1])
        try waitUntil("it is closed for binary") { closes(.daemon, "unsupported_data") == 1 }
        let gone = try rig.subscribe(ModelFilter([.logs]))
        gone.end()
        let metrics = rig.shards[0].metrics
        try waitUntil("it is gone") { metrics.ends.count(.vanished) == 1 }
        #expect(metrics.ends.count(.closedByClient) == 3 && metrics.ends.count(.protocolError) == 1)
        #expect(metrics.clients(by: .webSocket) == 5 && metrics.responses(at: 0) == 5)
        #expect(metrics.connections(by: .plain) == 5)
        try waitUntil("all are gone") { metrics.presentConnections(by: .plain) == 0 }
        #expect(metrics.bytesIn > 0)
    }
}
