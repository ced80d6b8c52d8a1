// Runs of frames: what a group gets, in as few pieces as can be.

import Base
import TestSupport
import Testing

@testable import Fanout

@Suite struct GroupTests {
    @Test(arguments: testSeeds(4), Encoding.allCases)
    func runsAreTheEventsThatPass(seed: UInt64, encoding: Encoding) throws {
        var generator = SeededGenerator(seed: seed)
        let events = (0..<80).map { ModelEvent.random(number: $0, using: &generator) }
        let segment = segment(of: events.map(\.draft))
        let frames = segment.spanFrames(encoding)
        for _ in 0..<40 {
            let model = ModelFilter.random(using: &generator)
            let group = Group(try model.subscription().audience, encoding)
            let low = generator.int(0...events.count)
            let range = low..<generator.int(low...events.count)
            var runs = [Run(frames.start(of: frames.place(of: 0, segment)), 1, 1, segment.entry(at: 0))]
            let heard = group.collect(range, of: segment, frames, into: &runs)
            #expect(runs.first?.last == 1, "what was there stays")
            runs.removeFirst()
            let wanted = range.filter { model.passes(events[$0]) }
            let got = runs.flatMap { Int($0.first)...Int($0.last) }.map { $0 - 1 }
            guard got == wanted else {
                Issue.record("seed \(seed): \(model) of \(range): \(got) is not \(wanted)")
                return
            }
            let unfiltered = ModelFilter(model.channels)
            #expect(heard == segment.lanes(of: range.filter { unfiltered.passes(events[$0]) }), "seed \(seed)")
            #expect(group.heard(range, of: segment) == heard)
            for run in runs {
                #expect(run.events == UInt32(run.last - run.first + 1))
                #expect(run.lanes == segment.lanes(of: run.first..<run.last + 1))
                let last = frames.place(of: Int(run.last) - 1, segment)
                #expect(run.start == frames.start(of: frames.place(of: Int(run.first) - 1, segment)))
                #expect(run.start + Int(run.length) == frames.start(of: last) + Int(last.length))
            }
            for (run, next) in zip(runs, runs.dropFirst()) { #expect(run.last + 1 < next.first, "neighbours are one run") }
        }
    }

    /// Members leave in any order; the one that moves is named.
    @Test(arguments: testSeeds(4))
    func membersComeAndGo(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let group = Group(Subscription(channels: .everyChannel, statsInterval: 5).audience, .text)
        var positions: [UInt32: Int32] = [:]
        for client in 0..<UInt32(300) {
            if generator.chance(60) || positions.isEmpty {
                positions[client] = group.add(client)
            } else {
                let leaving = generator.pick(positions.keys.sorted())
                let position = positions.removeValue(forKey: leaving) ?? -1
                if let moved = group.remove(at: position) { positions[moved] = position }
            }
            let order = positions.sorted { $0.value < $1.value }
            #expect(group.members == order.map(\.key), "seed \(seed)")
            #expect(order.map(\.value) == order.indices.map { Int32($0) }, "seed \(seed)")
        }
    }

    /// Clients that differ in what is not theirs alone share a group.
    @Test func audiences() throws {
        let plain = try ModelFilter([.logs]).subscription()
        var other = plain
        try other.filters.set("window", to: "1h", on: .stats)
        #expect(plain.audience == other.audience)
        #expect(plain.statsGroup == nil)
        #expect(
            try ModelFilter([.all]).subscription().audience
                == ModelFilter([.logs, .stats, .providers, .requests]).subscription().audience)
        #expect(try ModelFilter([.all]).subscription().statsGroup == StatsGroup(window: "5m", interval: 5))
        #expect(try ModelFilter([.logs], ["level": "warn"]).subscription().audience != plain.audience)
        #expect(Group(plain.audience, .text).evaluator.isOpen)
        #expect(try !Group(ModelFilter([.logs], ["level": "debug"]).subscription().audience, .text).evaluator.isOpen)
    }
}

extension Segment {
    /// The lanes of some events, by index.
    fileprivate func lanes(of indices: [Int]) -> Lanes {
        indices.reduce(into: Lanes()) { $0 += lanes(of: firstSequence + UInt64($1)..<firstSequence + UInt64($1) + 1) }
    }
}
