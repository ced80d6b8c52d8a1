// A disk that does not answer, and a sink that does not return: what the control side makes of either.

import Base
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import EventSources

/// A sink that does not return from `publish` until it is let.
final class StuckSink: EventSink {
    let isStuck = Atomic<Bool>(true)
    let entered = Atomic<Bool>(false)
    func publish(_ events: [SourceEvent]) {
        entered.store(true, ordering: .releasing)
        while isStuck.load(ordering: .acquiring) { usleep(1000) }
    }
    func gap(channel: SourceChannel, reason: SourceGap) {}
    func providerStates(_ states: [(id: String, data: [UInt8])]) {}
    func stats(window: StatsWindow, interval: Int, at: Instant, data: [UInt8]) {}
}

@Suite(.timeLimit(.minutes(5))) struct HangTests {
    private func until(_ what: () -> Bool) async throws {
        while !what() { try await Task.sleep(for: .milliseconds(5)) }
    }

    @Test func aHangingReadIsALagAndNoMissedBeat() async throws {
        #expect(HangingDisk.installed)
        let folder = try Folder()
        let database = try WritableDatabase("\(folder.path)/hanging.db")
        try database.createSchema()
        let clock = ManualClock(SystemClock().now())
        let sink = CollectingSink()
        let sampler = Sampler(path: database.path, clock: clock, sink: sink)
        sampler.start()
        try await until { sampler.status().allSatisfy { $0.state == .working } }
        database.insert([TestRow(id: uuid(1), at: clock.now())])
        try await until { sink.requests.count == 1 }

        // Written beforehand, so that only the sampler meets the gate.
        HangingDisk.hang(database.path)
        try await until { HangingDisk.isWaitedFor(database.path) }
        clock.advance(milliseconds: 4000)
        sampler.beat(1)
        try await until { sampler.lastBeat == 1 }
        #expect(sink.gaps.isEmpty)
        clock.advance(milliseconds: 60_000)
        sampler.beat(2)
        try await until { sampler.lastBeat == 2 }
        try await until { sink.gaps.count == 3 }
        #expect(sink.gaps == ["stats source_lag", "providers source_lag", "requests source_lag"])
        #expect(sampler.status().allSatisfy { $0.state == .failing && $0.why.hasSuffix("does not come back") })

        HangingDisk.release(database.path)
        database.insert([TestRow(id: uuid(2), at: clock.now())])
        try await until { sink.requests.count == 2 }
        try await until { sampler.status().allSatisfy { $0.state == .working } }
        #expect(sink.gaps.count == 3)
        sampler.stop()
    }

    @Test func aHangingSamplerMissesItsBeat() async throws {
        let folder = try Folder()
        let database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
        let clock = ManualClock(SystemClock().now())
        let sink = StuckSink()
        let sampler = Sampler(path: database.path, clock: clock, sink: sink)
        sampler.start()
        try await until { sampler.status().allSatisfy { $0.state == .working } }
        database.insert([TestRow(id: uuid(1), at: clock.now())])
        try await until { sink.entered.load(ordering: .acquiring) }
        clock.advance(milliseconds: 9000)
        sampler.beat(1)
        try await until { sampler.lastBeat == 1 }
        clock.advance(milliseconds: 2000)
        // The control thread may have looked just before: its next look counts.
        try await Task.sleep(for: .milliseconds(50))
        sampler.beat(2)
        try await Task.sleep(for: .milliseconds(1200))
        #expect(sampler.lastBeat == 1)
        sink.isStuck.store(false, ordering: .releasing)
        try await until { sampler.lastBeat == 2 }
        sampler.stop()
    }
}
