// Every statement on request_logs, and the meaning of its columns.

import Base
import Storage

/// The prepared statements of one connection. Owner: the sampler.
struct RequestQueries {
    /// Rows per read, so that a read lock lasts a few milliseconds at most.
    static let tailRowsMax: Int64 = 256
    static let loadRowsMax: Int64 = 1000
    static let sparseRowsMax: Int64 = 5000

    /// Columns of `tail`, `load` and `fetch`; beyond `rowid` only of `tail`.
    enum Column {
        static let timestamp: Int32 = 0
        static let providerID: Int32 = 1
        static let modelID: Int32 = 2
        static let latency: Int32 = 3
        static let input: Int32 = 4
        static let output: Int32 = 5
        static let success: Int32 = 6
        static let estimatedCost: Int32 = 7
        static let rowid: Int32 = 8
        static let id: Int32 = 9
        static let userID: Int32 = 10
        static let method: Int32 = 11
        static let endpoint: Int32 = 12
        static let statusCode: Int32 = 13
        static let errorMessage: Int32 = 14
        static let providerName: Int32 = 15
        static let modelName: Int32 = 16
    }
    private static let statsColumns =
        "r.timestamp, r.provider_id, r.model_id, r.latency_ms, r.input_tokens, r.output_tokens, r.success, r.estimated_cost, r.rowid"
    /// What an event is made of: all columns, and where they come from.
    static let eventRows =
        """
        SELECT \(statsColumns), r.id, r.user_id, r.method, r.endpoint, r.status_code, r.error_message, p.name, m.name
        FROM request_logs r LEFT JOIN providers p ON p.id = r.provider_id LEFT JOIN models m ON m.id = r.model_id
        """
    /// Columns of `atRowid` and `backward`.
    static let identityColumns = "rowid, id, timestamp, latency_ms, input_tokens, output_tokens"

    /// Rows behind a rowid, in order of insertion.
    let tail: Statement
    /// Who stands at a rowid.
    let atRowid: Statement
    /// Rows before a rowid, newest first.
    let backward: Statement
    /// Rows below a place in the index on timestamp, highest first.
    let load: Statement
    /// The same from the index alone: timestamp and rowid.
    let loadSparse: Statement
    /// One row by its rowid.
    let fetch: Statement
    /// Rows between two texts.
    let between: Statement
    /// The timestamps at two neighbouring places behind a text: a count that costs less than counting.
    let atOffset: Statement
    let model: Statement

    init(_ connection: Connection) throws(DatabaseError) {
        tail = try connection.prepare(
            "\(RequestQueries.eventRows) WHERE r.rowid > ?1 ORDER BY r.rowid LIMIT \(RequestQueries.tailRowsMax)")
        atRowid = try connection.prepare("SELECT \(RequestQueries.identityColumns) FROM request_logs WHERE rowid = ?1")
        backward = try connection.prepare(
            "SELECT \(RequestQueries.identityColumns) FROM request_logs WHERE rowid < ?1 ORDER BY rowid DESC LIMIT ?2")
        load = try connection.prepare(
            """
            SELECT \(RequestQueries.statsColumns) FROM request_logs r
            WHERE (r.timestamp, r.rowid) < (?1, ?2) AND r.timestamp >= ?3
            ORDER BY r.timestamp DESC, r.rowid DESC LIMIT \(RequestQueries.loadRowsMax)
            """)
        loadSparse = try connection.prepare(
            """
            SELECT timestamp, rowid FROM request_logs WHERE (timestamp, rowid) < (?1, ?2) AND timestamp >= ?3
            ORDER BY timestamp DESC, rowid DESC LIMIT \(RequestQueries.sparseRowsMax)
            """)
        fetch = try connection.prepare("SELECT \(RequestQueries.statsColumns) FROM request_logs r WHERE r.rowid = ?1")
        between = try connection.prepare(
            "SELECT \(RequestQueries.statsColumns) FROM request_logs r WHERE r.timestamp >= ?1 AND r.timestamp < ?2")
        atOffset = try connection.prepare(
            "SELECT timestamp FROM request_logs WHERE timestamp >= ?1 ORDER BY timestamp LIMIT 2 OFFSET ?2")
        model = try connection.prepare("SELECT name, provider_id FROM models WHERE id = ?1")
    }

    /// Makes the kept form of the row that a statement stands on.
    static func statsRow(_ row: Statement, _ timestamp: GatewayTimestamp, _ pairs: inout PairTable) -> StatsRow {
        let pair = row.withText(Column.providerID) { provider in
            // Both texts at once: their bytes stay put as long as neither column is converted again.
            row.withText(Column.modelID) { model in pairs.retain(provider: provider, model: model) }
        }
        return StatsRow(
            microseconds: timestamp.microseconds, success: row.int64(Column.success) != 0, pair: pair,
            latency: row.int64(Column.latency), input: row.int64(Column.input), output: row.int64(Column.output),
            cost: row.double(Column.estimatedCost))
    }
}

/// Who a row is, whatever its rowid.
struct RowIdentity {
    let id: RowID
    /// Whether no other row can be the same: it has an id of its own. The nil UUID and NULL are not; there the content
    /// stands in, which is enough to find a place again.
    let isUnique: Bool

    /// - Parameters: a row, the columns of id and timestamp, and the first of three columns of numbers.
    init(_ row: Statement, id: Int32, timestamp: Int32, numbers: Int32) {
        if !row.isNull(id) {
            let own = row.withText(id) { RowID($0) }
            if !own.isNil {
                self.id = own
                isUnique = true
                return
            }
        }
        var bytes = row.withText(timestamp) { Array($0) }
        for column in numbers..<numbers + 3 { withUnsafeBytes(of: row.int64(column)) { bytes += $0 } }
        self.id = bytes.withUnsafeBytes { RowID($0) }
        isUnique = false
    }

    /// Of a row of `atRowid` or `backward`.
    init(identityColumns row: Statement) { self.init(row, id: 1, timestamp: 2, numbers: 3) }
}
