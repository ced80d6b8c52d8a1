// A clock that stands still until a test moves it.

import Base
import Synchronization

/// Any thread may ask and move it.
public final class ManualClock: Clock {
    private let elapsed = Atomic<UInt64>(1_000_000_000_000)

    public init() {}

    /// 2026-02-05T10:30:00Z at the start.
    public func now() -> Instant {
        Instant(microseconds: 1_770_287_400_000_000 - 1_000_000_000 + Int64(monotonic() / 1000))
    }
    public func monotonic() -> UInt64 { elapsed.load(ordering: .sequentiallyConsistent) }

    public func advance(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        elapsed.add(UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000), ordering: .sequentiallyConsistent)
    }
}
