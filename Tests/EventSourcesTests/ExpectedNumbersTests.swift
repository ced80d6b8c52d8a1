// The gateway's own numbers for its own data.

import Base
import Protocol
import Testing

@testable import EventSources

@Suite struct ExpectedNumbersTests {
    static let instants = [
        "2026-03-02T14:30:00Z", "2026-03-02T14:30:30Z", "2026-03-02T13:30:00Z", "2026-03-02T14:29:59.999Z", "2026-03-03T16:00:00Z",
    ]

    struct Case {
        let now: String
        let windows: JSON
    }

    /// Read anew for each test: the leak checker does not see what only an indirect enum refers to.
    private func expectedCases() throws -> [Case] {
        let all = try json(Fixture.bytes("gateway-small.expected.json"))
        return try ([all] + (all["more_cases"]?.array ?? [])).map { entry in
            Case(now: try #require(entry["now"]?.string), windows: try #require(entry["windows"]))
        }
    }

    @Test func fiveInstants() throws { #expect(try expectedCases().map(\.now) == ExpectedNumbersTests.instants) }

    @Test(arguments: instants) func everyFieldIsEqual(_ now: String) throws {
        let expected = try #require(try expectedCases().first { $0.now == now })
        let bench = Bench(Fixture.path("gateway-small.db"), clock: try ManualClock(expected.now))
        bench.settle()
        bench.clock.set(try #require(Instant(parsing: expected.now)))
        for window in StatsWindow.allCases { try check(bench, expected, window) }
    }

    @Test func oneSamplerThroughAllInstants() throws {
        // The clock goes forwards and back, by a millisecond as well as by more than rows are kept.
        let cases = try expectedCases()
        let bench = Bench(Fixture.path("gateway-small.db"), clock: try ManualClock(cases[0].now))
        for index in [0, 1, 3, 0, 2, 4, 0] {
            for window in StatsWindow.allCases {
                bench.clock.set(try #require(Instant(parsing: cases[index].now)))
                try check(bench, cases[index], window)
            }
        }
    }

    private func check(_ bench: Bench, _ expected: Case, _ window: StatsWindow) throws {
        let expectation = try #require(expected.windows[window.rawValue])
        let found = try bench.stats(window)
        let place = Comment(rawValue: "\(expected.now) \(window.rawValue)")
        for key in ["total_requests", "total_tokens", "success_rate", "avg_latency_ms", "requests_per_min"] {
            let wanted = try #require(expectation[key]?.double)
            #expect(found[key]?.double == wanted, "\(key) at \(place)")
        }
        #expect(found["time_window"]?.string == window.rawValue, place)
        #expect(found["calculated_at"]?.string == Instant(parsing: expected.now)?.rfc3339, place)

        let rows = try #require(found["provider_stats"]?.array)
        let wanted = try #require(expectation["provider_stats"]?.array)
        #expect(rows.count == wanted.count, place)
        for row in wanted {
            let id = try #require(row["provider_id"]?.string)
            let same = try #require(rows.first { $0["provider_id"]?.string == id }, "\(id) at \(place)")
            #expect(same["provider_name"]?.string == row["provider_name"]?.string)
            #expect(same["available"]?.bool == row["available"]?.bool, "\(id) at \(place)")
            for key in ["requests", "tokens", "success_rate", "avg_latency_ms", "error_count"] {
                let value = try #require(row[key]?.double)
                #expect(same[key]?.double == value, "\(key) of \(id) at \(place)")
            }
        }
        let order = rows.map { (-($0["requests"]?.int ?? 0), $0["provider_id"]?.string ?? "") }
        #expect(order.map(\.1) == order.sorted { $0 < $1 }.map(\.1), "most requests first, ties by id, at \(place)")
    }
}
