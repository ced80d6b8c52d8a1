// The one file that speaks C with SQLite. Everything here reads; nothing can write: the file is opened read-only, and
// query_only is set besides. All statements of a connection are for the thread that owns the connection.

import Base
import CSQLite
import Glibc

/// An open database that belongs to someone else. Owner: one thread at a time; only `interrupter` is for others.
///
/// Not Sendable, and it does not keep the database locked: a read lock lasts from the first step of a statement to its
/// reset, or for the length of `read`.
public final class Connection {
    private let database: OpenDatabase
    private var handle: OpaquePointer { database.handle }
    private let limit: ReadLimit
    /// Keeps the file open while it lives.
    public let interrupter: Interrupter

    /// Opens a database file for reading. Reads nothing but its header.
    ///
    /// - Parameters:
    ///   - path: must exist.
    ///   - busyMilliseconds: how long a call waits for a writer's lock before it fails with `isBusy`.
    ///   - readMillisecondsMax: a `read` that takes longer is ended with `isInterrupted`, so that a plan gone wrong can
    ///     never keep the owner of the database from writing.
    /// - Throws: `cannotOpen` for a file that is missing or may not be read; `walWithoutWriter` for a WAL database without
    ///   its `-wal` and `-shm` files, because SQLite would otherwise create them where it may.
    public init(path: String, busyMilliseconds: Int32 = 20, readMillisecondsMax: UInt64 = 1000) throws(DatabaseError) {
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX
        let code = sqlite3_open_v2(DatabasePath.readOnlyURI(path), &opened, flags, nil)
        guard let opened, code == SQLITE_OK else {
            let error = Connection.error(opened, code, path)
            sqlite3_close_v2(opened)
            throw error
        }
        database = OpenDatabase(opened)
        limit = ReadLimit(nanosecondsMax: readMillisecondsMax * 1_000_000)
        interrupter = Interrupter(database)
        sqlite3_extended_result_codes(opened, 1)
        sqlite3_busy_timeout(opened, busyMilliseconds)
        // Unretained: deinit takes the handler away before `limit` goes.
        sqlite3_progress_handler(opened, 1000, { box in
            guard let box else { return 0 }
            return Unmanaged<ReadLimit>.fromOpaque(box).takeUnretainedValue().isExceeded ? 1 : 0
        }, Unmanaged.passUnretained(limit).toOpaque())
        if isWAL, !Connection.exists(path + "-wal") || !Connection.exists(path + "-shm") {
            throw DatabaseError(code: .walWithoutWriter, message: "write-ahead log without a writer", subject: path)
        }
        try execute("PRAGMA query_only=1")
        // The schema is not ours: nothing that it may define is run on our behalf.
        try execute("PRAGMA trusted_schema=0")
    }

    deinit { sqlite3_progress_handler(handle, 0, nil, nil) }

    /// Prepares a statement; it stays usable when the schema changes (SQLite prepares it again by itself).
    public func prepare(_ sql: String) throws(DatabaseError) -> Statement {
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let statement else { throw Connection.error(handle, code, sql) }
        return Statement(statement, sql: sql)
    }

    /// Runs statements in one read transaction, so that they all see the same state, and ends it whatever happens.
    ///
    /// The lock begins with the first statement stepped. No statement may be left unfinished: reset them.
    public func read<Value>(_ body: () throws(DatabaseError) -> Value) throws(DatabaseError) -> Value {
        _ = try kept(&beginStatement, "BEGIN").step()
        let commit = try kept(&commitStatement, "COMMIT")
        limit.begin()
        defer {
            limit.end()
            // Fails only when SQLite has already rolled back by itself after an error.
            _ = try? commit.step()
            if sqlite3_get_autocommit(handle) == 0 { _ = sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
        }
        return try body()
    }

    /// A number that changes when another connection has committed something. Costs a lock and a few system calls.
    public func dataVersion() throws(DatabaseError) -> Int64 {
        let statement = try kept(&dataVersionStatement, "PRAGMA data_version")
        defer { statement.reset() }
        return try statement.step() ? statement.int64(0) : 0
    }

    // Needed many times a second, so prepared once. They do not refer back to the connection.
    private var beginStatement: Statement?
    private var commitStatement: Statement?
    private var dataVersionStatement: Statement?

    private func kept(_ place: inout Statement?, _ sql: String) throws(DatabaseError) -> Statement {
        if let statement = place { return statement }
        let statement = try prepare(sql)
        place = statement
        return statement
    }

    private func execute(_ sql: String) throws(DatabaseError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        if code != SQLITE_OK { throw Connection.error(handle, code, sql) }
    }

    /// Whether the file's header says write-ahead log (file format, "file format version numbers", bytes 18 and 19).
    ///
    /// Read through SQLite's own file: opening and closing the file ourselves would drop every POSIX lock that this
    /// process has on it, those of a writer in the same process included.
    private var isWAL: Bool {
        var file: UnsafeMutablePointer<sqlite3_file>?
        var versions: (UInt8, UInt8) = (0, 0)
        guard sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK, let file,
            let read = file.pointee.pMethods?.pointee.xRead,
            read(file, &versions, 2, 18) == SQLITE_OK
        else { return false }
        return versions.1 == 2
    }

    private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    fileprivate static func error(_ handle: OpaquePointer?, _ code: Int32, _ subject: String) -> DatabaseError {
        let extended = handle.map { sqlite3_extended_errcode($0) } ?? code
        let message = handle.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) } ?? "out of memory"
        return DatabaseError(
            code: .init(rawValue: extended & 0xFF == code & 0xFF ? extended : code), message: message, subject: subject)
    }
}

/// Owner of SQLite's handle. `@unchecked Sendable` because threads other than the connection's own only ever call
/// sqlite3_interrupt on it, which may be called from any as long as the handle is not closed.
private final class OpenDatabase: @unchecked Sendable {
    let handle: OpaquePointer
    init(_ handle: OpaquePointer) { self.handle = handle }
    // v2: statements that outlive the connection keep it alive as a zombie instead of failing.
    deinit { sqlite3_close_v2(handle) }
}

/// Ends a connection's running call from another thread. Any thread.
public final class Interrupter: Sendable {
    private let database: OpenDatabase

    fileprivate init(_ database: OpenDatabase) { self.database = database }

    /// Makes the running call, if there is one, fail with `isInterrupted`; cannot help where the kernel hangs.
    public func interrupt() { sqlite3_interrupt(database.handle) }
}

/// The time limit of a read transaction, asked by SQLite every thousand steps. Owner: the connection's thread.
private final class ReadLimit {
    private let nanosecondsMax: UInt64
    private var deadline = UInt64.max

    init(nanosecondsMax: UInt64) { self.nanosecondsMax = nanosecondsMax }

    func begin() { deadline = SystemClock().monotonic() &+ nanosecondsMax }
    func end() { deadline = .max }
    var isExceeded: Bool { deadline != .max && SystemClock().monotonic() > deadline }
}

/// A prepared statement. Owner: its connection's thread. Columns and parameters count from 0 and from 1, as in SQLite;
/// a column's value is valid until the next step or reset, and a wrong type is converted, never refused.
public final class Statement {
    private let handle: OpaquePointer
    private let sql: String

    fileprivate init(_ handle: OpaquePointer, sql: String) {
        self.handle = handle
        self.sql = sql
    }

    deinit { sqlite3_finalize(handle) }

    /// - Returns: whether there is a row. After false or an error the statement is reset already.
    public func step() throws(DatabaseError) -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE:
            sqlite3_reset(handle)
            return false
        case let code:
            let error = Connection.error(sqlite3_db_handle(handle), code, sql)
            sqlite3_reset(handle)
            throw error
        }
    }

    /// Ends the run and gives its lock back; parameters stay bound.
    public func reset() { sqlite3_reset(handle) }

    public func bind(_ value: Int64, at index: Int32) { sqlite3_bind_int64(handle, index, value) }
    public func bind(_ text: String, at index: Int32) {
        var copy = text
        copy.withUTF8 { bytes in bind(UnsafeRawBufferPointer(bytes), at: index) }
    }
    /// The bytes are copied.
    public func bind(_ text: UnsafeRawBufferPointer, at index: Int32) {
        // An empty buffer may have no address, and a null address would bind NULL.
        withUnsafeBytes(of: UInt8(0)) { empty in
            let address = (text.baseAddress ?? empty.baseAddress)?.assumingMemoryBound(to: CChar.self)
            sqlite3_bind_text(handle, index, address, Int32(clamping: text.count), csqlite_transient())
        }
    }

    public func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }
    public func isText(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_TEXT }
    public func int64(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
    public func double(_ column: Int32) -> Double { sqlite3_column_double(handle, column) }

    /// The column as text; its bytes may be invalid UTF-8. NULL is no bytes.
    public func withText<Value>(_ column: Int32, _ body: (UnsafeRawBufferPointer) throws -> Value) rethrows -> Value {
        // The order matters: sqlite3_column_text may convert, and only then is the length known.
        let start = sqlite3_column_text(handle, column)
        let count = start == nil ? 0 : Int(sqlite3_column_bytes(handle, column))
        return try body(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// The column as a String, invalid UTF-8 replaced; NULL is empty.
    public func string(_ column: Int32) -> String { withText(column) { String(decoding: $0, as: UTF8.self) } }
}
