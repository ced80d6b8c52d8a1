// How long to wait before the next attempt.

import Base

/// Exponential backoff with full jitter: each wait is drawn evenly from zero up to a ceiling, which doubles with each failure in a row.
///
/// Full jitter, because many clients lose the same daemon at the same moment: drawn from the whole range they come back spread over it.
struct Backoff: Sendable {
    /// The first ceiling, in nanoseconds.
    static let floor: UInt64 = 500_000_000
    /// The last one.
    static let ceiling: UInt64 = 20_000_000_000

    /// Failures in a row.
    private(set) var failures = 0
    private var random: SeededRandom

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    /// The ceiling for the present number of failures, in nanoseconds.
    static func ceiling(after failures: Int) -> UInt64 { failures >= 6 ? ceiling : min(ceiling, floor << UInt64(max(0, failures))) }

    /// Draws the next wait, in nanoseconds, and counts a failure.
    mutating func next() -> UInt64 {
        defer { failures += 1 }
        return below(Backoff.ceiling(after: failures))
    }

    /// Draws a wait that is not a failure's.
    mutating func below(_ nanoseconds: UInt64) -> UInt64 { UInt64.random(in: 0..<max(1, nanoseconds), using: &random) }

    mutating func reset() { failures = 0 }
}
