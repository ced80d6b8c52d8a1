// The sampler with its threads against a writer that does everything a gateway and its operator do, in real time.

import Base
import Glibc
import Synchronization
import Testing

@testable import EventSources

@Suite struct LiveTailTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let wal: Bool
        let batch: Int
        var testDescription: String { "\(wal ? "WAL" : "rollback"), transactions of \(batch)" }
    }

    /// What the writer has committed: row by row, and when.
    final class Journal: Sendable {
        private let commits = Locked<[(id: String, monotonic: UInt64)]>([])
        private let sleeps = Locked<[UInt64]>([])
        func add(_ rows: [TestRow]) {
            let now = SystemClock().monotonic()
            commits.withLock { $0 += rows.map { ($0.id, now) } }
        }
        /// Sleeps, and remembers by how many nanoseconds it was too long.
        func sleep(microseconds: UInt32) {
            let began = SystemClock().monotonic()
            usleep(microseconds)
            let slept = SystemClock().monotonic() - began
            sleeps.withLock { $0.append(slept > UInt64(microseconds) * 1000 ? slept - UInt64(microseconds) * 1000 : 0) }
        }
        var oversleeps: [UInt64] { sleeps.withLock { $0 } }
        var all: [(id: String, monotonic: UInt64)] { commits.withLock { $0 } }
    }

    @Test(
        .timeLimit(.minutes(5)),
        arguments: [Case(wal: false, batch: 1), Case(wal: false, batch: 100), Case(wal: true, batch: 1), Case(wal: true, batch: 100)])
    func eachRowOnceInOrderAndSoon(_ test: Case) async throws {
        let folder = try Folder()
        let path = "\(folder.path)/gateway.db"
        let first = try WritableDatabase(path, wal: test.wal)
        try first.createSchema()
        first.putProvider("p1", name: "One", lastCheck: SystemClock().now(), updated: SystemClock().now())
        first.insert((900_000..<900_200).map { TestRow(id: uuid($0), at: SystemClock().now()) })

        let sink = CollectingSink()
        let sampler = Sampler(path: path, sink: sink)
        sampler.watch(window: .fiveMinutes, interval: 1)
        #expect(sampler.start() == nil)
        while sampler.status().contains(where: { $0.state != .working }) { try await Task.sleep(for: .milliseconds(10)) }

        let journal = Journal()
        let done = Atomic<Bool>(false)
        let error = Thread.start(named: "test-writer") {
            // A failure shows as a missing row as well.
            try? LiveTailTests.write(first, test, journal, folder)
            done.store(true, ordering: .releasing)
        }
        #expect(error == nil)
        while !done.load(ordering: .acquiring) { try await Task.sleep(for: .milliseconds(50)) }
        for _ in 0..<40 where sink.requests.count < journal.all.count { try await Task.sleep(for: .milliseconds(50)) }
        sampler.beat(7)
        for _ in 0..<40 where sampler.lastBeat != 7 { try await Task.sleep(for: .milliseconds(50)) }
        #expect(sampler.lastBeat == 7)
        sampler.stop()

        let commits = journal.all
        let received = sink.received.filter { $0.event.kind == .request }
        #expect(commits.count >= 1000)
        #expect(try sink.requestIDs() == commits.map(\.id))
        #expect(sink.providerEvents.isEmpty)
        #expect(sink.gaps == ["requests source_lost", "providers source_lost"], "the file was replaced once")
        let delays = zip(commits, received).map { commit, got in got.monotonic > commit.monotonic ? got.monotonic - commit.monotonic : 0 }.sorted()
        // What the machine itself is late by (this test may share it with much else) is not the sampler's.
        let late = journal.oversleeps.sorted()
        let allowance = late.isEmpty ? 0 : late[late.count * 99 / 100] / 1_000_000 * 2
        let p99 = delays.isEmpty ? 0 : delays[delays.count * 99 / 100] / 1_000_000
        #expect(p99 < 300 + allowance, "p99 of the delay from commit: \(p99) ms")
        #expect(sink.stats.count >= 5)
    }

    /// 200 rows a second for some seconds, and in between whatever may happen to a database.
    private static func write(_ start: WritableDatabase, _ test: Case, _ journal: Journal, _ folder: Folder) throws {
        var database = start
        var number = 0
        let pause = UInt32(1_000_000 / 200 * test.batch)
        func append(_ count: Int) {
            for _ in 0..<count / test.batch {
                let rows = (0..<test.batch).map { TestRow(id: uuid(number + $0), at: SystemClock().now()) }
                number += test.batch
                database.insert(rows)
                journal.add(rows)
                journal.sleep(microseconds: pause)
            }
        }
        append(200)
        database.restart()
        append(200)
        database.execute("DELETE FROM request_logs WHERE rowid <= 150")
        database.execute("VACUUM")
        append(200)
        database.execute("BEGIN EXCLUSIVE")
        usleep(2_000_000)
        database.execute("COMMIT")
        append(100)
        database.restart()
        append(100)
        // Another file takes the place, as after a restore: the gateway is stopped for it.
        let path = database.path
        database.execute("VACUUM INTO '\(folder.path)/copy.db'")
        database = try WritableDatabase("\(folder.path)/elsewhere.db")
        for ending in ["-wal", "-shm"] { unlink(path + ending) }
        rename("\(folder.path)/copy.db", path)
        database = try WritableDatabase(path, wal: test.wal)
        append(200)
        // The newest row goes, and its rowid is used again.
        usleep(300_000)
        database.execute("DELETE FROM request_logs WHERE rowid = (SELECT max(rowid) FROM request_logs)")
        append(100)
    }

    @Test func stopEndsEverything() async throws {
        let folder = try Folder()
        let database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
        let sink = CollectingSink()
        let sampler = Sampler(path: database.path, sink: sink)
        sampler.start()
        while sampler.status().contains(where: { $0.state != .working }) { try await Task.sleep(for: .milliseconds(10)) }
        sampler.stop()
        database.insert([TestRow(id: uuid(1), at: SystemClock().now())])
        try await Task.sleep(for: .milliseconds(200))
        #expect(sink.requests.isEmpty)
    }
}
