// Latencies of a window, counted so that they can be taken out again.

/// Counts of latencies in bins that grow with the value: exact under 256 ms, from there 128 bins per doubling, so that
/// the middle of a bin is within 0.4 % of each value in it. 13 KiB, whatever it holds.
struct LatencyHistogram {
    private static let exact = 256
    private static let binsPerDoubling = 128
    // Values are UInt32: doublings from 2^8 to 2^31.
    private static let bins = exact + 24 * binsPerDoubling

    private var counts = [Int32](repeating: 0, count: bins)
    private(set) var total: Int64 = 0

    mutating func add(_ latency: UInt32) {
        counts[LatencyHistogram.bin(of: latency)] &+= 1
        total += 1
    }

    /// Takes out a latency that was added before.
    mutating func subtract(_ latency: UInt32) {
        counts[LatencyHistogram.bin(of: latency)] &-= 1
        total -= 1
    }

    /// The nearest rank (the smallest value that at least so many percent do not exceed), within 1 %; 0 when empty.
    func percentiles(_ percents: [Int64]) -> [Int64] {
        var results: [Int64] = []
        var bin = 0
        var below: Int64 = 0
        for percent in percents.sorted() {
            let rank = max(1, (total * percent + 99) / 100)
            while bin < counts.count, below + Int64(counts[bin]) < rank {
                below += Int64(counts[bin])
                bin += 1
            }
            results.append(total == 0 || bin == counts.count ? 0 : LatencyHistogram.middle(of: bin))
        }
        return results
    }

    static func bin(of latency: UInt32) -> Int {
        if latency < exact { return Int(latency) }
        let doubling = 31 - latency.leadingZeroBitCount
        let place = Int(latency >> UInt32(doubling - 7)) & (binsPerDoubling - 1)
        return exact + (doubling - 8) * binsPerDoubling + place
    }

    static func middle(of bin: Int) -> Int64 {
        if bin < exact { return Int64(bin) }
        let doubling = 8 + (bin - exact) / binsPerDoubling
        let width = Int64(1) << Int64(doubling - 7)
        return (Int64(1) << Int64(doubling)) + Int64((bin - exact) % binsPerDoubling) * width + (width - 1) / 2
    }
}
