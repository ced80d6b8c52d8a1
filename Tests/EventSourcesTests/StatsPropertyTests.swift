// The running sums against the plain way to count: every row, every time.

import Base
import Protocol
import TestSupport
import Testing

@testable import EventSources

/// Counts rows by definition.
struct Oracle {
    var rows: [TestRow] = []

    struct Sums {
        var rows: [TestRow] = []
        var requests: Int { rows.count }
        var errors: Int { rows.count { !$0.success } }
        var tokens: Int64 { rows.reduce(0) { $0 + $1.input + $1.output } }
        var successRate: Double { rows.isEmpty ? 0 : Double(rows.count(where: \.success)) / Double(rows.count) }
        var averageLatency: Int64 { rows.isEmpty ? 0 : rows.reduce(0) { $0 + $1.latency } / Int64(rows.count) }
        var cost: Double { rows.reduce(0) { $0 + $1.cost } }
        func percentile(_ percent: Int) -> Int64 {
            let sorted = rows.map(\.latency).sorted()
            return sorted.isEmpty ? 0 : sorted[max(0, (sorted.count * percent + 99) / 100 - 1)]
        }
    }

    func sums(_ window: StatsWindow, at now: Instant) -> Sums {
        let since = now.advanced(byMilliseconds: -window.milliseconds)
        return Sums(rows: rows.filter { $0.at >= since })
    }

    /// Compares a `stats_update` with what it should be.
    func check(_ found: JSON, _ window: StatsWindow, at now: Instant, providers: [String], models: [String], _ place: Comment) {
        let sums = sums(window, at: now)
        #expect(found["total_requests"]?.int == sums.requests, place)
        #expect(found["total_tokens"]?.int.map(Int64.init) == sums.tokens, place)
        #expect(found["success_rate"]?.double == sums.successRate, place)
        #expect(found["avg_latency_ms"]?.int.map(Int64.init) == sums.averageLatency, place)
        #expect(found["requests_per_min"]?.int == sums.requests / Int(window.minutes), place)
        #expect(found["error_count"]?.int == sums.errors, place)
        #expect(found["input_tokens"]?.int.map(Int64.init) == sums.rows.reduce(0) { $0 + $1.input }, place)
        #expect(found["output_tokens"]?.int.map(Int64.init) == sums.rows.reduce(0) { $0 + $1.output }, place)
        #expect(abs((found["estimated_cost"]?.double ?? -1) - sums.cost) < 1e-9, place)
        for percent in [50, 95, 99] {
            let exact = Double(sums.percentile(percent))
            let value = found["latency_p\(percent)_ms"]?.double ?? -1
            #expect(abs(value - exact) <= exact * 0.01, place)
        }
        parts(found["provider_stats"]?.array ?? [], "provider_id", Dictionary(grouping: sums.rows, by: \.provider), providers, place)
        parts(found["model_stats"]?.array ?? [], "model_id", Dictionary(grouping: sums.rows, by: \.model), models, place)
    }

    private func parts(_ found: [JSON], _ key: String, _ groups: [String: [TestRow]], _ known: [String], _ place: Comment) {
        let expected = groups.filter { known.contains($0.key) }
            .sorted { $0.value.count != $1.value.count ? $0.value.count > $1.value.count : $0.key < $1.key }
        #expect(found.map { $0[key]?.string } == expected.map(\.key), place)
        for (row, group) in zip(found, expected) {
            let sums = Sums(rows: group.value)
            #expect(row["requests"]?.int == sums.requests, place)
            #expect(row["tokens"]?.int.map(Int64.init) == sums.tokens, place)
            #expect(row["success_rate"]?.double == sums.successRate, place)
            #expect(row["avg_latency_ms"]?.int.map(Int64.init) == sums.averageLatency, place)
            #expect(row["error_count"]?.int == sums.errors, place)
        }
    }
}

@Suite struct StatsPropertyTests {
    static let providers = (0..<5).map { "bbbbbbbb-0000-4000-8000-00000000000\($0)" }
    static let models = (0..<6).map { "cccccccc-0000-4000-8000-00000000000\($0)" }

    /// The first four providers and five models exist; rows name the others too.
    static func database(_ folder: Folder, at now: Instant) throws -> WritableDatabase {
        let database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
        for id in providers.dropLast() { database.putProvider(id, name: "P\(id.suffix(1))", lastCheck: now, updated: now) }
        for id in models.dropLast() {
            database.execute("INSERT INTO models (id, provider_id, name, modality) VALUES ('\(id)', '\(providers[0])', 'm\(id.suffix(1))', 'chat')")
        }
        return database
    }

    static func row(_ number: Int, at instant: Instant, _ random: inout SeededGenerator) -> TestRow {
        var row = TestRow(id: uuid(number), at: instant)
        row.provider = providers.randomElement(using: &random) ?? ""
        row.model = models.randomElement(using: &random) ?? ""
        row.success = Int.random(in: 0..<10, using: &random) > 0
        row.latency = Bool.random(using: &random) ? .random(in: 0...300, using: &random) : .random(in: 0...60_000, using: &random)
        row.input = .random(in: 0...100_000, using: &random)
        row.output = .random(in: 0...10_000, using: &random)
        row.cost = Double(Int.random(in: 0...1_000_000, using: &random)) * 3.75e-8
        row.offsetMinutes = [0, 0, 0, 60, 120, -300, 330, 840, -720].randomElement(using: &random) ?? 0
        return row
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func anyOrderOfChanges(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let clock = try ManualClock("2026-03-28T23:30:00Z")
        let folder = try Folder()
        let database = try StatsPropertyTests.database(folder, at: clock.now())
        var oracle = Oracle()
        var number = 0
        let bench = Bench(database.path, clock: clock)
        for step in 0..<40 {
            let operation = Int.random(in: 0..<10, using: &random)
            switch operation {
            case 0...4:
                let rows = (0..<Int.random(in: 1...60, using: &random)).map { _ -> TestRow in
                    number += 1
                    // Mostly about now, some anywhere in the last 26 hours, on edges, in the future.
                    let now = clock.now()
                    let at: Instant
                    switch Int.random(in: 0..<6, using: &random) {
                    case 0: at = now.advanced(byMilliseconds: -.random(in: 0...26 * 3_600_000, using: &random))
                    case 1:
                        let window = StatsWindow.allCases.randomElement(using: &random) ?? .oneMinute
                        at = now.advanced(byMilliseconds: -window.milliseconds + .random(in: -2...2, using: &random))
                    case 2: at = now.advanced(byMilliseconds: .random(in: 0...7_200_000, using: &random))
                    default: at = Instant(microseconds: now.microseconds - .random(in: 0...400_000_000, using: &random))
                    }
                    return StatsPropertyTests.row(number, at: at, &random)
                }
                oracle.rows += rows
                database.insert(rows)
            case 5:
                let gone = Set(oracle.rows.filter { _ in Int.random(in: 0..<8, using: &random) == 0 }.map(\.id))
                oracle.rows.removeAll { gone.contains($0.id) }
                database.execute("DELETE FROM request_logs WHERE id IN (\(gone.map { "'\($0)'" }.joined(separator: ",")))")
                bench.run(milliseconds: 61_000)
            case 6:
                clock.set(clock.now().advanced(byMilliseconds: .random(in: -4 * 3_600_000...4 * 3_600_000, using: &random)))
            case 7: database.execute("VACUUM")
            case 8: database.restart()
            default: bench.run(milliseconds: .random(in: 50...130_000, using: &random))
            }
            let bench2 = step % 10 == 9 ? Bench(database.path, clock: clock) : bench
            for window in StatsWindow.allCases.shuffled(using: &random) {
                for _ in 0..<10_000 { if bench2.core.step() != 0 { break } }
                let found = try bench2.stats(window)
                oracle.check(
                    found, window, at: Instant(milliseconds: clock.now().milliseconds), providers: StatsPropertyTests.providers.dropLast(),
                    models: StatsPropertyTests.models.dropLast(), "seed \(seed), step \(step), operation \(operation), \(window.rawValue)")
            }
        }
    }

    @Test func endOfSummerTime() throws {
        // Europe, 25 October 2026: at 01:00 UTC the clocks go from 03:00+02:00 back to 02:00+01:00.
        let change = try #require(Instant(parsing: "2026-10-25T01:00:00Z"))
        let clock = ManualClock(change.advanced(byMilliseconds: -2 * 3_600_000))
        let folder = try Folder()
        let database = try StatsPropertyTests.database(folder, at: clock.now())
        var oracle = Oracle()
        var random = SeededGenerator(seed: 7)
        let bench = Bench(database.path, clock: clock)
        for number in 0..<240 {
            clock.advance(milliseconds: 60_000)
            var row = StatsPropertyTests.row(number, at: clock.now().advanced(byMilliseconds: -137), &random)
            row.offsetMinutes = row.at < change ? 120 : 60
            oracle.rows.append(row)
            database.insert([row])
            for _ in 0..<100 { if bench.core.step() != 0 { break } }
            // The running sampler, and one that reads it all afresh.
            let all = number % 40 == 0 ? [bench, Bench(database.path, clock: clock)] : [bench]
            for one in all {
                for window in StatsWindow.allCases {
                    oracle.check(
                        try one.stats(window), window, at: clock.now(), providers: StatsPropertyTests.providers.dropLast(),
                        models: StatsPropertyTests.models.dropLast(), "minute \(number), \(window.rawValue)")
                }
            }
        }
    }

    @Test func moreRowsThanThereIsRoomFor() throws {
        let clock = try ManualClock("2026-03-02T12:00:00Z")
        let folder = try Folder()
        let database = try StatsPropertyTests.database(folder, at: clock.now())
        var random = SeededGenerator(seed: 3)
        var oracle = Oracle()
        // A row every ten seconds for a day, of which only the last 3000 may be kept: eight hours.
        oracle.rows = (0..<8640).map { StatsPropertyTests.row($0, at: clock.now().advanced(byMilliseconds: -10_000 * Int64(8640 - $0)), &random) }
        database.insert(oracle.rows)
        let bench = Bench(database.path, clock: clock)
        bench.core.stats = RequestStats(horizon: .day, now: clock.now(), rowsMax: 3000)
        for round in 0..<3 {
            bench.settle()
            for window in [StatsWindow.oneMinute, .fiveMinutes, .oneHour] {
                oracle.check(
                    try bench.stats(window), window, at: clock.now(), providers: StatsPropertyTests.providers.dropLast(),
                    models: StatsPropertyTests.models.dropLast(), "round \(round)")
            }
            #expect(bench.core.stats?.isFull == true)
            #expect((bench.core.stats?.store.count ?? 0) <= 3000)
            #expect(bench.core.stats?.sums(.day, at: clock.now()) == nil, "no figure rather than a wrong one")
            let more = (0..<500).map { StatsPropertyTests.row(10_000 + round * 500 + $0, at: clock.now(), &random) }
            oracle.rows += more
            database.insert(more)
        }
    }
}
