// When the requests of an open loop are due: by the clock, whatever has become of those before.

/// A fixed rate. An event's latency counts from the instant at which its request was due, so that a server that stalls, or a generator that
/// is late, hides nothing.
struct Schedule: Equatable, Sendable {
    private let start: UInt64
    private let eventsPerSecond: UInt64
    /// Events of one request, which are due together.
    private let batch: UInt64

    /// - Parameter start: when the first request is due, in nanoseconds of the monotonic clock.
    init(start: UInt64, eventsPerSecond: Int, batch: Int) {
        self.start = start
        self.eventsPerSecond = UInt64(max(1, eventsPerSecond))
        self.batch = UInt64(max(1, batch))
    }

    /// How many events are due within so many nanoseconds from the start; one request at least.
    func count(within nanoseconds: UInt64) -> UInt64 {
        let product = nanoseconds.multipliedFullWidth(by: eventsPerSecond)
        guard product.high < 1_000_000_000 else { return .max }
        return max(1, UInt64(1_000_000_000).dividingFullWidth(product).quotient / batch) * batch
    }

    /// When request `number`, from 0, is due; without rounding that adds up.
    func due(_ number: UInt64) -> UInt64 {
        let product = (number * batch).multipliedFullWidth(by: 1_000_000_000)
        // The quotient overflows for times beyond 584 years only.
        guard product.high < eventsPerSecond else { return .max }
        return start &+ eventsPerSecond.dividingFullWidth(product).quotient
    }
}
