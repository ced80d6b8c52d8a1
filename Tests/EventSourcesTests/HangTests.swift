// A disk that does not answer, and a sink that does not return: what the control side makes of either.

import Base
import CSQLite
import Glibc
import Synchronization
import Testing

@testable import EventSources

/// An SQLite file layer that is the usual one, except that reads of files with `hanging` in their name wait for the gate.
enum HangingDisk {
    static let isClosed = Atomic<Bool>(false)
    static let waiting = Atomic<Int>(0)

    /// The usual layer and its methods. Written before the layer is registered and at the first open, by the test's own
    /// thread before others come; SQLite keeps the addresses, so both live on the heap for good.
    nonisolated(unsafe) private static var usual: UnsafeMutablePointer<sqlite3_vfs>?
    nonisolated(unsafe) private static var usualMethods: UnsafePointer<sqlite3_io_methods>?
    nonisolated(unsafe) private static let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)

    static let installed: Bool = {
        guard let found = sqlite3_vfs_find(nil) else { return false }
        usual = found
        let layer = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
        layer.initialize(to: found.pointee)
        layer.pointee.zName = UnsafePointer(strdup("hanging"))
        layer.pointee.xOpen = { _, name, file, flags, outFlags in
            guard let usual = HangingDisk.usual, let open = usual.pointee.xOpen else { return SQLITE_ERROR }
            let code = open(usual, name, file, flags, outFlags)
            if code == SQLITE_OK, flags & SQLITE_OPEN_MAIN_DB != 0, let name, let file, strstr(name, "hanging") != nil {
                if HangingDisk.usualMethods == nil, let usual = file.pointee.pMethods {
                    HangingDisk.usualMethods = usual
                    HangingDisk.methods.initialize(to: usual.pointee)
                    HangingDisk.methods.pointee.xRead = { file, buffer, count, offset in
                        HangingDisk.waiting.wrappingAdd(1, ordering: .relaxed)
                        while HangingDisk.isClosed.load(ordering: .acquiring) { usleep(1000) }
                        HangingDisk.waiting.wrappingSubtract(1, ordering: .relaxed)
                        return HangingDisk.usualMethods?.pointee.xRead?(file, buffer, count, offset) ?? SQLITE_ERROR
                    }
                }
                file.pointee.pMethods = UnsafePointer(HangingDisk.methods)
            }
            return code
        }
        return sqlite3_vfs_register(layer, 1) == SQLITE_OK
    }()
}

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
        HangingDisk.isClosed.store(true, ordering: .releasing)
        try await until { HangingDisk.waiting.load(ordering: .relaxed) > 0 }
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

        HangingDisk.isClosed.store(false, ordering: .releasing)
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
