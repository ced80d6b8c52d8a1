// A database that may be written to: the demo's own. The real gateway's is opened by Storage, which cannot write.

import CSQLite
import Glibc

/// A value to bind; what the gateway's driver makes of Go's types.
enum SQLValue: Equatable, Sendable {
    case text(String)
    /// Also booleans, as 0 or 1.
    case integer(Int64)
    case real(Double)
    case null
}

/// A failed statement, with SQLite's own words.
struct SQLError: Error, Equatable, CustomStringConvertible {
    let description: String
}

/// A connection. One thread at a time; closes itself.
final class GatewayDatabase {
    private let connection: OpaquePointer
    /// Prepared once, by their text.
    private var statements: [String: OpaquePointer] = [:]

    /// Opens or makes the file.
    ///
    /// - Parameter busyMilliseconds: how long a locked database is waited for; 5 s is go-sqlite3's default.
    init(path: String, busyMilliseconds: Int32 = 5000) throws(SQLError) {
        var opened: OpaquePointer?
        let code = sqlite3_open_v2(path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK, let opened else {
            let message = opened.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
            sqlite3_close_v2(opened)
            throw SQLError(description: "\(path): \(message)")
        }
        connection = opened
        sqlite3_busy_timeout(connection, busyMilliseconds)
        // A demo's database need not survive a power failure; without this each row waits for the disk.
        try execute("PRAGMA synchronous = OFF")
    }

    deinit {
        for statement in statements.values { sqlite3_finalize(statement) }
        sqlite3_close_v2(connection)
    }

    /// Runs a statement that gives no rows.
    func execute(_ sql: String, _ values: [SQLValue] = []) throws(SQLError) {
        let statement = try prepared(sql)
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        for (index, value) in values.enumerated() {
            let position = Int32(index + 1)
            let code =
                switch value {
                case .text(let text): sqlite3_bind_text(statement, position, text, -1, csqlite_transient())
                case .integer(let number): sqlite3_bind_int64(statement, position, number)
                case .real(let number): sqlite3_bind_double(statement, position, number)
                case .null: sqlite3_bind_null(statement, position)
                }
            guard code == SQLITE_OK else { throw error(sql) }
        }
        // A PRAGMA may give a row; nobody wants it.
        var code = sqlite3_step(statement)
        while code == SQLITE_ROW { code = sqlite3_step(statement) }
        guard code == SQLITE_DONE else { throw error(sql) }
    }

    /// Runs the body in a transaction; rolls back where it throws.
    func transaction(_ body: () throws(SQLError) -> Void) throws(SQLError) {
        try execute("BEGIN")
        do throws(SQLError) {
            try body()
            try execute("COMMIT")
        } catch {
            // The first error counts; SQLite may have rolled back by itself.
            try? execute("ROLLBACK")
            throw error
        }
    }

    private func prepared(_ sql: String) throws(SQLError) -> OpaquePointer {
        if let statement = statements[sql] { return statement }
        var made: OpaquePointer?
        guard sqlite3_prepare_v2(connection, sql, -1, &made, nil) == SQLITE_OK, let made else { throw error(sql) }
        statements[sql] = made
        return made
    }

    private func error(_ sql: String) -> SQLError {
        SQLError(description: "\(String(cString: sqlite3_errmsg(connection))) in \(sql.prefix(40))")
    }
}
