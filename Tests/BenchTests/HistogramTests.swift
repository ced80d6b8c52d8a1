import TestSupport
import Testing

@testable import Bench

struct HistogramTests {
    @Test func everyValueIsWithinOnePercent() {
        var value: UInt64 = 1
        while value < 1 << 62 {
            for near in [value - 1, value, value + 1, value + value / 3] {
                let middle = Histogram.middle(of: Histogram.bin(of: near))
                #expect((middle > near ? middle - near : near - middle) <= near / 100, "\(near)")
            }
            value += value / 4 + 1
        }
        #expect(Histogram.bin(of: .max) == Histogram.bins - 1)
    }

    @Test func binsFollowEachOther() {
        var last = -1
        for value in 0..<UInt64(100_000) {
            let bin = Histogram.bin(of: value)
            #expect(bin == last || bin == last + 1)
            last = bin
        }
    }

    /// The nearest rank of the values themselves, within 1 %.
    @Test func percentilesAgreeWithTheValues() {
        var random = SeededGenerator(seed: 7)
        for count in [1, 2, 3, 99, 100, 101, 1000, 5000] {
            var histogram = Histogram()
            let values = (0..<count).map { _ in UInt64.random(in: 0...(1 << UInt64.random(in: 1...40, using: &random)), using: &random) }.sorted()
            for value in values { histogram.add(value) }
            for parts: UInt64 in [1, 50_000, 99_000, 99_900, 100_000] {
                let rank = max(1, (UInt64(count) * parts + 99_999) / 100_000)
                let wanted = values[Int(rank) - 1]
                let found = histogram.percentile(parts)
                #expect((found > wanted ? found - wanted : wanted - found) <= wanted / 100, "\(count) values, \(parts)")
            }
            #expect(histogram.largest == values.last && histogram.total == UInt64(count))
        }
    }

    @Test func emptyAndMerged() {
        var all = Histogram()
        #expect(all.percentile(99_000) == 0 && all.largest == 0)
        var part = Histogram()
        for value in 0..<UInt64(500) { part.add(value * 977) }
        all.add(part)
        #expect(all == part)
        all.add(part)
        #expect(all.total == 1000 && all.percentile(50_000) == part.percentile(50_000))
        let told = part.counts.enumerated().filter { $0.element > 0 }.map { (bin: $0.offset, count: $0.element) }
        #expect(Histogram(bins: told + [(bin: 1 << 20, count: 7), (bin: -1, count: 7)], largest: part.largest) == part)
    }
}
