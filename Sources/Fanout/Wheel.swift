// One coarse wheel of deadlines per shard, instead of a timer per client.

/// Constants of the wheel. A tick is 250 ms: deadlines here are seconds, and an early or late quarter does no harm.
enum Wheel {
    static let none = UInt32.max
    static let tickMilliseconds = 250
    /// Buckets; a deadline further away is looked at again when its bucket comes round.
    static let buckets = 512

    /// A duration in ticks, rounded up.
    static func ticks(_ duration: Duration) -> UInt32 {
        let milliseconds = max(0, duration.components.seconds) * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
        return UInt32(clamping: (milliseconds + Int64(tickMilliseconds) - 1) / Int64(tickMilliseconds))
    }
}
