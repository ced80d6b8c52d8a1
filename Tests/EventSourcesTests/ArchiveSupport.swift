// What the tests of the archive compare it with: every row read at once, and sorted.

import Base
import Storage
import Testing

@testable import EventSources

/// A clock that goes on at each look, so that every budget runs out.
final class HastyClock: Clock {
    private let time: Locked<UInt64>
    private let step: UInt64

    init(stepMicroseconds: UInt64) {
        time = Locked(1)
        step = stepMicroseconds * 1000
    }

    func now() -> Instant { Instant(microseconds: 0) }
    func monotonic() -> UInt64 {
        time.withLock {
            $0 += step
            return $0
        }
    }
}

/// A row as the model knows it.
struct ModelRow: Equatable {
    let rowid: Int64
    let id: String
    let instant: Instant

    static func isBefore(_ a: ModelRow, _ b: ModelRow) -> Bool { (a.instant, a.rowid) < (b.instant, b.rowid) }

    /// All rows in order of insertion whose timestamp makes sense.
    static func all(_ path: String) throws -> [ModelRow] {
        let connection = try Connection(path: path)
        let row = try connection.prepare("SELECT rowid, id, timestamp FROM request_logs ORDER BY rowid")
        var rows: [ModelRow] = []
        while try row.step() {
            guard let instant = Instant(parsing: row.string(2)) else { continue }
            rows.append(ModelRow(rowid: row.int64(0), id: row.string(1), instant: instant))
        }
        return rows
    }
}

extension HistoryEdge {
    /// Of a history that holds these requests.
    init(_ ids: some RandomAccessCollection<String>) {
        let ids = Array(ids)
        self.init(requestID: { ids.indices.contains($0) ? Array(ids[$0].utf8) : nil }, firstEntry: nil)
    }

    static var empty: HistoryEdge { HistoryEdge([]) }
}

extension PublishedPlaces {
    /// Everything up to a row has been published.
    convenience init(upTo row: ModelRow?) {
        self.init()
        set(row)
    }

    func set(_ row: ModelRow?) {
        request.withLock { place in
            guard let row else {
                place = RequestPlace(rowid: .min, id: nil)
                return
            }
            place = RequestPlace(rowid: row.rowid, id: Array(row.id.utf8).withUnsafeBytes { RowID($0) })
        }
    }
}

extension RequestArchive {
    /// Reads to the end of what lies before `edge`.
    func all(from: Instant, until: Instant? = nil, edge: HistoryEdge, limit: Int = 1000) throws -> [SourceEvent] {
        var position = begin(from: from)
        return try rest(&position, until: until, edge: edge, limit: limit)
    }

    func rest(
        _ position: inout Position, until: Instant? = nil, edge: HistoryEdge, limit: Int = 1000
    ) throws -> [SourceEvent] {
        var events: [SourceEvent] = []
        for _ in 0..<1_000_000 {
            let next = try self.next(&position, until: until, edge: edge, limit: limit)
            #expect(next.count <= limit)
            events += next
            if position.isFinished { return events }
        }
        throw NothingCame()
    }
}

/// The ids of request events; JSON in full would take most of the tests' time.
func requestIDs(_ events: [SourceEvent]) throws -> [String] {
    let start = Array("{\"request_id\":\"".utf8)
    return try events.map { event in
        try #require(event.data.starts(with: start))
        return String(decoding: event.data.dropFirst(start.count).prefix { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
    }
}

extension WritableDatabase {
    /// Gives rows other numbers, without holes and in their order: what VACUUM may do and does in some tables.
    func renumber() {
        execute(
            """
            BEGIN IMMEDIATE;
            CREATE TEMP TABLE kept AS SELECT * FROM request_logs ORDER BY rowid;
            DELETE FROM request_logs;
            INSERT INTO request_logs SELECT * FROM kept ORDER BY rowid;
            DROP TABLE kept;
            COMMIT
            """)
    }
}
