// The round that looks for deleted rows: which minutes, and when each is due.

/// Goes through all minutes that hold rows, in ranges of some thousand rows, spread evenly over the round.
///
/// Nothing in the file says that rows were deleted, so somebody has to look. Counting by LIMIT and OFFSET in the index costs
/// about 50 ns a row: for a million rows that is 0.1 % of a core. No I/O in here; owner: the sampler.
struct DeletionCheck {
    /// How long a round takes. Every minute is looked at once in each, so a deletion is seen within this time, or a
    /// little more where rows have come or gone and changed the others' turns.
    private static let roundNanoseconds: UInt64 = 45_000_000_000
    /// Where a large part has changed, turns may change altogether: such a round is short, so that both together stay
    /// under a minute.
    private static let shortRoundNanoseconds: UInt64 = 12_000_000_000
    private static let changedPartMax = 0.2

    static let dayMinutes: Int64 = 1440
    private static let rangeRowsMax = 4000
    private static let rangeMinutesMax: Int64 = 240

    /// What is still to be looked at in this round.
    private var ranges: ArraySlice<Range<Int64>> = []
    private var rows = 0
    private var done = 0
    private var cursor = Int64.min
    private var began: UInt64?
    private var version: Int64?
    /// Of this round; 0 for an urgent one.
    private var length = roundNanoseconds

    /// Whether an urgent round is not through yet.
    var isUrgent: Bool { length == 0 && !ranges.isEmpty }

    /// Whether a new round should begin: the last one is through, and since it began something was written.
    func isDue(monotonic: UInt64, version: Int64) -> Bool {
        guard ranges.isEmpty, version != self.version else { return false }
        return began.map { monotonic &- $0 >= length } ?? true
    }

    /// - Parameters:
    ///   - minutes: of text, sorted.
    ///   - counts: rows per minute of text.
    ///   - isUrgent: without pauses.
    mutating func begin(minutes: [Int64], counts: [Int64: Int], monotonic: UInt64, version: Int64, isUrgent: Bool) {
        let before = rows
        rows = minutes.reduce(0) { $0 + (counts[$1] ?? 0) }
        let changed = Double(abs(rows - before)) > DeletionCheck.changedPartMax * Double(before)
        length = isUrgent ? 0 : changed ? DeletionCheck.shortRoundNanoseconds : DeletionCheck.roundNanoseconds
        done = 0
        began = monotonic
        self.version = version
        cursor = .min
        plan(minutes: minutes, counts: counts)
    }

    /// Plans the rest of the round anew, because rows have come in minutes that were empty: they might be deleted again
    /// before the next round begins.
    mutating func plan(minutes: [Int64], counts: [Int64: Int]) {
        var planned: [Range<Int64>] = []
        var first: Int64?
        var end: Int64 = 0
        var inRange = 0
        for minute in minutes where minute >= cursor {
            let count = counts[minute] ?? 0
            // Texts with `T` sort between the days, so no range may span two.
            if let begin = first,
                inRange + count > DeletionCheck.rangeRowsMax || minute - begin >= DeletionCheck.rangeMinutesMax
                    || DeletionCheck.day(minute) != DeletionCheck.day(begin)
            {
                planned.append(begin..<end)
                first = nil
                inRange = 0
            }
            if first == nil { first = minute }
            end = minute + 1
            inRange += count
        }
        if let first { planned.append(first..<end) }
        ranges = planned[...]
    }

    /// Whether a range is due.
    func hasNext(monotonic: UInt64) -> Bool {
        guard !ranges.isEmpty, let began else { return false }
        let elapsed = monotonic &- began
        if elapsed >= length { return true }
        return done < 1 + Int(UInt64(done + ranges.count) * (elapsed / 1_000_000) / (length / 1_000_000))
    }

    /// The next range that is due.
    mutating func next(monotonic: UInt64) -> Range<Int64>? {
        guard hasNext(monotonic: monotonic), let range = ranges.popFirst() else { return nil }
        done += 1
        cursor = range.upperBound
        return range
    }

    private static func day(_ minute: Int64) -> Int64 {
        let quotient = minute / dayMinutes
        return minute % dayMinutes < 0 ? quotient - 1 : quotient
    }
}
