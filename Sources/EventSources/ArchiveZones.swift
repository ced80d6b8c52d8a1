// Which time zones the timestamps of request_logs were written in: texts of one zone sort by time, others only within the
// difference of their offsets, so the offsets have to be known before the index can be read in order.

import Base
import Storage

/// The offsets of a set of timestamps.
struct ZoneBounds: Sendable, Equatable {
    /// Real offsets; a row with another one is given where it happens to be met.
    private static let offsets: ClosedRange<Int64> = -12 * 60...14 * 60
    private static let suffixesMax = 64

    /// In minutes; nil before the first.
    private(set) var lowest: Int64?
    private(set) var highest: Int64?
    /// Whether there are texts with a T in place of the blank: they sort behind all others of their day.
    private(set) var hasT = false

    /// Endings seen, for the statement `suffixes`.
    private(set) var known = ""
    private(set) var isPlainKnown = false
    private var suffixes = 0
    /// There are too many to tell: everything is assumed.
    private(set) var isEverything = false

    /// - Returns: the second since 1970 of whatever zone at which texts of an instant may begin.
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

    /// Takes in a text that does not end as known.
    mutating func note(unknown text: UnsafeRawBufferPointer, _ reader: inout TimestampReader) {
        let zone = reader.read(text)?.zone
        if let zone { note(zone) }
        if text.count > 10, text[10] == UInt8(ascii: "T") { hasT = true }
        let end = text.suffix(6)
        let hasOffset = end.count == 6 && end.dropFirst(3).first == UInt8(ascii: ":")
            && (end.first == UInt8(ascii: "+") || end.first == UInt8(ascii: "-"))
        if zone != nil, !hasOffset {
            isPlainKnown = true
        } else {
            known += "|" + String(decoding: end, as: UTF8.self)
        }
        suffixes += 1
        if suffixes > ZoneBounds.suffixesMax {
            isEverything = true
            lowest = ZoneBounds.offsets.lowerBound
            highest = ZoneBounds.offsets.upperBound
            hasT = true
        }
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
    /// The slice of the index that is being looked at: what is behind `after` and before `until`, on the way to `target`.
    private var pending: (after: String, until: String, target: String)?

    /// Looks at the rows whose texts lie above `text`, and at whatever rows have come. Call within a read transaction, until
    /// it returns true; then `bounds` holds for all rows of that transaction that lie above `text`.
    mutating func cover(
        _ text: String, _ queries: ArchiveQueries, file: GatewayDatabase.FileID, _ reader: inout TimestampReader,
        _ budget: inout ReadBudget
    ) throws(DatabaseError) -> Bool {
        if self.file != file { self = ZoneCheck() }
        if let border, try !border.isInPlace(queries) { self = ZoneCheck() }
        guard !bounds.isEverything else { return true }
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
        if pending == nil, doneAbove.map({ text < $0 }) ?? true { pending = (text, doneAbove.map { $0 + "\u{1}" } ?? ":", text) }
        while let (after, until, target) = pending {
            let row = queries.suffixes
            row.bind(after, at: 1)
            row.bind(until, at: 2)
            row.bind(bounds.known, at: 3)
            row.bind(bounds.isPlainKnown ? 1 : 0, at: 4)
            row.bind(bounds.hasT ? 1 : 0, at: 5)
            defer { row.reset() }
            guard try row.step() else { break }
            if !row.isNull(2) {
                row.withText(2) { bounds.note(unknown: $0, &reader) }
                if bounds.isEverything { return true }
            } else if row.int64(0) < ArchiveQueries.suffixRowsMax {
                doneAbove = min(target, doneAbove ?? target)
                pending = nil
                if text < target { pending = (text, target + "\u{1}", text) }
            } else {
                pending?.after = row.string(1)
            }
            if budget.isOver { return false }
        }
        return true
    }
}
