// Rows that disappear inside a window.

import Base
import Storage

extension RequestStats {
    /// More rows in one minute than this are not read again in one go when some of them were deleted.
    private static let reloadRowsMax = 20_000
    /// A slice of the round holds its read lock no longer than this.
    private static let sliceNanosecondsMax: UInt64 = 2_000_000

    /// Looks for rows that were deleted, a slice at a time, everything once within a minute. Belongs into a read
    /// transaction in which the tail has read to the end.
    ///
    /// - Parameters:
    ///   - version: the database's `dataVersion`: without a change there is nothing to look for.
    ///   - isUrgent: some rows are known to be gone: a new round begins, and takes no more time than it needs.
    /// - Returns: whether the rest of an urgent round is still to be done.
    mutating func findDeletions(
        _ queries: RequestQueries, clock: any Clock, version: Int64, isUrgent: Bool
    ) throws(DatabaseError) -> Bool {
        let began = clock.monotonic()
        if isUrgent || check.isDue(monotonic: began, version: version) {
            check.begin(
                minutes: store.textMinutesKept(), counts: store.textCounts, monotonic: began, version: version, isUrgent: isUrgent)
            minutesPlanned = store.minutesAdded
        }
        guard check.hasNext(monotonic: began) else { return false }
        if minutesPlanned != store.minutesAdded {
            check.plan(minutes: store.textMinutesKept(), counts: store.textCounts)
            minutesPlanned = store.minutesAdded
        }
        while let range = check.next(monotonic: began) {
            if try !matches(queries, range) {
                for minute in range where try !matches(queries, minute..<minute + 1) {
                    guard store.textCounts[minute] ?? 0 <= RequestStats.reloadRowsMax else {
                        reset(now: clock.now())
                        return false
                    }
                    try reload(queries, minute, now: clock.now())
                }
            }
            if clock.monotonic() &- began > RequestStats.sliceNanosecondsMax { break }
        }
        return check.isUrgent
    }

    /// Whether the table has as many rows in these minutes of one day as are known.
    private func matches(_ queries: RequestQueries, _ minutes: Range<Int64>) throws(DatabaseError) -> Bool {
        let known = minutes.reduce(0) { $0 + (store.textCounts[$1] ?? 0) }
        let statement = queries.atOffset
        let end = RequestStats.endText(minutes)
        statement.bind(GatewayTimestamp.minuteText(minutes.lowerBound), at: 1)
        statement.bind(Int64(max(known - 1, 0)), at: 2)
        defer { statement.reset() }
        func nextIsInside() throws(DatabaseError) -> Bool {
            guard try statement.step() else { return false }
            return statement.withText(0) { $0.lexicographicallyPrecedes(end.utf8) }
        }
        // The last known row must be there, and no other behind it.
        if known > 0, try !nextIsInside() { return false }
        return try !nextIsInside()
    }

    /// Sorts after all texts of these minutes, and before all that follow, those with `T` included.
    private static func endText(_ minutes: Range<Int64>) -> String {
        minutes.upperBound % DeletionCheck.dayMinutes == 0
            ? GatewayTimestamp.minuteText(minutes.upperBound - 1).prefix(11) + "24:00"
            : GatewayTimestamp.minuteText(minutes.upperBound)
    }

    /// Takes one minute's rows out and reads them again.
    private mutating func reload(_ queries: RequestQueries, _ minute: Int64, now: Instant) throws(DatabaseError) {
        store.remove(textMinutes: minute..<minute + 1) { row, microseconds in
            for window in windows.keys { windows[window]?.remove(row, microseconds: microseconds) }
        }
        let row = queries.between
        row.bind(GatewayTimestamp.minuteText(minute), at: 1)
        row.bind(RequestStats.endText(minute..<minute + 1), at: 2)
        defer { row.reset() }
        do {
            while try row.step() {
                if let timestamp = row.withText(RequestQueries.Column.timestamp, { reader.read($0) }) { add(row, timestamp) }
            }
        } catch {
            // Half a minute's rows would stay missing.
            reset(now: now)
            throw error
        }
    }
}
