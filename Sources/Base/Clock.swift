// Where time comes from. Code that decides by time takes a `Clock`, so that tests can hold it still.

import Glibc

/// A source of wall-clock and monotonic time; any thread may ask.
public protocol Clock: Sendable {
    /// The wall clock; may jump.
    func now() -> Instant
    /// Nanoseconds that only grow, from an arbitrary start.
    func monotonic() -> UInt64
}

/// The machine's clocks.
public struct SystemClock: Clock {
    public init() {}

    public func now() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Instant(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }

    public func monotonic() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
