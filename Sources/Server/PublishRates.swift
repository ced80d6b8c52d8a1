// How fast each principal may publish.

/// One token bucket for each principal. Pure; time is given in nanoseconds of a monotonic clock. Owner: whoever holds `Broadcast`'s lock.
struct PublishRates {
    /// Principals with a bucket of their own; further ones share one, until others have rested long enough for theirs to be full again.
    static let principalsMax = 1024

    private var rate: Int
    private var burst: Int
    private var buckets: [String: TokenBucket] = [:]
    private var shared: TokenBucket

    /// - Parameters:
    ///   - rate: events per second of one principal.
    ///   - burst: events at once of one principal.
    init(rate: Int, burst: Int, now: UInt64) {
        self.rate = rate
        self.burst = burst
        shared = TokenBucket(rate: rate, burst: burst, now: now)
    }

    /// Goes on with another rate and burst. Whoever has used up the old one is not given it again.
    mutating func change(rate: Int, burst: Int, at now: UInt64) {
        self.rate = rate
        self.burst = burst
        shared.change(rate: rate, burst: burst, at: now)
        for principal in buckets.keys { buckets[principal]?.change(rate: rate, burst: burst, at: now) }
    }

    /// Takes `count` events of a principal, or none.
    /// - Returns: nil when taken, else the whole seconds after which it would go.
    mutating func take(_ count: Int, of principal: String, at now: UInt64) -> Int? {
        if buckets[principal] == nil, buckets.count >= PublishRates.principalsMax {
            // A full bucket is as good as none.
            for (rested, bucket) in buckets where bucket.isFull(at: now) { buckets[rested] = nil }
            if buckets.count >= PublishRates.principalsMax { return shared.take(count, at: now) }
        }
        return buckets[principal, default: TokenBucket(rate: rate, burst: burst, now: now)].take(count, at: now)
    }
}
