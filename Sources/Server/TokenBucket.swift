// A rate with a burst.

/// A token bucket; pure, time is given in nanoseconds of a monotonic clock.
public struct TokenBucket: Sendable {
    private var rate: Double
    private var burst: Double
    private var tokens: Double
    private var last: UInt64

    /// - Parameters:
    ///   - rate: tokens per second, at least 1.
    ///   - burst: tokens at most, and at the start.
    public init(rate: Int, burst: Int, now: UInt64) {
        self.rate = Double(max(1, rate))
        self.burst = Double(max(1, burst))
        tokens = self.burst
        last = now
    }

    /// Goes on with another rate and burst: what a larger burst allows is there at once, what was used up stays so.
    public mutating func change(rate: Int, burst: Int, at now: UInt64) {
        _ = take(0, at: now)
        let more = Double(max(1, burst)) - self.burst
        self.rate = Double(max(1, rate))
        self.burst = Double(max(1, burst))
        tokens = min(tokens + max(0, more), self.burst)
    }

    /// Whether it holds all that it can.
    public func isFull(at now: UInt64) -> Bool { now >= last && tokens + Double(now - last) * rate / 1e9 >= burst }

    /// Takes `count` tokens or none.
    /// - Returns: nil when taken, else the whole seconds after which it would go.
    public mutating func take(_ count: Int, at now: UInt64) -> Int? {
        if now > last {
            tokens = min(burst, tokens + Double(now - last) * rate / 1e9)
            last = now
        }
        if Double(count) <= tokens {
            tokens -= Double(count)
            return nil
        }
        return max(1, Int(((Double(count) - tokens) / rate).rounded(.up)))
    }
}
