// Instants and their texts.

import TestSupport
import Testing

@testable import Base

@Suite struct InstantTests {
    static let texts: [(Int64, String)] = [
        (0, "1970-01-01T00:00:00.000Z"), (999, "1970-01-01T00:00:00.000Z"), (1000, "1970-01-01T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"), (-1000, "1969-12-31T23:59:59.999Z"), (-1001, "1969-12-31T23:59:59.998Z"),
        (1_770_287_400_123_456, "2026-02-05T10:30:00.123Z"), (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000_000, "2000-03-01T00:00:00.000Z"), (4_107_542_399_999_999, "2100-02-28T23:59:59.999Z"),
        (4_107_542_400_000_000, "2100-03-01T00:00:00.000Z"), (-62_167_219_200_000_000, "0000-01-01T00:00:00.000Z"),
        (-62_162_121_600_000_000, "0000-02-29T00:00:00.000Z"), (253_402_300_799_999_999, "9999-12-31T23:59:59.999Z"),
        // Beyond four digits of a year: the nearest that can be written.
        (253_402_300_800_000_000, "9999-12-31T23:59:59.999Z"), (-62_167_219_200_000_001, "0000-01-01T00:00:00.000Z"),
        (.max, "9999-12-31T23:59:59.999Z"), (.min, "0000-01-01T00:00:00.000Z"),
    ]

    @Test(arguments: texts)
    func written(microseconds: Int64, text: String) {
        let instant = Instant(microseconds: microseconds)
        #expect(instant.rfc3339 == text)
        var bytes = [UInt8](repeating: 0xEE, count: 26)
        #expect(bytes.withUnsafeMutableBytes { instant.write(rfc3339: $0) } == 24)
        #expect(String(decoding: bytes.prefix(24), as: UTF8.self) == text)
        #expect(bytes.suffix(2) == [0xEE, 0xEE])
    }

    static let parsed: [(String, Int64)] = [
        ("1970-01-01T00:00:00Z", 0), ("1970-01-01 00:00:00", 0), ("1970-01-01t00:00:00z", 0), ("1970-01-01 00:00:00+00:00", 0),
        ("1970-01-01T00:00:00-00:00", 0), ("1970-01-01T01:00:00+01:00", 0), ("1969-12-31T18:30:00-05:30", 0),
        ("1970-01-02T00:00:00+23:59", 60_000_000), ("1970-01-01T00:00:00.1Z", 100_000), ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.0000019Z", 1), ("1970-01-01T00:00:00.99999999999999999999Z", 999_999),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("2026-03-02 14:29:45.33500902+00:00", 1_772_461_785_335_009), ("2026-02-05T10:30:00.123456Z", 1_770_287_400_123_456),
        ("2000-02-29T00:00:00Z", 951_782_400_000_000), ("2024-02-29T12:00:00Z", 1_709_208_000_000_000),
        // A leap second is the first of the next minute.
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000), ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999), ("0000-01-01T00:00:00+23:59", -62_167_305_540_000_000),
    ]

    @Test(arguments: parsed)
    func read(text: String, microseconds: Int64) { #expect(Instant(parsing: text)?.microseconds == microseconds) }

    static let refused = [
        "", "2026", "2026-02-05", "2026-02-05T", "2026-02-05T10:30", "2026-02-05T10:30:0", "2026-02-05T10:30:00.",
        "2026-02-05T10:30:00.Z",
        "2026-02-05T10:30:00,5Z", "2026-2-05T10:30:00Z", "26-02-05T10:30:00Z", "02026-02-05T10:30:00Z", "-026-02-05T10:30:00Z",
        "2026/02/05 10:30:00",
        "2026-02-05_10:30:00", "2026-02-05  10:30:00", " 2026-02-05T10:30:00Z", "2026-02-05T10:30:00Z ", "2026-02-05T10:30:00ZZ",
        "2026-02-05T10:30:00 Z", "2026-00-05T10:30:00Z", "2026-13-05T10:30:00Z", "2026-02-00T10:30:00Z", "2026-02-29T10:30:00Z",
        "1900-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-12-32T00:00:00Z", "2026-02-05T24:00:00Z",
        "2026-02-05T10:60:00Z", "2026-02-05T10:30:61Z", "2026-02-05T10:30:00+24:00", "2026-02-05T10:30:00+01:60",
        "2026-02-05T10:30:00+1:00",
        "2026-02-05T10:30:00+0100", "2026-02-05T10:30:00+01", "2026-02-05T10:30:00+01:00Z", "2026-02-05T10:30:00\u{0}",
        "٢٠٢٦-02-05T10:30:00Z",
        "2026-02-05 10:30:00 +0000 UTC", "now",
    ]

    @Test(arguments: refused)
    func refuses(text: String) { #expect(Instant(parsing: text) == nil) }

    /// What is written is read back, to the millisecond; and what was read is written again.
    @Test(arguments: testSeeds(4))
    func roundTrip(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let instant = Instant(
                microseconds: Int64.random(in: -62_167_219_200_000_000...253_402_300_799_999_999, using: &generator))
            let text = instant.rfc3339
            let back = Instant(parsing: text)
            guard let back, back.milliseconds == instant.milliseconds, back.microseconds % 1000 == 0, back.rfc3339 == text,
                back <= instant
            else {
                Issue.record("seed \(seed): \(instant.microseconds) is \(text), which is \(String(describing: back))")
                return
            }
        }
    }

    /// Day by day through four centuries: the calendar has no hole and no double.
    @Test func calendar() {
        var expected = (year: Int64(1970), month: Int64(1), day: Int64(1))
        for days in Int64(0)..<146_097 {
            let date = Instant.civil(fromDays: days)
            guard date == expected, Instant.days(year: date.year, month: date.month, day: date.day) == days else {
                Issue.record("day \(days) is \(date)")
                return
            }
            let isLeap = expected.year % 4 == 0 && (expected.year % 100 != 0 || expected.year % 400 == 0)
            let length: Int64 = expected.month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(expected.month) ? 30 : 31
            expected.day += 1
            if expected.day > length { (expected.month, expected.day) = (expected.month + 1, 1) }
            if expected.month > 12 { (expected.year, expected.month) = (expected.year + 1, 1) }
        }
        #expect(expected == (2370, 1, 1))
    }

    @Test(arguments: [
        (Int64(0), Int64(5), Int64(5000)), (10, -1, -990), (.max, 1, .max), (.min, -1, .min), (.max, -1, .max - 1000),
        (0, .max, .max),
        (0, .min, .min), (-5, .max, .max), (5, .min, .min),
    ])
    func advancing(microseconds: Int64, milliseconds: Int64, wanted: Int64) {
        #expect(Instant(microseconds: microseconds).advanced(byMilliseconds: milliseconds).microseconds == wanted)
    }

    @Test func order() {
        #expect(Instant(milliseconds: 1) < Instant(milliseconds: 2))
        #expect(Instant(milliseconds: -1) < Instant(microseconds: 0))
        #expect(Instant(microseconds: -1).milliseconds == -1)
        #expect(Instant(microseconds: 1).milliseconds == 0)
    }
}
