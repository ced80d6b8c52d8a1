// The round that looks for deleted rows: which minutes, and when each is due.

/// Goes through all minutes that hold rows, in ranges of some thousand rows, spread evenly over the period.
///
/// Nothing in the file says that rows were deleted, so somebody has to look. Counting by LIMIT and OFFSET in the index costs
/// about 30 ns a row: for a million rows that is 0.1 % of a core. No I/O in here; owner: the sampler.
struct DeletionCheck {
    /// A round begins this long after the one before, and is through after the second time. Their sum is the longest that
    /// a deletion can go unseen: a range may come first in one round and last in the next.
    static let period: UInt64 = 32_000_000_000
    private static let roundNanoseconds: UInt64 = 24_000_000_000
    static let dayMinutes: Int64 = 1440
    private static let rangeRowsMax = 4000
    private static let rangeMinutesMax: Int64 = 240

    private var ranges: [Range<Int64>] = []
    private var done = 0
    private var began: UInt64?
    private var version: Int64?
    private var hurries = false

    /// Whether an urgent round is not through yet.
    var isUrgent: Bool { hurries && done < ranges.count }

    func isDue(monotonic: UInt64, version: Int64) -> Bool {
        guard done == ranges.count, version != self.version else { return false }
        return began.map { monotonic &- $0 >= DeletionCheck.period } ?? true
    }

    /// - Parameters:
    ///   - minutes: of text, sorted.
    ///   - counts: rows per minute of text.
    ///   - isUrgent: without pauses.
    mutating func begin(minutes: [Int64], counts: [Int64: Int], monotonic: UInt64, version: Int64, isUrgent: Bool) {
        hurries = isUrgent
        ranges = []
        done = 0
        began = monotonic
        self.version = version
        var first: Int64?
        var end: Int64 = 0
        var rows = 0
        for minute in minutes {
            let count = counts[minute] ?? 0
            // Texts with `T` sort between the days, so no range may span two.
            if let begin = first,
                rows + count > DeletionCheck.rangeRowsMax || minute - begin >= DeletionCheck.rangeMinutesMax
                    || DeletionCheck.day(minute) != DeletionCheck.day(begin)
            {
                ranges.append(begin..<end)
                first = nil
                rows = 0
            }
            if first == nil { first = minute }
            end = minute + 1
            rows += count
        }
        if let first { ranges.append(first..<end) }
    }

    /// Whether a range is due.
    func hasNext(monotonic: UInt64) -> Bool {
        guard done < ranges.count, let began else { return false }
        if hurries { return true }
        let elapsed = min(monotonic &- began, DeletionCheck.roundNanoseconds)
        let due = 1 + Int(UInt64(ranges.count) * (elapsed / 1_000_000) / (DeletionCheck.roundNanoseconds / 1_000_000))
        return done < due
    }

    /// The next range that is due.
    mutating func next(monotonic: UInt64) -> Range<Int64>? {
        guard hasNext(monotonic: monotonic) else { return nil }
        done += 1
        return ranges[done - 1]
    }

    private static func day(_ minute: Int64) -> Int64 {
        let quotient = minute / dayMinutes
        return minute % dayMinutes < 0 ? quotient - 1 : quotient
    }
}
