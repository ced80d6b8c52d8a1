// The memory of which rows were there already: what makes "each row once" hold when rowids change under us.

import Base

/// The ids of the last rows of request_logs, newest last. 8192 of them, about 700 KB. Owner: the sampler.
struct SeenRows {
    static let rowsMax = 8192

    private struct Entry {
        let id: RowID
        let timestamp: Instant
    }

    private var ids: Set<RowID> = []
    /// Rows that were there before the tail began, newest first: they are read backwards, after the tail has begun.
    private var older: [Entry] = []
    /// Rows since, oldest first, from `head` on.
    private var newer: [Entry] = []
    private var head = 0
    /// Whether every row that the table has held since we look is in here: then a row that is not, is new. Ends by itself
    /// when a row is forgotten.
    var isComplete = false

    var count: Int { older.count + newer.count - head }

    func contains(_ id: RowID) -> Bool { ids.contains(id) }

    /// The youngest timestamp that is older than, or as old as, all in here; nil when empty.
    var earliest: Instant? {
        let first = older.min { $0.timestamp < $1.timestamp }?.timestamp
        let second = newer[head...].min { $0.timestamp < $1.timestamp }?.timestamp
        guard let first, let second else { return first ?? second }
        return min(first, second)
    }

    /// Remembers the newest row, and forgets the oldest where there is no room.
    mutating func append(_ id: RowID, _ timestamp: Instant) {
        guard ids.insert(id).inserted else { return }
        newer.append(Entry(id: id, timestamp: timestamp))
        guard count > SeenRows.rowsMax else { return }
        isComplete = false
        if let oldest = older.popLast() {
            ids.remove(oldest.id)
        } else {
            ids.remove(newer[head].id)
            head += 1
            if head == SeenRows.rowsMax {
                newer.removeFirst(head)
                head = 0
            }
        }
    }

    /// Remembers a row older than all others, while there is room.
    mutating func prepend(_ id: RowID, _ timestamp: Instant) {
        guard count < SeenRows.rowsMax, ids.insert(id).inserted else { return }
        older.append(Entry(id: id, timestamp: timestamp))
    }
}
