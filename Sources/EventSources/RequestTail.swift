// Following request_logs: each new row once, in order of insertion, whatever happens to the table.
//
// The hidden rowid gives the order of insertion, but it is no name: VACUUM may renumber it, and after the newest row was
// deleted the next one gets its number. So the row last read is remembered by its id as well (the anchor) and looked at
// before each read; when it is not where it was, the place is found again by the ids of the last rows read.

import Base
import Storage

/// The place in request_logs up to which rows have been read. Owner: the sampler. Every call belongs into one read
/// transaction, so that anchor and rows are of the same state.
struct RequestTail {
    enum Place: Equatable {
        /// The anchor is where it was, or only its number has changed: nothing is missing.
        case kept
        /// The anchor was deleted; older rows are still known.
        case rowsDeleted
        /// None of the known rows is there any more, and whatever is there now is new.
        case emptied
        /// None of the known rows is there: replaced, or restored from an old backup. What is new had to be guessed.
        case lost
    }

    /// Rows up to this rowid were read; the one at it is the anchor. Without an anchor the next row is the table's first.
    private var position = Int64.min
    private var anchor: RowID?
    private var anchorTimestamp: Instant?
    private(set) var seen = SeenRows()
    /// While finding its way in a table that it does not know, the tail takes only rows from `from` on for new.
    private var doubt: (until: Int64, from: Instant)?
    /// Where the reading of older ids goes on; nil when it is done.
    private var fillBefore: Int64?

    /// How far back a new place in an unknown table is looked for.
    private static let scanRowsMax: Int64 = 8192
    /// Ids of rows older than the start that are remembered: enough to outlive the deletion of the newest ones.
    private static let fillRowsMax = 4096
    private static let fillRowsPerRead: Int64 = 500
    /// A row may be written this much later than its timestamp says, by rule of thumb: requests last minutes at most.
    private static let writeDelayMilliseconds: Int64 = 600_000

    private(set) var hasBegun = false

    /// The place as others may know it: whatever stands up to it has been read.
    var place: RequestPlace { RequestPlace(rowid: position, id: anchor) }

    /// Takes the end of the table for the place to begin at.
    ///
    /// - Parameter newFrom: rows from this instant on count as new all the same, because they were written while the
    ///   table could not be read yet.
    mutating func begin(_ queries: RequestQueries, newFrom: Instant?) throws(DatabaseError) {
        let scan = try scan(queries, limit: newFrom == nil ? 1 : RequestTail.scanRowsMax)
        if newFrom == nil, let newest = scan.newest {
            settle(scan, at: newest, newFrom: nil)
            seen.append(newest.id, newest.timestamp)
            fillBefore = position
        } else {
            // Rows before `last` stay unknown.
            settle(scan, at: scan.isWholeTable ? nil : scan.last, newFrom: newFrom)
            seen.isComplete = scan.isWholeTable
        }
        hasBegun = true
    }

    /// Makes sure that the position is still where it was left, and finds it again where not.
    ///
    /// - Parameters:
    ///   - isOtherFile: the file is not the one that was read before.
    ///   - now: for guessing what is new in a table none of whose rows are known.
    mutating func locate(_ queries: RequestQueries, isOtherFile: Bool, now: Instant) throws(DatabaseError) -> Place {
        if !isOtherFile {
            guard let anchor else { return .kept }
            queries.atRowid.bind(position, at: 1)
            defer { queries.atRowid.reset() }
            if try queries.atRowid.step(), RowIdentity(identityColumns: queries.atRowid).id == anchor { return .kept }
        }
        fillBefore = nil
        let scan = try scan(queries, limit: RequestTail.scanRowsMax)
        if let known = scan.known {
            let isAnchor = known.id == anchor
            settle(scan, at: known, newFrom: nil)
            if isOtherFile { seen.isComplete = false }
            return isAnchor ? .kept : .rowsDeleted
        }
        let isEmpty = scan.newest == nil
        if isEmpty || seen.isComplete && !isOtherFile {
            // Everything that ever was in this table is known, so all that is there now is new.
            settle(scan, at: nil, newFrom: nil)
            seen.isComplete = true
            return .emptied
        }
        let newFrom: Instant
        if isOtherFile {
            newFrom = min(now, anchorTimestamp ?? now).advanced(byMilliseconds: -RequestTail.writeDelayMilliseconds)
        } else {
            newFrom = seen.earliest ?? now
        }
        settle(scan, at: scan.isWholeTable ? nil : scan.last, newFrom: newFrom)
        seen.isComplete = scan.isWholeTable
        return .lost
    }

    /// Reads the next rows.
    ///
    /// - Parameter body: gets each row as it stands in the `tail` statement, its timestamp, and whether it is new (not seen
    ///   before, nor older than what may be new).
    /// - Returns: whether these were all.
    mutating func read(
        _ queries: RequestQueries, _ reader: inout TimestampReader, _ budget: inout ReadBudget,
        _ body: (Statement, GatewayTimestamp?, _ isNew: Bool) -> Void
    ) throws(DatabaseError) -> Bool {
        typealias Column = RequestQueries.Column
        let row = queries.tail
        row.bind(position, at: 1)
        defer { row.reset() }
        var count: Int64 = 0
        while try row.step() {
            count += 1
            let timestamp = row.withText(Column.timestamp) { reader.read($0) }
            let identity = RowIdentity(row, id: Column.id, timestamp: Column.timestamp, numbers: Column.latency)
            position = row.int64(Column.rowid)
            var isNew = !(seen.contains(identity.id) && (identity.isUnique || doubt != nil))
            if let doubt {
                if position > doubt.until {
                    self.doubt = nil
                } else if let instant = timestamp?.instant, instant < doubt.from {
                    isNew = false
                }
            }
            anchor = identity.id
            anchorTimestamp = timestamp?.instant ?? anchorTimestamp
            seen.append(identity.id, anchorTimestamp ?? Instant(microseconds: 0))
            body(row, timestamp, isNew)
            if budget.isSpent() { return false }
        }
        return count < RequestQueries.tailRowsMax
    }

    /// Remembers some more of the rows that were there before the begin. Call when there was nothing to read.
    ///
    /// - Returns: whether there may be more to remember.
    mutating func remember(_ queries: RequestQueries, _ reader: inout TimestampReader) throws(DatabaseError) -> Bool {
        guard let before = fillBefore else { return false }
        let row = queries.backward
        row.bind(before, at: 1)
        row.bind(RequestTail.fillRowsPerRead, at: 2)
        defer { row.reset() }
        var count: Int64 = 0
        while try row.step() {
            count += 1
            let timestamp = row.withText(2) { reader.read($0) }?.instant ?? Instant(microseconds: 0)
            seen.prepend(RowIdentity(identityColumns: row).id, timestamp)
            fillBefore = row.int64(0)
        }
        if count < RequestTail.fillRowsPerRead {
            // Rows that were evicted meanwhile (thousands in a second) would make this untrue.
            if seen.count < SeenRows.rowsMax { seen.isComplete = true }
            fillBefore = nil
        } else if seen.count >= RequestTail.fillRowsMax {
            fillBefore = nil
        }
        return fillBefore != nil
    }

    // MARK: finding a place

    private struct Row {
        let rowid: Int64
        let id: RowID
        let timestamp: Instant
    }

    private struct Scan {
        var newest: Row?
        /// The newest row that was seen before.
        var known: Row?
        /// The oldest row looked at.
        var last: Row?
        var isWholeTable = true
    }

    private func scan(_ queries: RequestQueries, limit: Int64) throws(DatabaseError) -> Scan {
        let row = queries.backward
        // Int64.max itself cannot be behind the newest row, except where a table is full to the brim.
        row.bind(Int64.max, at: 1)
        row.bind(limit, at: 2)
        defer { row.reset() }
        var result = Scan()
        var reader = TimestampReader()
        var count: Int64 = 0
        while try row.step() {
            count += 1
            let timestamp = row.withText(2) { reader.read($0) }?.instant ?? Instant(microseconds: 0)
            let found = Row(rowid: row.int64(0), id: RowIdentity(identityColumns: row).id, timestamp: timestamp)
            if result.newest == nil { result.newest = found }
            if seen.contains(found.id) {
                result.known = found
                break
            }
            result.last = found
        }
        result.isWholeTable = result.known == nil && count < limit
        return result
    }

    private mutating func settle(_ scan: Scan, at row: Row?, newFrom: Instant?) {
        position = row?.rowid ?? .min
        anchor = row?.id
        anchorTimestamp = row?.timestamp ?? anchorTimestamp
        doubt = nil
        if let newFrom, let newest = scan.newest { doubt = (newest.rowid, newFrom) }
    }
}
