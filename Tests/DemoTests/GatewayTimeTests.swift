import Base
import Testing

@testable import Demo

struct GatewayTimeTests {
    @Test(arguments: [
        (1_772_461_785_335_009_020, 0, "2026-03-02 14:29:45.33500902+00:00"),
        (1_772_461_785_000_000_000, 0, "2026-03-02 14:29:45+00:00"),
        (1_772_461_785_500_000_000, 0, "2026-03-02 14:29:45.5+00:00"),
        (1_772_461_785_000_000_001, 0, "2026-03-02 14:29:45.000000001+00:00"),
        (1_772_461_785_335_009_020, 330, "2026-03-02 19:59:45.33500902+05:30"),
        (1_772_461_785_335_009_020, -210, "2026-03-02 10:59:45.33500902-03:30"),
        (1_772_461_785_335_009_020, 720, "2026-03-03 02:29:45.33500902+12:00"),
        (0, 0, "1970-01-01 00:00:00+00:00"),
        (-1, 0, "1969-12-31 23:59:59.999999999+00:00"),
    ])
    func text(nanoseconds: Int64, offset: Int, text: String) throws {
        #expect(GatewayTime(nanoseconds: nanoseconds).text(offsetMinutes: offset) == text)
        let read = try #require(Instant(parsing: text))
        #expect(read == GatewayTime(nanoseconds: nanoseconds).instant)
    }
}

struct SeededRandomTests {
    @Test func sameSeedSameNumbers() {
        var (a, b, c) = (SeededRandom(seed: 7), SeededRandom(seed: 7), SeededRandom(seed: 8))
        let first = (0..<100).map { _ in a.next() }
        #expect(first == (0..<100).map { _ in b.next() })
        #expect(first != (0..<100).map { _ in c.next() })
    }

    @Test func uuids() {
        var random = SeededRandom(seed: 1)
        var seen: Set<String> = []
        for _ in 0..<1000 {
            let uuid = random.uuid()
            #expect(seen.insert(uuid).inserted)
            let parts = uuid.split(separator: "-").map(\.count)
            #expect(parts == [8, 4, 4, 4, 12] && uuid == uuid.lowercased())
            let digits = Array(uuid)
            #expect(digits[14] == "4" && "89ab".contains(digits[19]))
        }
    }

    @Test func distributions() {
        var random = SeededRandom(seed: 2)
        let waits = (0..<20_000).map { _ in random.exponential(rate: 20) }
        #expect(abs(waits.reduce(0, +) / 20_000 - 0.05) < 0.002)
        let latencies = (0..<20_001).map { _ in random.logNormal(median: 400, sigma: 0.55) }.sorted()
        #expect(abs(latencies[10_000] - 400) < 15)
        var counts = [0, 0, 0]
        for _ in 0..<10_000 { counts[random.index(weights: [1, 0, 3])] += 1 }
        #expect(counts[1] == 0 && abs(counts[0] - 2500) < 200)
    }
}
