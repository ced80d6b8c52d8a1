import Testing

@testable import Host

struct DurationTextTests {
    @Test(arguments: [
        ("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("1h30m", 5_400_000), ("1m30s500ms", 90_500), ("0", 0),
        ("0s", 0), ("9223372036854775807ms", Int64.max),
    ])
    func reads(text: String, milliseconds: Int64) {
        #expect(DurationText.parse(text) == .milliseconds(milliseconds))
    }

    @Test(arguments: [
        "", "30", "s", "30 s", " 30s", "30s ", "-30s", "+30s", "1.5h", "30S", "30sec", "30ss", "1d", "٣s", "9223372036854775808ms",
        "9223372036854775807h", "9223372036854775807ms1ms", "m5",
    ])
    func refuses(text: String) {
        #expect(DurationText.parse(text) == nil)
    }

    @Test(arguments: [
        (0, "0s"), (1, "1ms"), (500, "500ms"), (1000, "1s"), (90_000, "90s"), (300_000, "5m"), (3_600_000, "1h"), (5_400_000, "90m"),
        (86_400_000, "24h"),
    ])
    func writes(milliseconds: Int64, text: String) {
        #expect(DurationText.format(.milliseconds(milliseconds)) == text)
        #expect(DurationText.parse(text) == .milliseconds(milliseconds))
    }
}
