// Times in bins that grow with the value.

/// Counts of times in nanoseconds: exact under 128 ns, from there 64 bins per doubling, so that the middle of a bin is within 0.8 % of each
/// value in it. 29 KiB, whatever it holds. Owner: one thread.
struct Histogram: Equatable {
    private static let exact = 128
    private static let binsPerDoubling = 64
    private static let firstDoubling = 7
    static let bins = exact + (64 - firstDoubling) * binsPerDoubling

    private(set) var counts = [UInt64](repeating: 0, count: bins)
    private(set) var total: UInt64 = 0
    /// The largest value, exactly.
    private(set) var largest: UInt64 = 0

    mutating func add(_ value: UInt64) {
        counts[Histogram.bin(of: value)] += 1
        total += 1
        if value > largest { largest = value }
    }

    mutating func add(_ other: Histogram) {
        for bin in counts.indices { counts[bin] += other.counts[bin] }
        total += other.total
        largest = max(largest, other.largest)
    }

    init() {}

    /// - Parameter counts: `Histogram.bins` of them.
    init(counts: [UInt64], largest: UInt64) {
        precondition(counts.count == Histogram.bins)
        self.counts = counts
        self.largest = largest
        total = counts.reduce(0, +)
    }

    /// Takes over bins that were counted elsewhere. Numbers of bins that do not exist are ignored.
    init(bins: some Sequence<(bin: Int, count: UInt64)>, largest: UInt64) {
        for (bin, count) in bins where counts.indices.contains(bin) {
            counts[bin] += count
            total += count
        }
        self.largest = largest
    }

    /// The nearest rank: the smallest value that at least so many parts of 100,000 do not exceed, within 1 %; 0 when empty.
    func percentile(_ parts: UInt64) -> UInt64 {
        guard total > 0 else { return 0 }
        let rank = max(1, (total * parts + 99_999) / 100_000)
        var below: UInt64 = 0
        for bin in counts.indices where counts[bin] > 0 {
            below += counts[bin]
            if below >= rank { return min(Histogram.middle(of: bin), largest) }
        }
        return largest
    }

    static func bin(of value: UInt64) -> Int {
        if value < exact { return Int(truncatingIfNeeded: value) }
        let doubling = 63 - value.leadingZeroBitCount
        let place = Int(truncatingIfNeeded: value >> UInt64(doubling - 6)) & (binsPerDoubling - 1)
        return exact + (doubling - firstDoubling) * binsPerDoubling + place
    }

    static func middle(of bin: Int) -> UInt64 {
        if bin < exact { return UInt64(bin) }
        let doubling = UInt64(firstDoubling + (bin - exact) / binsPerDoubling)
        let width = UInt64(1) << (doubling - 6)
        return (UInt64(1) << doubling) + UInt64((bin - exact) % binsPerDoubling) * width + (width - 1) / 2
    }
}
