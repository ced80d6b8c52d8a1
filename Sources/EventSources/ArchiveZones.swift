// Which time zones the timestamps of request_logs were written in: texts of one zone sort by time, others only within the
// difference of their offsets, so the offsets have to be known before the index can be read in order.

import Base
import Storage

/// The offsets of a set of timestamps.
struct ZoneBounds: Sendable, Equatable {
    /// Real offsets; a row with another one is given where it happens to be met.
    private static let offsets: ClosedRange<Int64> = -12 * 60...14 * 60

    /// In minutes; nil before the first.
    private(set) var lowest: Int64?
    private(set) var highest: Int64?
    /// Whether there are texts with a T in place of the blank: they sort behind all others of their day.
    private(set) var hasT = false

    /// Where texts of instants from this second on begin.
    func firstText(of second: Int64) -> String { ZoneBounds.text(second &+ (lowest ?? ZoneBounds.offsets.lowerBound) * 60) }

    /// The end of all texts of instants before this second.
    func endText(of second: Int64) -> String {
        let end = second &+ (highest ?? ZoneBounds.offsets.upperBound) * 60
        guard hasT else { return ZoneBounds.text(end) }
        return ZoneBounds.text(end).prefix(10) + "U"
    }

    /// The lowest text that has to be looked at for the zones of rows from an instant on, whatever they are.
    static func lowestText(of second: Int64) -> String { text(second &+ offsets.lowerBound * 60 - 1) }

    /// No row whose text sorts behind this one is of an instant before this second.
    func lowestSecond(behind timestamp: GatewayTimestamp) -> Int64 {
        var second = timestamp.textMinute * 60 + Int64(timestamp.microseconds) / 1_000_000
        // The rows of this day with a T are still to come, from midnight on.
        if hasT, timestamp.zone?.hasT != true { second -= ((second % 86_400) + 86_400) % 86_400 }
        return second - (highest ?? ZoneBounds.offsets.upperBound) * 60
    }

    mutating func note(_ zone: GatewayTimestamp.Zone) {
        let offset = min(max(Int64(zone.offsetMinutes), ZoneBounds.offsets.lowerBound), ZoneBounds.offsets.upperBound)
        lowest = min(lowest ?? offset, offset)
        highest = max(highest ?? offset, offset)
        if zone.hasT { hasT = true }
    }

    /// `2026-03-02 14:29:45`: sorts before or equal to every text of that second, and after every text of the one before.
    private static func text(_ second: Int64) -> String {
        // Years 0 to 9999.
        let clamped = min(max(second, -62_167_219_200), 253_402_300_799)
        return Instant(milliseconds: clamped * 1000).rfc3339.prefix(10) + " "
            + Instant(milliseconds: clamped * 1000).rfc3339.dropFirst(11).prefix(8)
    }
}

/// What is known of the zones of a table, so that not each replay has to look at half a day of rows. Owner: the archive.
struct ZoneCheck {
    /// So many new rows cost more to read than to look at the index again.
    private static let newRowsMax: Int64 = 50_000

    private(set) var bounds = ZoneBounds()
    private var file: GatewayDatabase.FileID?
    /// Rows up to it were there when the check began; those behind it are looked at one by one.
    private var border: TableBorder?
    /// Texts above it have been looked at.
    private var doneAbove: String?
    /// The entry of the index that was looked at last, on the way from `target` to the end.
    private var pending: (target: String, text: [UInt8], rowid: Int64)?

    /// Looks at the rows whose texts lie above `text`, and at whatever rows have come. Call within a read transaction, until
    /// it returns true; then `bounds` holds for all rows of that transaction that lie above `text`.
    mutating func cover(
        _ text: String, _ queries: ArchiveQueries, file: GatewayDatabase.FileID, _ reader: inout TimestampReader,
        _ budget: inout ReadBudget
    ) throws(DatabaseError) -> Bool {
        if self.file != file { self = ZoneCheck() }
        if let border, try !border.isInPlace(queries) { self = ZoneCheck() }
        if let border, let newest = try TableBorder(queries, upTo: .max, names: 1).rowidIfAny,
            newest.subtractingReportingOverflow(max(border.rowid, 0)).partialValue > ZoneCheck.newRowsMax
        {
            self = ZoneCheck()
        }
        if border == nil {
            self.file = file
            border = try TableBorder(queries, upTo: .max)
        }
        while let behind = border {
            let row = queries.forward
            row.bind(behind.rowid, at: 1)
            row.bind(Int64.max, at: 2)
            defer { row.reset() }
            var count = 0
            while try row.step() {
                count += 1
                border?.append(row.int64(0), RowName(row, 1))
                if let zone = row.withText(2, { reader.read($0) })?.zone { bounds.note(zone) }
                if budget.isSpent() { return false }
            }
            if count < ArchiveQueries.forwardRowsMax { break }
        }
        // About 0.15 s of processor time for half a million rows; an aggregate in SQL over the ends of the texts takes twice as long.
        if doneAbove.map({ text < $0 }) ?? true, pending.map({ text < $0.target }) ?? true {
            pending = (text, Array(text.utf8), .min)
        }
        while let (target, after, rowid) = pending {
            let row = queries.index
            after.withUnsafeBytes { row.bind($0, at: 1) }
            row.bind(rowid, at: 2)
            defer { row.reset() }
            var count = 0
            while try row.step() {
                count += 1
                if let zone = row.withText(0, { reader.read($0) })?.zone { bounds.note(zone) }
                let isSpent = budget.isSpent()
                if isSpent || count == ArchiveQueries.indexRowsMax {
                    pending = (target, row.withText(0) { Array($0) }, row.int64(1))
                    if isSpent { return false }
                }
            }
            if count < ArchiveQueries.indexRowsMax {
                doneAbove = target
                pending = nil
            }
        }
        return true
    }
}
