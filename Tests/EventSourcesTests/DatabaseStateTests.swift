// A database that cannot be read: what is said about it, and that it is read again afterwards.

import Base
import Glibc
import Testing

@testable import EventSources

@Suite struct DatabaseStateTests {
    let clock: ManualClock
    let folder: Folder

    init() throws {
        clock = try ManualClock("2026-03-02T12:00:00Z")
        folder = try Folder()
    }

    private func why(_ path: String) -> String {
        let bench = Bench(path, clock: clock)
        bench.settle()
        #expect(bench.health.check(hanging: nil).isEmpty, "nothing that never worked can lag")
        let status = bench.health.status()
        #expect(status.map(\.name) == ["stats", "providers", "requests"])
        #expect(status.allSatisfy { $0.state == .failing && $0.why == status[0].why })
        return status[0].why.replacing(folder.path, with: "DIR")
    }

    @Test func missing() { #expect(why("\(folder.path)/none.db") == "the database DIR/none.db does not exist") }

    @Test func directory() { #expect(why(folder.path) == "the database DIR is not a file") }

    @Test func text() throws {
        let path = try folder.copy("gateway-small.expected.json")
        #expect(why(path) == "DIR/gateway-small.expected.json is not an SQLite database")
    }

    @Test func emptyFile() throws {
        let path = "\(folder.path)/empty.db"
        close(creat(path, 0o644))
        #expect(why(path) == "the database DIR/empty.db is not a gateway's, or not set up yet: no such table: providers")
    }

    @Test func columnMissing() throws {
        let database = try WritableDatabase("\(folder.path)/old.db")
        try database.createSchema()
        database.execute("ALTER TABLE request_logs DROP COLUMN estimated_cost")
        #expect(why(database.path) == "the database DIR/old.db is not a gateway's, or not set up yet: no such column: r.estimated_cost")
    }

    @Test func writeAheadLogWithoutWriter() throws {
        let path = "\(folder.path)/wal.db"
        try { try WritableDatabase(path, wal: true).createSchema() }()
        #expect(access("\(path)-wal", F_OK) != 0, "closed cleanly")
        let sentence = why(path)
        #expect(sentence.hasPrefix("the database DIR/wal.db uses a write-ahead log and no gateway has it open"))
        #expect(access("\(path)-wal", F_OK) != 0 && access("\(path)-shm", F_OK) != 0, "nothing was created")

        let bench = Bench(path, clock: clock)
        bench.settle()
        let database = try WritableDatabase(path, wal: true)
        database.insert([TestRow(id: uuid(1), at: clock.now())])
        bench.settle()
        #expect(try bench.sink.requestIDs() == [uuid(1)])
        #expect(bench.health.status().allSatisfy { $0.state == .working })
    }

    @Test func hotJournal() throws {
        let database = try WritableDatabase("\(folder.path)/live.db")
        try database.createSchema()
        database.insert((0..<200).map { TestRow(id: uuid($0), at: clock.now()) })
        // A transaction larger than the cache has written to the file before it ends.
        database.execute("PRAGMA synchronous=FULL; PRAGMA cache_size=5; BEGIN; UPDATE request_logs SET error_message = hex(randomblob(500))")
        for ending in ["", "-journal"] { try copyFile("\(database.path)\(ending)", "\(folder.path)/dead.db\(ending)") }
        database.execute("ROLLBACK")
        #expect(why("\(folder.path)/dead.db").hasPrefix("the database DIR/dead.db has a hot journal of a writer that died"))
    }

    private func copyFile(_ source: String, _ target: String) throws {
        let from = try #require(fopen(source, "r"))
        let to = try #require(fopen(target, "w"))
        defer {
            fclose(from)
            fclose(to)
        }
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&chunk, 1, chunk.count, from)
            if count == 0 { return }
            try #require(fwrite(chunk, 1, count, to) == count)
        }
    }

    @Test(.enabled(if: geteuid() != 0)) func noPermission() throws {
        let path = try folder.copy("gateway-small.db")
        chmod(path, 0)
        #expect(why(path) == "no permission to read the database DIR/gateway-small.db")
    }

    @Test func aLongLockIsALagOnce() throws {
        let database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
        let bench = Bench(database.path, clock: clock)
        bench.settle()
        database.execute("BEGIN EXCLUSIVE")
        for _ in 0..<40 {
            bench.run(milliseconds: 100)
            #expect(bench.health.check(hanging: nil).isEmpty)
            #expect(bench.health.status().allSatisfy { $0.state == .working }, "a short lock is nothing")
        }
        bench.run(milliseconds: 1200)
        #expect(bench.health.check(hanging: nil) == [.stats, .providers, .requests])
        #expect(bench.health.check(hanging: nil).isEmpty)
        let status = try #require(bench.health.status().last)
        #expect(status.state == .failing && status.why.hasSuffix("is locked by a writer") && status.lagMilliseconds > 5000)
        database.execute("COMMIT")
        database.insert([TestRow(id: uuid(1), at: clock.now())])
        bench.settle()
        #expect(try bench.sink.requestIDs() == [uuid(1)])
        #expect(bench.health.status().allSatisfy { $0.state == .working && $0.lagMilliseconds < 100 })
    }

    @Test func overwrittenInPlace() throws {
        let database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
        database.insert((0..<50).map { TestRow(id: uuid($0), at: clock.now()) })
        try copyFile(database.path, "\(folder.path)/backup.db")
        let bench = Bench(database.path, clock: clock)
        bench.settle()
        database.insert((50..<60).map { TestRow(id: uuid($0), at: clock.now()) })
        bench.settle()
        try copyFile("\(folder.path)/gateway.db", "\(folder.path)/newer.db")
        // Half a copy first: damaged or locked, whatever SQLite makes of it.
        truncate(database.path, 8192)
        bench.settle()
        try copyFile("\(folder.path)/backup.db", database.path)
        bench.run(milliseconds: 1000)
        let next = try WritableDatabase(database.path)
        next.insert((60..<63).map { TestRow(id: uuid($0), at: clock.now()) })
        bench.run(milliseconds: 1000)
        #expect(try bench.sink.requestIDs() == (50..<63).map(uuid))
        #expect(bench.health.status().allSatisfy { $0.state == .working })
        #expect(try bench.stats(.fiveMinutes)["total_requests"]?.int == 53)
    }

    @Test func rowsThatMakeNoSense() throws {
        let database = try WritableDatabase("\(folder.path)/gateway.db")
        database.execute(
            """
            CREATE TABLE request_logs (id, provider_id, model_id, user_id, method, endpoint, status_code, latency_ms, input_tokens,
                output_tokens, success, error_message, estimated_cost, timestamp, created_at);
            CREATE INDEX i ON request_logs(timestamp);
            CREATE TABLE providers (id, name, status, health_score, avg_latency_ms, last_health_check, updated_at);
            CREATE TABLE models (id, name, provider_id);
            """)
        let bench = Bench(database.path, clock: clock)
        bench.settle()
        let values = [
            "NULL", "x'00ff80'", "''", "-1", "9223372036854775807", "-9223372036854775808", "1e308", "-1e308", "9e999", "'\u{1}\"\\'",
            "CAST(x'c3' AS TEXT)", "printf('%100000c', 'x')", "'2026-03-02 11:59:59+00:00'", "'2026-03-02 11:59:99+00:00'", "'2026-02-31 00:00:00'",
            "'2026-03-02T11:59:59Z'", "'9999-12-31 23:59:59.999999999-23:59'", "'0001-01-01 00:00:00+00:00'", "'2026-03-02 11:59:59.+00:00'",
            "'2026-03-02 11:59:59+0000'", "zeroblob(40)",
        ]
        for (index, value) in values.enumerated() {
            for other in [value, values[(index + 5) % values.count]] {
                database.execute("INSERT INTO request_logs VALUES (\((0..<15).map { $0 % 2 == 0 ? value : other }.joined(separator: ",")))")
                database.execute("INSERT INTO request_logs (timestamp, id) VALUES (\(value), \(index))")
            }
            database.execute("INSERT INTO providers VALUES (\(value), \(value), 'active', \(value), \(value), \(value), \(value))")
            database.execute("INSERT INTO models VALUES (\(value), \(value), \(value))")
        }
        bench.run(milliseconds: 70_000)
        // Each id was written twice and is told once; two rows without any id are two rows.
        #expect(bench.sink.requests.count == values.count * 2 + 1)
        #expect(bench.health.status().allSatisfy { $0.state == .working })
        for event in bench.sink.events { _ = try json(event.data) }
        for window in StatsWindow.allCases { _ = try bench.stats(window) }
        // Read afresh, the same comes out.
        let again = Bench(database.path, clock: clock)
        for window in StatsWindow.allCases {
            let fresh = try again.stats(window)
            let running = try bench.stats(window)
            #expect(fresh["total_requests"] == running["total_requests"] && fresh["total_tokens"] == running["total_tokens"])
        }
        database.execute("DELETE FROM request_logs; VACUUM; DELETE FROM providers")
        bench.run(milliseconds: 70_000)
        #expect(try bench.stats(.day)["total_requests"]?.int == 0)
    }
}
