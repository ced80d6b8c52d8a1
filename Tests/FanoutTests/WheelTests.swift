// Deadlines: neither early nor forgotten, however far away and however time jumps.

import Base
import TestSupport
import Testing

@testable import Fanout

@Suite struct WheelTests {
    @Test(arguments: [
        (Duration.seconds(0), UInt32(0)), (.milliseconds(1), 1), (.milliseconds(249), 1), (.milliseconds(250), 1),
        (.milliseconds(251), 2),
        (.seconds(1), 4), (.seconds(10), 40), (.milliseconds(1001), 5), (.seconds(3600), 14_400),
        (.seconds(10_000_000_000), .max),
        (.seconds(-5), 0), (.nanoseconds(999_999), 0),
    ])
    func ticks(duration: Duration, wanted: UInt32) { #expect(Wheel.ticks(duration) == wanted) }

    /// Random deadlines set, changed and taken back against a list of them.
    @Test(arguments: testSeeds(6))
    func deadlines(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let clock = ManualClock()
        let rig = try Rig(shards: 1, clock: clock)
        let shard = rig.shards[0]
        let count = 60
        // Connections that say nothing: the end of their time ends them.
        let clients = try (0..<count).map { _ in try rig.connect() }
        var model: [UInt32: Int?] = [:]
        var now = 0
        shard.queue.sync { for index in 0..<UInt32(count) { shard.unschedule(index) } }
        for index in 0..<UInt32(count) { model[index] = .some(nil) }
        for _ in 0..<120 {
            for index in model.keys.sorted() where generator.chance(15) {
                if generator.chance(25) {
                    shard.queue.sync { shard.unschedule(index) }
                    model[index] = .some(nil)
                } else {
                    let wait = generator.pick([0, 1, 2, 5, 100, 510, 511, 512, 513, 1023, 1024, 1500, generator.int(0...2000)])
                    shard.queue.sync { shard.schedule(index, in: UInt32(wait)) }
                    model[index] = now + max(1, wait)
                }
            }
            let step = generator.chance(5) ? generator.int(500...3000) : generator.int(0...30)
            clock.advance(.milliseconds(step * Wheel.tickMilliseconds))
            now += step
            let left = shard.queue.sync { () -> Set<UInt32> in
                shard.readClock()
                shard.turnWheel()
                shard.finishRound()
                var left: Set<UInt32> = []
                shard.forEachClient { index, client in if !client.pointee.flags.contains(.ended) { left.insert(index) } }
                return left
            }
            model = model.filter { $0.value.map { $0 > now } ?? true }
            guard left == Set(model.keys) else {
                Issue.record("seed \(seed), tick \(now): \(left.symmetricDifference(model.keys)) differ")
                return
            }
            if model.isEmpty { break }
        }
        // Whose time was over is told so, the others are not.
        for (index, client) in clients.enumerated() where model[UInt32(index)] == nil { #expect(try client.frame() == nil) }
        for index in model.keys { #expect(try !clients[Int(index)].hasInput()) }
    }

    /// Time goes on while a shard has work without end: else deadlines set meanwhile would be over before they began.
    @Test func turnsWhileThereIsWork() throws {
        let clock = ManualClock()
        let rig = try Rig(shards: 1, clock: clock)
        let ticks = Locked<[UInt32]>([])
        // Each block leaves the next one before it ends, so that the shard never comes to rest; far fewer than it does before it gives up its queue.
        @Sendable func work(_ shard: Shard, _ rest: Int) {
            ticks.withLock { $0.append(shard.tick) }
            clock.advance(.milliseconds(Wheel.tickMilliseconds))
            if rest > 0 { shard.post { work($0, rest - 1) } }
        }
        rig.shards[0].post { work($0, 19) }
        try waitUntil("the work is done") { ticks.withLock { $0.count } == 20 }
        let seen = ticks.withLock { $0 }
        #expect(seen.last.map { $0 - (seen.first ?? 0) } == 19)
    }
}
