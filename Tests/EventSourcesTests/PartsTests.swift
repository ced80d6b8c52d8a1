// The sampler's small parts, each against a plain model of itself.

import Base
import TestSupport
import Testing

@testable import EventSources

@Suite struct TimestampTests {
    private func read(_ text: String) -> GatewayTimestamp? {
        var reader = TimestampReader()
        return Array(text.utf8).withUnsafeBytes { reader.read($0) }
    }

    @Test(arguments: [
        "2026-03-02 14:29:45.33500902+00:00", "2026-03-02 14:29:45+00:00", "2026-03-02 14:29:45.1-05:00", "2026-03-02 00:10:00+05:30",
        "2024-02-29 23:59:59.999999999-12:00", "2026-03-02T14:29:45Z", "2026-03-02T14:29:45.5", "0001-01-01 00:00:00+00:00",
        "9999-12-31 23:59:59.999999+14:00", "1969-12-31 23:59:59.25+00:00",
    ])
    func sameInstantAsTheGeneralReader(_ text: String) throws {
        let timestamp = try #require(read(text))
        #expect(timestamp.instant == Instant(parsing: text))
        // The text's own minute: it sorts at or before the text, and the next one after.
        let blank = text.replacing("T", with: " ")
        #expect(GatewayTimestamp.minuteText(timestamp.textMinute) <= blank)
        #expect(GatewayTimestamp.minuteText(timestamp.textMinute + 1) > blank || text.hasPrefix("9999-12-31 23:59"))
    }

    @Test(arguments: [
        "2026-03-02 14:29:60+00:00", "2026-03-02 14:29:45.+00:00", "2026-03-02 14:29:45+0000", "2026-03-02 14:29:45+24:00", "2026-03-02 14:29",
        "2026-03-02 14:29:45 +00:00", "2026-03-02 14:29:4", "2026-03-02 14:29:45+00:00x", "2026-03-02 14:29:45z",
    ])
    func onlyTheMinuteMakesSense(_ text: String) throws {
        let timestamp = try #require(read(text))
        #expect(timestamp.instant == nil)
        #expect(GatewayTimestamp.minuteText(timestamp.textMinute) == "2026-03-02 14:29")
    }

    @Test(arguments: ["", "2026-03-02", "2026-02-30 10:00:00+00:00", "2026-03-02 24:00:00", "2026-03-02x14:29:45", "1772461785", "2026-3-2 1:2:3+00:00"])
    func nothingMakesSense(_ text: String) { #expect(read(text) == nil) }

    @Test func theDateIsRememberedRightly() {
        var reader = TimestampReader()
        for text in ["2026-03-02 10:00:00+00:00", "2026-03-03 10:00:00+00:00", "bad date! 10:00:00", "2026-03-03 11:00:00+00:00", "2026-03-02 10:00:00+00:00"] {
            let timestamp = Array(text.utf8).withUnsafeBytes { reader.read($0) }
            #expect(timestamp?.instant == Instant(parsing: text))
        }
    }
}

@Suite struct LatencyHistogramTests {
    @Test func everyBinIsNarrowEnough() {
        for value in Array(0...70_000 as ClosedRange<UInt32>) + [1 << 20, (1 << 20) + 1, .max - 1, .max] {
            let middle = LatencyHistogram.middle(of: LatencyHistogram.bin(of: value))
            #expect(abs(Double(middle) - Double(value)) <= Double(value) * 0.004)
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func nearestRank(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var histogram = LatencyHistogram()
        var values: [UInt32] = []
        for _ in 0..<2000 {
            if Int.random(in: 0..<3, using: &random) == 0, let index = values.indices.randomElement(using: &random) {
                histogram.subtract(values.remove(at: index))
            } else {
                let value = UInt32.random(in: 0...(1 << UInt32.random(in: 1...20, using: &random)), using: &random)
                histogram.add(value)
                values.append(value)
            }
            let sorted = values.sorted()
            let found = histogram.percentiles([50, 95, 99])
            for (percent, value) in zip([50, 95, 99], found) {
                let exact = sorted.isEmpty ? 0 : Double(sorted[max(0, (sorted.count * percent + 99) / 100 - 1)])
                #expect(abs(Double(value) - exact) <= exact * 0.01, "seed \(seed)")
            }
        }
    }

    @Test func empty() { #expect(LatencyHistogram().percentiles([50, 95, 99]) == [0, 0, 0]) }
}

@Suite struct PairTableTests {
    private func retain(_ table: inout PairTable, _ provider: String, _ model: String) -> UInt16 {
        Array(provider.utf8).withUnsafeBytes { p in Array(model.utf8).withUnsafeBytes { m in table.retain(provider: p, model: m) } }
    }

    @Test func indicesAreKeptAndGivenBack() {
        var table = PairTable()
        let first = retain(&table, "p", "m")
        #expect(retain(&table, "p", "m") == first)
        let second = retain(&table, "p", "")
        #expect(second != first)
        #expect(table.pairs[Int(first)]?.provider == "p" && table.pairs[Int(first)]?.model == "m")
        table.release(Int(first))
        #expect(table.pairs[Int(first)] != nil)
        table.release(Int(first))
        #expect(table.pairs[Int(first)] == nil)
        #expect(retain(&table, "q", "m") == first, "a free index is used again")
        #expect(retain(&table, "p", "") == second)
    }

    @Test func tooMany() {
        var table = PairTable()
        for number in 1..<PairTable.pairsMax { #expect(retain(&table, "p", "\(number)") == UInt16(number)) }
        let surplus = retain(&table, "p", "surplus")
        #expect(surplus == PairTable.overflow)
        table.release(Int(surplus))
        table.release(5)
        #expect(retain(&table, "p", "surplus") == 5)
    }
}

@Suite struct SeenRowsTests {
    @Test func theLastOnesAreKept() {
        var seen = SeenRows()
        let id = { (number: Int) in RowID(high: 1, low: UInt64(number)) }
        let at = { (number: Int) in Instant(milliseconds: Int64(number)) }
        for number in (900..<1000).reversed() { seen.prepend(id(number), at(number)) }
        seen.isComplete = true
        for number in 1000..<30_000 {
            seen.append(id(number), at(number))
            seen.append(id(number), at(number))
            let first = max(900, number + 1 - SeenRows.rowsMax)
            #expect(seen.count == number + 1 - first)
            #expect(seen.contains(id(first)) && seen.contains(id(number)) && !seen.contains(id(first - 1)))
            #expect(seen.isComplete == (first == 900))
            if number % 1000 == 0 { #expect(seen.earliest == at(first)) }
        }
        seen.prepend(id(1), at(1))
        #expect(!seen.contains(id(1)), "there is no room for older ones")
    }
}

@Suite struct RowIDTests {
    private func id(_ text: String) -> RowID { Array(text.utf8).withUnsafeBytes { RowID($0) } }

    @Test func idsAreTheirOwnValues() {
        #expect(id("0bafae88-5a78-4206-9697-8aed0ce3c6c4") == RowID(high: 0x0baf_ae88_5a78_4206, low: 0x9697_8aed_0ce3_c6c4))
        #expect(id(RowText.nilUUID).isNil)
        let others = ["", "0BAFAE88-5A78-4206-9697-8AED0CE3C6C4", "0bafae88-5a78-4206-9697-8aed0ce3c6c", "0bafae88x5a78-4206-9697-8aed0ce3c6c4", "7"]
        #expect(Set(others.map(id)).count == others.count)
        #expect(id("7") == id("7") && !id("").isNil)
    }
}
