// A rate with a burst.

/// A token bucket; pure, time is given in nanoseconds of a monotonic clock.
public struct TokenBucket: Sendable {
    private let rate: Double
    private let burst: Double
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
