// A flood of the same message is not written, but counted.

/// Bounds the entries of each place in the code. Pure: time is given in nanoseconds of a monotonic clock.
public struct LogLimiter: Sendable {
    /// Nanoseconds in which `burst` entries of one place are written.
    public static let window: UInt64 = 30_000_000_000
    /// Entries within a window, where their event says nothing else.
    public static let burst = 20

    /// What was left out of one place.
    public struct Suppressed: Sendable {
        /// The last one of them.
        public let entry: LogEntry
        public let count: Int
    }

    private struct Place: Hashable {
        let file: String
        let line: UInt
    }
    private struct Use {
        var since: UInt64
        var written = 0
        var suppressed = 0
        var last: LogEntry?
    }
    /// As many as there are calls in the code.
    private var uses: [Place: Use] = [:]

    public init() {}

    /// Whether an entry is to be written.
    public mutating func admits(_ entry: LogEntry, at now: UInt64) -> Bool {
        let place = Place(file: "\(entry.file)", line: entry.line)
        var use = uses[place] ?? Use(since: now)
        if use.suppressed == 0, now >= use.since, now - use.since >= LogLimiter.window { use = Use(since: now) }
        if use.written < entry.event?.burst ?? LogLimiter.burst {
            use.written += 1
            uses[place] = use
            return true
        }
        use.suppressed += 1
        use.last = entry
        uses[place] = use
        return false
    }

    /// What was left out in windows that are over; the places begin anew.
    /// - Parameter isLast: also in windows that are not.
    public mutating func takeSuppressed(at now: UInt64, isLast: Bool = false) -> [Suppressed] {
        var found: [Suppressed] = []
        for (place, use) in uses where use.suppressed > 0 {
            guard let last = use.last, isLast || now >= use.since && now - use.since >= LogLimiter.window else { continue }
            found.append(Suppressed(entry: last, count: use.suppressed))
            uses[place] = nil
        }
        return found.sorted { $0.entry.time < $1.entry.time }
    }
}
