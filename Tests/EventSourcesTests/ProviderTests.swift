import Base
import Protocol
import Testing

@testable import EventSources

@Suite struct ProviderTests {
    static let now = Instant(microseconds: 1_772_461_800_000_000)

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        var status = "active"
        var score = 1.0
        var ageMilliseconds: Int64? = 1000
        let expected: String
        let message: String
        var testDescription: String { name }
    }

    @Test(arguments: [
        Case(name: "fresh", expected: "healthy", message: ""),
        Case(name: "checked in the future", ageMilliseconds: -5000, expected: "healthy", message: ""),
        Case(name: "score 0.8", score: 0.8, expected: "healthy", message: ""),
        Case(name: "score below 0.8", score: 0.79, expected: "degraded", message: "health score 0.79 is under 0.8"),
        Case(name: "score above 0.5", score: 0.51, expected: "degraded", message: "health score 0.51 is under 0.8"),
        Case(name: "score 0.5", score: 0.5, expected: "unhealthy", message: "health score 0.5 is not above 0.5"),
        Case(name: "10 minutes less 1 ms", ageMilliseconds: 599_999, expected: "healthy", message: ""),
        Case(
            name: "10 minutes sharp", ageMilliseconds: 600_000, expected: "unhealthy",
            message: "last health check 2026-03-02T14:20:00.000Z is 10 minutes ago or more"),
        Case(name: "never checked", ageMilliseconds: nil, expected: "unhealthy", message: "health never checked"),
        Case(name: "maintenance", status: "maintenance", expected: "unhealthy", message: "status is maintenance"),
        Case(
            name: "all at once", status: "down", score: 0.2, ageMilliseconds: nil, expected: "unhealthy",
            message: "status is down; health score 0.2 is not above 0.5; health never checked"),
    ])
    func verdict(_ test: Case) {
        let provider = Provider(
            id: "p", name: "P", status: test.status, healthScore: test.score, latencyMilliseconds: 5,
            lastCheck: test.ageMilliseconds.map { ProviderTests.now.advanced(byMilliseconds: -$0) }, updated: nil)
        let verdict = provider.verdict(at: ProviderTests.now)
        #expect(verdict.status == test.expected)
        #expect(verdict.isAvailable == (test.expected != "unhealthy"))
        #expect(verdict.message == test.message)
    }

    @Test func changesAreToldOnceAndAtTheRightMoment() throws {
        let clock = ManualClock(ProviderTests.now)
        let folder = try Folder()
        let database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
        let checked = clock.now().advanced(byMilliseconds: -30_000)
        database.putProvider("p1", name: "One", score: 0.9, lastCheck: checked, latency: 120, updated: checked)
        database.putProvider("p2", name: "Two", status: "down", lastCheck: checked, updated: checked)
        database.insert((0..<4).map { TestRow(id: uuid($0), provider: "p1", success: $0 != 0, at: clock.now()) })
        let bench = Bench(database.path, clock: clock)
        bench.settle()
        #expect(bench.sink.events.isEmpty, "the first look is no change")
        let first = try #require(bench.sink.states.last)
        #expect(first.map(\.id) == ["p1", "p2"])
        #expect(
            String(decoding: first[0].data, as: UTF8.self) == """
                {"provider_id":"p1","provider_name":"One","status":"healthy","available":true,"latency_ms":120,"success_rate":0.75,"message":""}
                """)
        #expect(try json(first[1].data)["success_rate"]?.double == 1, "health_score where there were no requests")

        // Rewritten without a change, and the tables made anew: nothing to tell.
        database.putProvider("p1", name: "One", score: 0.9, lastCheck: clock.now(), latency: 120, updated: clock.now())
        database.restart()
        bench.run(milliseconds: 1000)
        #expect(bench.sink.events.isEmpty)

        let changed = clock.now().advanced(byMilliseconds: -7)
        database.putProvider("p1", name: "One", score: 0.9, lastCheck: checked, latency: 300, updated: changed)
        bench.run(milliseconds: 300)
        #expect(bench.sink.providerEvents.count == 1)
        #expect(bench.sink.providerEvents.last?.timestamp == changed)
        #expect(try json(try #require(bench.sink.providerEvents.last?.data))["latency_ms"]?.int == 300)

        // Nobody checks any more: ten minutes after the last check, to the poll.
        bench.sink.forget()
        let expiry = checked.advanced(byMilliseconds: 600_000)
        while clock.now() < expiry {
            #expect(bench.sink.providerEvents.isEmpty)
            bench.run(milliseconds: 50)
        }
        bench.run(milliseconds: 100)
        #expect(try bench.sink.providerEvents.map { try json($0.data)["provider_id"]?.string } == ["p1", "p2"])
        #expect(try bench.sink.providerEvents.allSatisfy { try $0.timestamp == expiry && json($0.data)["available"] == .bool(false) })
        #expect(try json(bench.sink.providerEvents[0].data)["status"]?.string == "unhealthy")
        bench.sink.forget()
        bench.run(milliseconds: 5000)
        #expect(bench.sink.events.isEmpty)

        // Gone, and a new one.
        database.execute("DELETE FROM providers WHERE id = 'p2'")
        database.putProvider("p3", name: "Three", lastCheck: clock.now(), updated: clock.now())
        bench.run(milliseconds: 500)
        #expect(try bench.sink.providerEvents.compactMap { try json($0.data)["provider_id"]?.string }.sorted() == ["p2", "p3"])
        #expect(bench.sink.states.last?.map(\.id) == ["p1", "p3"])
    }

    @Test func statesFollowTheSuccessRate() throws {
        let clock = ManualClock(ProviderTests.now)
        let folder = try Folder()
        let database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
        database.putProvider("p1", name: "One", lastCheck: clock.now(), updated: clock.now())
        let bench = Bench(database.path, enabled: EnabledSources(stats: false, requests: false), clock: clock)
        bench.settle()
        database.insert((0..<4).map { TestRow(id: uuid($0), provider: "p1", success: $0 == 0, at: clock.now()) })
        bench.run(milliseconds: 6000)
        #expect(bench.sink.events.isEmpty, "a success rate alone is no event")
        #expect(try json(try #require(bench.sink.states.last?.first?.data))["success_rate"]?.double == 0.25)
    }
}
