// Each row once and in order, whatever happens to the table: step by step, without threads.

import Base
import Glibc
import Protocol
import Testing

@testable import EventSources

@Suite struct TailTests {
    let clock: ManualClock
    let folder: Folder
    let database: WritableDatabase

    init() throws {
        clock = try ManualClock("2026-03-02T12:00:00Z")
        folder = try Folder()
        database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
    }

    func rows(_ numbers: Range<Int>) -> [TestRow] {
        numbers.map { TestRow(id: uuid($0), at: clock.now().advanced(byMilliseconds: Int64($0 % 7) * -100)) }
    }

    func ids(_ numbers: Range<Int>) -> [String] { numbers.map(uuid) }

    func begun(_ enabled: EnabledSources = EnabledSources()) -> Bench {
        let bench = Bench(database.path, enabled: enabled, clock: clock)
        bench.settle()
        return bench
    }

    @Test func rowsFromBeforeAreNoEvents() throws {
        database.insert(rows(0..<10))
        let bench = begun()
        #expect(bench.sink.requests.isEmpty)
        database.insert(rows(10..<1300))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(10..<1300))
        #expect(bench.sink.gaps.isEmpty)
    }

    @Test func rolledBackRowsAreNoEvents() throws {
        let bench = begun()
        database.execute("BEGIN")
        for row in rows(0..<3) { database.execute(row.sql) }
        bench.settle()
        database.execute("ROLLBACK")
        database.insert(rows(3..<4))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(3..<4))
    }

    @Test func vacuumRenumbers() throws {
        database.insert(rows(0..<100))
        let bench = begun()
        for round in 0..<5 {
            let first = 100 + round * 20
            database.insert(rows(first..<first + 10))
            if round % 2 == 0 { bench.settle() }
            database.execute("DELETE FROM request_logs WHERE rowid % 3 = 0 AND rowid < (SELECT max(rowid) - 20 FROM request_logs)")
            database.execute("VACUUM")
            if round % 2 == 1 { bench.settle() }
            database.insert(rows(first + 10..<first + 20))
            bench.settle()
        }
        #expect(try bench.sink.requestIDs() == ids(100..<200))
        #expect(bench.sink.gaps.isEmpty)
    }

    @Test func newestRowIsDeletedAndItsNumberUsedAgain() throws {
        database.insert(rows(0..<10))
        let bench = begun()
        database.insert(rows(10..<12))
        bench.settle()
        database.execute("DELETE FROM request_logs WHERE id = '\(uuid(11))'")
        database.insert(rows(12..<13))
        bench.settle()
        database.execute("DELETE FROM request_logs WHERE id = '\(uuid(12))'")
        bench.settle()
        database.execute("DELETE FROM request_logs WHERE id IN ('\(uuid(10))', '\(uuid(9))')")
        database.insert(rows(13..<15))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(10..<15))
    }

    @Test(arguments: [true, false]) func fullDelete(_ seenEmpty: Bool) throws {
        database.insert(rows(0..<20))
        let bench = begun()
        database.execute("DELETE FROM request_logs")
        if seenEmpty { bench.settle() }
        // More rows than before, so that the old place is passed.
        database.insert(rows(100..<140))
        bench.settle()
        database.insert(rows(140..<141))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(100..<141))
        #expect(bench.sink.gaps.isEmpty)
        #expect(try bench.stats(.fiveMinutes)["total_requests"]?.int == 41)
    }

    @Test func pruneOfEverythingOld() throws {
        database.insert(rows(0..<50))
        let bench = begun()
        database.insert(rows(50..<55))
        database.execute("DELETE FROM request_logs WHERE rowid <= 52")
        bench.settle()
        database.insert(rows(55..<56))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(52..<56))
    }

    @Test func replacedByACopyThatGoesOn() throws {
        database.insert(rows(0..<20))
        let bench = begun()
        database.insert(rows(20..<25))
        // These stand in the old file only when it is left: they are read from there.
        database.execute("VACUUM INTO '\(folder.path)/new.db'")
        database.insert(rows(25..<27))
        rename("\(folder.path)/new.db", database.path)
        let next = try WritableDatabase(database.path)
        next.insert(rows(27..<30))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(20..<30))
        #expect(bench.sink.gaps == ["requests source_lost", "providers source_lost"])
        #expect(try bench.stats(.fiveMinutes)["total_requests"]?.int == 28)
    }

    @Test func replacedByAStrangersDatabase() throws {
        database.insert(rows(0..<20))
        let bench = begun()
        database.insert(rows(20..<21))
        let other = try WritableDatabase("\(folder.path)/other.db")
        try other.createSchema()
        other.insert((500..<600).map { TestRow(id: uuid($0), at: clock.now().advanced(byMilliseconds: -3_600_000)) })
        rename("\(folder.path)/other.db", database.path)
        // SQLite does not write a file that has moved under it.
        let next = try WritableDatabase(database.path)
        next.insert(rows(600..<603))
        bench.settle()
        next.insert(rows(603..<604))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(20..<21) + ids(600..<604), "its old rows are not told")
        #expect(bench.sink.gaps == ["requests source_lost", "providers source_lost"])
    }

    @Test func restoredFromABackup() throws {
        database.insert(rows(0..<20))
        let bench = begun()
        database.insert(rows(20..<30))
        bench.settle()
        // In place: the newest rows are gone, their numbers are given again.
        database.execute("DELETE FROM request_logs WHERE rowid > 23")
        database.execute("VACUUM")
        database.insert(rows(50..<60))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(20..<30) + ids(50..<60))
        #expect(try bench.stats(.fiveMinutes)["total_requests"]?.int == 33)
    }

    @Test func restoredFromABackupOlderThanMemory() throws {
        let old = (0..<100).map { TestRow(id: uuid($0), at: clock.now().advanced(byMilliseconds: -3_600_000)) }
        database.insert(old)
        let bench = begun()
        let many = SeenRows.rowsMax + 300
        database.insert(rows(1000..<1000 + many))
        bench.settle()
        #expect(bench.core.tail.seen.count == SeenRows.rowsMax && !bench.core.tail.seen.isComplete)
        bench.sink.forget()
        database.execute("DELETE FROM request_logs WHERE rowid > 50")
        database.insert(rows(50_000..<50_003))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(50_000..<50_003), "forgotten rows are not told again")
        #expect(bench.sink.gaps == ["requests source_lost"])
        #expect(try bench.stats(.day)["total_requests"]?.int == 53)
    }

    @Test func removedAndBroughtBack() throws {
        let bench = begun()
        rename(database.path, "\(folder.path)/away.db")
        bench.settle()
        #expect(bench.health.status().allSatisfy { $0.state == .failing && $0.why.hasSuffix("does not exist") })
        let moved = try WritableDatabase("\(folder.path)/away.db")
        moved.insert(rows(0..<3))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(0..<3), "the open file is read though it has lost its name")
        rename("\(folder.path)/away.db", database.path)
        database.insert(rows(3..<5))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(0..<5))
        #expect(bench.sink.gaps.isEmpty)
        #expect(bench.health.status().allSatisfy { $0.state == .working && $0.why.isEmpty })
    }

    @Test func clockSetBack() throws {
        database.insert(rows(0..<3))
        let bench = begun()
        database.insert(rows(3..<5))
        bench.settle()
        clock.set(clock.now().advanced(byMilliseconds: -86_400_000 * 3))
        database.insert(rows(5..<8))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(3..<8))
    }

    @Test func createdAfterTheSampler() throws {
        let path = "\(folder.path)/later.db"
        let bench = Bench(path, clock: clock)
        bench.settle()
        clock.advance(milliseconds: 1000)
        let later = try WritableDatabase(path)
        bench.settle()
        #expect(bench.health.status().allSatisfy { $0.why.contains("no such table") })
        try later.createSchema()
        later.insert([TestRow(id: uuid(1), at: clock.now().advanced(byMilliseconds: -100_000))] + rows(2..<5))
        bench.settle()
        later.insert(rows(5..<6))
        bench.settle()
        #expect(try bench.sink.requestIDs() == ids(2..<6), "what is older than the daemon is no news")
    }

    @Test func nilIDsAndRestarts() throws {
        let bench = begun()
        database.insert([TestRow(id: RowText.nilUUID, at: clock.now())])
        bench.settle()
        database.execute("DELETE FROM request_logs")
        database.insert([TestRow(id: RowText.nilUUID, latency: 5, at: clock.now())])
        bench.settle()
        database.restart()
        database.restart()
        bench.settle()
        #expect(try bench.sink.requestIDs() == [RowText.nilUUID, RowText.nilUUID])
        #expect(bench.sink.providerEvents.isEmpty && bench.sink.gaps.isEmpty)
    }

    @Test func changesWhileASourceIsOff() throws {
        let bench = begun(EnabledSources(stats: true, requests: false, providers: false))
        database.insert(rows(0..<5))
        bench.settle()
        #expect(bench.sink.events.isEmpty)
        #expect(try bench.stats(.fiveMinutes)["total_requests"]?.int == 5)
        let only = begun(EnabledSources(stats: false, requests: true, providers: false))
        database.insert(rows(5..<6))
        only.settle()
        #expect(try only.sink.requestIDs() == ids(5..<6))
        #expect(only.health.status().map(\.name) == ["requests"])
    }

    @Test func everyFieldOfTheEvent() throws {
        database.putProvider("p1", name: "Groq", lastCheck: clock.now(), updated: clock.now())
        database.execute("INSERT INTO models (id, provider_id, name, modality) VALUES ('m1', 'p1', 'llama \"3\"', 'chat')")
        let bench = begun()
        var row = TestRow(id: uuid(1), at: try #require(Instant(parsing: "2026-03-02T11:59:59.123456Z")), offsetMinutes: 330)
        row.provider = "p1"
        row.model = "m1"
        row.user = uuid(9)
        row.success = false
        row.status = 502
        row.latency = 1234
        row.error = "line 1\nсбой"
        row.cost = 4.26e-05
        database.insert([row, TestRow(id: uuid(2), at: clock.now())])
        bench.settle()
        let texts = bench.sink.requests.map { String(decoding: $0.data, as: UTF8.self) }
        #expect(
            texts.first == """
                {"request_id":"\(uuid(1))","provider_id":"p1","provider_name":"Groq","model_name":"llama \\"3\\"","method":"POST",\
                "endpoint":"/v1/chat/completions","status_code":502,"latency_ms":1234,"input_tokens":10,"output_tokens":20,\
                "success":false,"model_id":"m1","error_message":"line 1\\nсбой","user_id":"\(uuid(9))","estimated_cost":0.0000426,\
                "timestamp":"2026-03-02T11:59:59.123Z"}
                """)
        let event = try #require(bench.sink.requests.first)
        #expect(event.timestamp == row.at)
        let other = try #require(bench.sink.requests.last)
        #expect(try json(other.data)["error_message"] == nil && json(other.data)["provider_name"]?.string == "")
    }
}
