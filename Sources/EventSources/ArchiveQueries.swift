// The archive's statements on request_logs.

import Base
import Storage

/// The prepared statements of the archive's connection. Owner: one thread at a time.
struct ArchiveQueries {
    static let indexRowsMax = 4096
    static let forwardRowsMax = 512

    /// Above every timestamp that can be read, since those begin with a digit.
    private static let end = "timestamp < ':'"

    /// One row by its rowid, with the columns of `RequestQueries.eventRows`.
    let event: Statement
    /// Rowid of the row with an id.
    let byID: Statement
    /// Who stands at a rowid.
    let atRowid: Statement
    /// Rowid and id of rows up to a rowid, newest first.
    let backward: Statement
    /// Rowid, id and timestamp of rows behind a rowid and up to another, oldest first.
    let forward: Statement
    /// Timestamp and rowid behind a place of the index, in the order of texts.
    let index: Statement

    init(_ connection: Connection) throws(DatabaseError) {
        event = try connection.prepare("\(RequestQueries.eventRows) WHERE r.rowid = ?1")
        byID = try connection.prepare("SELECT rowid FROM request_logs WHERE id = ?1")
        atRowid = try connection.prepare("SELECT \(RequestQueries.identityColumns) FROM request_logs WHERE rowid = ?1")
        backward = try connection.prepare("SELECT rowid, id FROM request_logs WHERE rowid <= ?1 ORDER BY rowid DESC LIMIT ?2")
        forward = try connection.prepare(
            """
            SELECT rowid, id, timestamp FROM request_logs WHERE rowid > ?1 AND rowid <= ?2
            ORDER BY rowid LIMIT \(ArchiveQueries.forwardRowsMax)
            """)
        index = try connection.prepare(
            """
            SELECT timestamp, rowid FROM request_logs WHERE (timestamp, rowid) > (?1, ?2) AND \(ArchiveQueries.end)
            ORDER BY timestamp, rowid LIMIT \(ArchiveQueries.indexRowsMax)
            """)
    }

    func rowid(of name: RowName) throws(DatabaseError) -> Int64? {
        guard !name.bytes.isEmpty else { return nil }
        name.bytes.withUnsafeBytes { byID.bind($0, at: 1) }
        defer { byID.reset() }
        return try byID.step() ? byID.int64(0) : nil
    }

    /// Where a row of the live reader stands now; nil where it cannot be found.
    func rowid(of place: RequestPlace) throws(DatabaseError) -> Int64? {
        guard let id = place.id else { return place.rowid == .min ? .min : nil }
        if try isAt(place.rowid, id) { return place.rowid }
        guard let rowid = try rowid(of: RowName(bytes: Array(id.uuid.utf8))), try isAt(rowid, id) else { return nil }
        return rowid
    }

    private func isAt(_ rowid: Int64, _ id: RowID) throws(DatabaseError) -> Bool {
        atRowid.bind(rowid, at: 1)
        defer { atRowid.reset() }
        return try atRowid.step() && RowIdentity(identityColumns: atRowid).id == id
    }
}

/// A row's id as it is written, to look it up by; empty where it has none.
struct RowName: Equatable, Sendable {
    var bytes: [UInt8]

    init(bytes: [UInt8]) { self.bytes = bytes }
    init(_ row: Statement, _ column: Int32) { bytes = row.withText(column) { Array($0) } }
}
