import CSQLite
import Glibc
import Synchronization
import Testing

@testable import Storage

/// A database file of its own, gone with the value.
final class Scratch {
    let path: String
    private let handle: OpaquePointer

    init(_ sql: String = "") throws {
        var template = Array("/tmp/goleapai-storage-XXXXXX".utf8CString)
        close(try #require(mkstemp(&template) as Int32?))
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        var opened: OpaquePointer?
        sqlite3_open(path, &opened)
        handle = try #require(opened)
        execute(sql)
    }

    deinit {
        sqlite3_close(handle)
        for ending in ["", "-wal", "-shm", "-journal"] { unlink(path + ending) }
    }

    func execute(_ sql: String) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        #expect(code == SQLITE_OK, "\(String(cString: sqlite3_errmsg(handle)))")
    }
}

@Suite struct ConnectionTests {
    @Test func readsEveryType() throws {
        let scratch = try Scratch("CREATE TABLE t (a, b, c, d, e); INSERT INTO t VALUES (7, 1.5, 'x\u{E9}', NULL, x'00ff')")
        let row = try Connection(path: scratch.path).prepare("SELECT * FROM t")
        #expect(try row.step())
        #expect(row.int64(0) == 7 && row.double(0) == 7 && row.string(0) == "7" && !row.isText(0))
        #expect(row.int64(1) == 1 && row.double(1) == 1.5)
        #expect(row.isText(2) && row.string(2) == "xé" && row.int64(2) == 0)
        #expect(row.isNull(3) && row.string(3).isEmpty && row.int64(3) == 0)
        #expect(row.withText(4) { Array($0) } == [0, 0xFF])
        #expect(try !row.step())
        #expect(try row.step(), "reset by its end")
    }

    @Test func bindsTexts() throws {
        let scratch = try Scratch("CREATE TABLE t (a)")
        let row = try Connection(path: scratch.path).prepare("SELECT ?1, typeof(?1), ?2")
        for text in ["", "a", "naïve", String(repeating: "x", count: 100_000)] {
            row.bind(text, at: 1)
            row.bind(Int64.min, at: 2)
            #expect(try row.step())
            #expect(row.string(0) == text && row.string(1) == "text" && row.int64(2) == .min)
            row.reset()
        }
        row.bind(UnsafeRawBufferPointer(start: nil, count: 0), at: 1)
        #expect(try row.step())
        #expect(row.string(1) == "text")
    }

    @Test(arguments: [
        "INSERT INTO t VALUES (1)", "CREATE TABLE u (a)", "DELETE FROM t", "PRAGMA user_version=5", "VACUUM", "PRAGMA journal_mode=WAL",
    ])
    func writesNothing(_ sql: String) throws {
        let scratch = try Scratch("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        let connection = try Connection(path: scratch.path)
        let before = try connection.dataVersion()
        // Some of these fail, others are ignored; none does anything.
        if let statement = try? connection.prepare(sql) { _ = try? statement.step() }
        let other = try Connection(path: scratch.path)
        let row = try other.prepare("SELECT count(*), (SELECT count(*) FROM sqlite_schema), (SELECT user_version FROM pragma_user_version) FROM t")
        #expect(try row.step())
        #expect(row.int64(0) == 1 && row.int64(1) == 1 && row.int64(2) == 0)
        #expect(try connection.dataVersion() == before)
        #expect(access("\(scratch.path)-wal", F_OK) != 0)
    }

    @Test func dataVersionChangesWithEachForeignCommit() throws {
        let scratch = try Scratch("CREATE TABLE t (a)")
        let connection = try Connection(path: scratch.path)
        let first = try connection.dataVersion()
        #expect(try connection.dataVersion() == first)
        scratch.execute("INSERT INTO t VALUES (1)")
        let second = try connection.dataVersion()
        #expect(second != first)
        scratch.execute("BEGIN; INSERT INTO t VALUES (1); ROLLBACK")
        #expect(try connection.dataVersion() == second)
    }

    @Test func aReadSeesOneStateAndLetsGo() throws {
        let scratch = try Scratch("PRAGMA journal_mode=WAL; CREATE TABLE t (a)")
        let connection = try Connection(path: scratch.path)
        let count = try connection.prepare("SELECT count(*) FROM t")
        func rows() throws(DatabaseError) -> Int64 {
            defer { count.reset() }
            return try count.step() ? count.int64(0) : -1
        }
        try connection.read { () throws(DatabaseError) in
            #expect(try rows() == 0)
            scratch.execute("INSERT INTO t VALUES (1)")
            #expect(try rows() == 0)
        }
        #expect(try rows() == 1)
        // After an error too: the next read begins anew.
        #expect(throws: DatabaseError.self) {
            try connection.read { () throws(DatabaseError) in _ = try connection.prepare("SELECT * FROM missing") }
        }
        scratch.execute("INSERT INTO t VALUES (1)")
        #expect(try connection.read { () throws(DatabaseError) in try rows() } == 2)
    }

    @Test func aLockIsBusyAndPasses() throws {
        let scratch = try Scratch("CREATE TABLE t (a)")
        let connection = try Connection(path: scratch.path, busyMilliseconds: 1)
        let statement = try connection.prepare("SELECT * FROM t")
        scratch.execute("BEGIN EXCLUSIVE")
        #expect(performing: { _ = try statement.step() }, throws: { ($0 as? DatabaseError)?.isBusy == true })
        #expect(performing: { _ = try connection.dataVersion() }, throws: { ($0 as? DatabaseError)?.isBusy == true })
        scratch.execute("COMMIT")
        #expect(try !statement.step())
    }

    private static let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    @Test func aLongReadIsEnded() throws {
        let scratch = try Scratch("CREATE TABLE t (a)")
        let connection = try Connection(path: scratch.path, readMillisecondsMax: 20)
        let endless = try connection.prepare(ConnectionTests.endless)
        #expect(
            performing: { try connection.read { () throws(DatabaseError) in _ = try endless.step() } },
            throws: { ($0 as? DatabaseError)?.isInterrupted == true })
        #expect(try connection.read { () throws(DatabaseError) in try connection.prepare("SELECT 1").step() })
    }

    @Test func interruptedFromOutside() async throws {
        let scratch = try Scratch("CREATE TABLE t (a)")
        let connection = try Connection(path: scratch.path)
        let endless = try connection.prepare(ConnectionTests.endless)
        let interrupter = connection.interrupter
        let isOver = Atomic<Bool>(false)
        let helper = Task.detached {
            // Again and again: the first might come before the statement has begun.
            while !isOver.load(ordering: .relaxed) {
                interrupter.interrupt()
                try await Task.sleep(for: .milliseconds(2))
            }
        }
        #expect(performing: { _ = try endless.step() }, throws: { ($0 as? DatabaseError)?.isInterrupted == true })
        isOver.store(true, ordering: .relaxed)
        try await helper.value
    }

    @Test func statementsOutliveTheirConnection() throws {
        let scratch = try Scratch("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        var connection: Connection? = try Connection(path: scratch.path)
        let statement = try #require(try connection?.prepare("SELECT a FROM t"))
        let interrupter = try #require(connection?.interrupter)
        connection = nil
        interrupter.interrupt()
        _ = try? statement.step()  // interrupted or not, it must not crash
    }

    @Test func errorsSayWhatAndWhere() throws {
        let scratch = try Scratch("CREATE TABLE t (a)")
        let connection = try Connection(path: scratch.path)
        #expect(performing: { _ = try connection.prepare("SELECT b FROM t") }, throws: { "\($0)" == "no such column: b (SQLite 1) in SELECT b FROM t" })
        #expect(performing: { _ = try Connection(path: "/nowhere/x.db") }, throws: { "\($0)" == "unable to open database file (SQLite 14) in /nowhere/x.db" })
        scratch.execute("PRAGMA journal_mode=WAL; CREATE TABLE u (a)")
        let copy = try Scratch()
        _ = rename(scratch.path, copy.path)
        #expect(performing: { _ = try Connection(path: copy.path) }, throws: { ($0 as? DatabaseError)?.code == .walWithoutWriter })
    }
}
