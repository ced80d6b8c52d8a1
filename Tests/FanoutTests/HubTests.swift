// Numbers and history, without any shard.

import Base
import TestSupport
import Testing

@testable import Fanout

@Suite struct HubTests {
    private func limits(events: Int = 10_000, bytes: Int = 16_777_216, age: Duration = .seconds(3600)) -> Limits {
        var limits = Limits()
        limits.historyEventsMax = events
        limits.historyBytesMax = bytes
        limits.historyAgeMax = age
        return limits
    }

    @Test func idsGrowByOne() {
        let hub = Hub(limits: limits(), clock: ManualClock())
        #expect(hub.newestSequence == 0)
        #expect(hub.publish([draft(.logs, "{}")]) == 1...1)
        #expect(hub.publish((0..<40).map { draft(.logs, "\($0)") }) == 2...41)
        #expect(hub.publish([draft(.all, "{}")]) == 42...42)
        #expect(hub.newestSequence == 42)
        #expect(hub.epoch.description == "ml9bes00")
    }

    /// Batches of several threads do not mix, and no number is given twice or left out.
    @Test func threadsGetRangesOfTheirOwn() throws {
        let hub = Hub(limits: limits(events: 100), clock: SystemClock())
        let ranges = Locked<[ClosedRange<UInt64>]>([])
        try onThreads(4) { thread in
            var generator = SeededGenerator(seed: UInt64(thread))
            for _ in 0..<60 {
                let range = hub.publish((0..<generator.int(1...9)).map { draft(.logs, "\($0)") })
                ranges.withLock { $0 += range.map { [$0] } ?? [] }
            }
        }
        let sorted = ranges.withLock { $0.sorted { $0.lowerBound < $1.lowerBound } }
        #expect(sorted.first?.lowerBound == 1)
        #expect(sorted.last?.upperBound == hub.newestSequence)
        for (range, next) in zip(sorted, sorted.dropFirst()) { #expect(range.upperBound + 1 == next.lowerBound) }
    }

    /// History keeps what it promises, and not much more.
    @Test(arguments: [16, 100, 160, 1000])
    func boundedByCount(most: Int) {
        let hub = Hub(limits: limits(events: most), clock: ManualClock())
        let segment = max(16, most / 16)
        for count in 1...(3 * most) {
            hub.publish([draft(.logs, "{}")])
            let size = hub.historySize()
            #expect(size.events >= min(count, most) && size.events < most + segment + 1)
            #expect(size.oldest == UInt64(count - size.events + 1))
        }
    }

    @Test func boundedByBytes() {
        let most = 262_144
        let hub = Hub(limits: limits(bytes: most), clock: ManualClock())
        let data = "\"" + String(repeating: "x", count: 1000) + "\""
        for _ in 0..<600 { hub.publish([draft(.logs, data)]) }
        let size = hub.historySize()
        #expect(size.bytes >= most && size.bytes <= most + max(4096, most / 64) + 1200)
    }

    /// One event larger than a segment gets one of its own size, also where it is more than history may hold; its segment takes
    /// smaller ones behind it until that is full.
    @Test func largeEvents() {
        let hub = Hub(limits: limits(bytes: 65_536), clock: ManualClock())
        let large = "\"" + String(repeating: "x", count: 200_000) + "\""
        for _ in 0..<3 {
            hub.publish([draft(.logs, large)])
            #expect(hub.historySize().bytes > 200_000)
        }
        #expect(hub.historySize().events <= 2)
        for _ in 0..<400 { hub.publish([draft(.logs, "\"" + String(repeating: "y", count: 1000) + "\"")]) }
        #expect(hub.historySize().bytes < 80_000)
    }

    /// Age is seen when the heartbeat loop asks; also the newest segment goes.
    @Test func boundedByAge() {
        let clock = ManualClock()
        let hub = Hub(limits: limits(events: 160, age: .seconds(60)), clock: clock)
        for _ in 0..<50 { hub.publish([draft(.logs, "{}")]) }
        #expect(hub.historySize().events == 50)
        clock.advance(.seconds(59))
        hub.expire()
        #expect(hub.historySize().events == 50)
        clock.advance(.seconds(2))
        hub.expire()
        #expect(hub.historySize().oldest == 51)
        #expect(hub.historySize().events == 0)
        #expect(hub.coverage() == clock.now(), "nothing is left of what was before")
        hub.publish([draft(.logs, "{}")])
        #expect(hub.historySize() == (1, hub.historySize().bytes, 51))
        clock.advance(.seconds(30))
        #expect(hub.coverage() == clock.now().advanced(byMilliseconds: -30_000))
    }

    /// Whoever still looks at what history has let go of keeps that, and not what came after it.
    @Test(arguments: [0, 2]) func oneWhoLooksKeepsOnlyWhatItSees(shards: Int) throws {
        let rig = try Rig(limits(events: 16), shards: shards, clock: ManualClock())
        let view = rig.hub.snapshot()
        weak var later: Segment?
        for number in 0..<200 {
            rig.hub.publish([draft(.logs, "{}")])
            if number == 50 { later = rig.hub.newestSegment() }
        }
        rig.settle()
        #expect(later == nil, "the segment of then is gone")
        #expect(view.segments.first?.next == nil)
        rig.hub.publish([draft(.logs, "{}")])
        rig.settle()
    }

    /// A slow trickle does not keep old events: segments end by age as well.
    @Test func boundedByAgeInATrickle() {
        let clock = ManualClock()
        let hub = Hub(limits: limits(events: 160, age: .seconds(160)), clock: clock)
        for _ in 0..<1000 {
            hub.publish([draft(.logs, "{}")])
            clock.advance(.seconds(1))
            hub.expire()
        }
        #expect((160...172).contains(hub.historySize().events))
    }

    /// Random batches, sizes and pauses against history kept as a list.
    @Test(arguments: testSeeds(12))
    func historyAgainstAList(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let clock = ManualClock()
        let limits = limits(
            events: generator.int(16...300), bytes: generator.int(2000...60_000), age: .seconds(generator.int(1...20)))
        let hub = Hub(limits: limits, clock: clock)
        // Of each segment: its events' sizes, and when the newest came.
        var segments: [(first: UInt64, sizes: [Int], began: UInt64, published: UInt64)] = [(1, [], 0, 0)]
        let age = UInt64(limits.historyAgeMax.components.seconds) * 1_000_000_000
        let entriesMax = max(16, limits.historyEventsMax / 16)
        let bytesMax = max(4096, limits.historyBytesMax / 64)
        var room = bytesMax
        var next: UInt64 = 1
        for _ in 0..<80 {
            let drafts = (0..<generator.int(1...20)).map { _ in
                draft(
                    .logs,
                    "\"" + String(repeating: "x", count: generator.chance(5) ? generator.int(0...9000) : generator.int(0...200))
                        + "\"")
            }
            #expect(hub.publish(drafts) == next...next + UInt64(drafts.count) - 1)
            for draft in drafts {
                let need = Segment.bytesNeeded(draft)
                let used = segments[segments.count - 1].sizes.reduce(0, +)
                let newest = segments[segments.count - 1]
                let isOld = !newest.sizes.isEmpty && clock.monotonic() - newest.began > age / 16
                if newest.sizes.count == entriesMax || used + need > room || isOld {
                    segments.append((next, [], 0, 0))
                    room = max(bytesMax, need)
                }
                let text =
                    #"{"type":"note","id":"ml9bes00-\#(next)","timestamp":"1970-01-01T00:00:00.000Z","channel":"logs","data":}"#
                if segments[segments.count - 1].sizes.isEmpty { segments[segments.count - 1].began = clock.monotonic() }
                segments[segments.count - 1].sizes.append(text.utf8.count + draft.data.count)
                segments[segments.count - 1].published = clock.monotonic()
                next += 1
            }
            if generator.chance(30) {
                clock.advance(.milliseconds(generator.int(0...8000)))
                hub.expire()
                if !segments[segments.count - 1].sizes.isEmpty, segments[segments.count - 1].published + age < clock.monotonic() {
                    segments.append((next, [], 0, 0))
                    room = bytesMax
                }
            }
            // What is left without the oldest must still be all that is promised.
            while segments.count > 1 {
                let rest = segments.dropFirst()
                let isSurplus =
                    rest.reduce(0) { $0 + $1.sizes.count } >= limits.historyEventsMax
                    || rest.reduce(0) { $0 + $1.sizes.reduce(0, +) } >= limits.historyBytesMax
                    || segments[0].published + age < clock.monotonic()
                guard isSurplus else { break }
                segments.removeFirst()
            }
            let size = hub.historySize()
            let wanted = (
                segments.reduce(0) { $0 + $1.sizes.count }, segments.reduce(0) { $0 + $1.sizes.reduce(0, +) }, segments[0].first
            )
            guard size == wanted else {
                Issue.record("seed \(seed): \(size) is not \(wanted)")
                return
            }
        }
    }

    /// A stats group is watched while somebody is in it.
    @Test func statsGroupsAreCounted() {
        final class Source: StatsSource {
            let calls = Locked<[String]>([])
            func watch(_ group: StatsGroup) { calls.withLock { $0.append("watch \(group.window)/\(group.interval)") } }
            func unwatch(_ group: StatsGroup) { calls.withLock { $0.append("unwatch \(group.window)/\(group.interval)") } }
        }
        let hub = Hub(limits: limits(), clock: ManualClock())
        let source = Source()
        hub.setStatsSource(source)
        let five = StatsGroup(window: "5m", interval: 5)
        let hour = StatsGroup(window: "1h", interval: 5)
        #expect(hub.join(five, .text).present == nil)
        hub.updateStats(five, at: Instant(milliseconds: 0), data: Array("{}".utf8))
        let second = hub.join(five, .text)
        let frame = second.present.map { String(decoding: $0.bytes.dropFirst(2), as: UTF8.self) }
        #expect(frame == #"{"type":"stats_update","timestamp":"1970-01-01T00:00:00.000Z","data":{}}"#)
        #expect(hub.join(hour, .text).number != second.number)
        hub.leave(five, .text)
        #expect(source.calls.withLock { $0 } == ["watch 5m/5", "watch 1h/5"])
        hub.leave(five, .text)
        hub.leave(five, .text)
        hub.leave(hour, .text)
        #expect(source.calls.withLock { $0 } == ["watch 5m/5", "watch 1h/5", "unwatch 5m/5", "unwatch 1h/5"])
        // Nobody is there: nothing to keep.
        hub.updateStats(five, at: Instant(milliseconds: 0), data: Array("{}".utf8))
        #expect(hub.join(five, .text).present == nil)
    }

    @Test func presentStateOfProviders() {
        let hub = Hub(limits: limits(), clock: ManualClock())
        #expect(hub.providerFrames(.text, wanted: []).frames.isEmpty)
        hub.updateProviders(["a", "b"].map { (id: $0, timestamp: Instant(milliseconds: 0), data: Array("\"\($0)\"".utf8)) })
        func texts(_ wanted: [String]) -> Int {
            String(decoding: hub.providerFrames(.text, wanted: wanted.map { Array($0.utf8) }).frames, as: UTF8.self).split(
                separator: "provider_status"
            ).count - 1
        }
        #expect(texts([]) == 2)
        #expect(texts(["b"]) == 1)
        #expect(texts(["b", "x", "a"]) == 2)
        #expect(hub.providerFrames(.text, wanted: [[1]]).frames.isEmpty)
    }
}
