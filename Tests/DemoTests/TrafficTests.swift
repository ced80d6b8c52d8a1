import Base
import Protocol
import Testing

@testable import Demo

private let start = Instant(milliseconds: 1_772_461_800_000)

/// The story of some seconds, in steps of 50 ms.
private func story(rate: Int = 20, seed: UInt64 = 1, seconds: Int64) -> TrafficStep {
    var traffic = Traffic(rate: rate, seed: seed, start: start)
    var all = TrafficStep()
    for tick in 1...(seconds * 20) {
        let step = traffic.advance(to: start.advanced(byMilliseconds: tick * 50))
        all.requests += step.requests
        all.providers += step.providers
        all.log += step.log
    }
    return all
}

struct TrafficTests {
    @Test func sameSeedSameStory() {
        let (a, b) = (story(seconds: 60), story(seconds: 60))
        #expect(a.requests == b.requests && a.providers == b.providers && a.log == b.log)
        #expect(story(seed: 2, seconds: 60).requests != a.requests)
    }

    /// How time is cut into steps does not matter.
    @Test func stepsDoNotMatter() {
        var traffic = Traffic(rate: 20, seed: 1, start: start)
        var requests: [RequestRow] = []
        for second in 1...6 { requests += traffic.advance(to: start.advanced(byMilliseconds: Int64(second) * 10_000)).requests }
        #expect(requests == story(seconds: 60).requests)
    }

    @Test(arguments: [1, 20, 200])
    func rate(rate: Int) {
        let count = Double(story(rate: rate, seconds: 300).requests.count)
        // Heaps of documents come on top: up to a tenth.
        #expect(count > 300 * Double(rate) * 0.85 - 20 && count < 300 * Double(rate) * 1.25 + 20)
    }

    @Test func rateZeroIsSilent() {
        let all = story(rate: 0, seconds: 120)
        #expect(all.requests.isEmpty && !all.providers.isEmpty)
    }

    @Test(arguments: Array(UInt64(1)...20))
    func healthChangesWithinTwentySeconds(seed: UInt64) {
        let states = story(seed: seed, seconds: 20).providers
        #expect(states.contains { $0.healthScore <= 0.5 })
        #expect(states.count >= 19)
        for state in states { #expect(state.latencyMilliseconds > 0 && state.lastCheck >= GatewayTime(start)) }
    }

    @Test func outagesEndAndComeAgain() {
        let all = story(seconds: 600)
        let outages = all.log.filter { $0.message.hasPrefix("Provider is not answering") }
        let recoveries = all.log.filter { $0.message == "Provider answers again" }
        #expect(outages.count >= 7 && abs(outages.count - recoveries.count) <= 1)
        for (outage, recovery) in zip(outages, recoveries) {
            #expect(outage.providerID == recovery.providerID && outage.timestamp < recovery.timestamp)
        }
        #expect(all.providers.contains { $0.status == "down" })
        // Each recovers to full health.
        let last = Dictionary(all.providers.map { ($0.id, $0.healthScore) }) { $1 }
        #expect(last.values.filter { $0 == 1 }.count >= 8)
        #expect(!all.providers.contains { Catalog.providers[$0.index].name == "NagaAI" })
    }

    @Test func failuresHaveMessages() {
        var traffic = Traffic(rate: 20, seed: 3, start: start)
        let rows = traffic.history()
        let failures = rows.filter { !$0.isSuccess }
        let share = Double(failures.count) / Double(rows.count)
        #expect(share > 0.02 && share < 0.04)
        #expect(Set(failures.map(\.status)).count >= 4)
        #expect(failures.filter { $0.errorMessage.isEmpty }.count * 10 < failures.count)
        #expect(rows.filter { $0.isSuccess && !$0.errorMessage.isEmpty }.isEmpty)
    }

    @Test func historyLiesInTheDayBefore() {
        var traffic = Traffic(rate: 20, seed: 1, start: start)
        let rows = traffic.history()
        #expect(rows.count > 4000 && rows.count < 8000)
        for row in rows {
            #expect(row.timestamp < GatewayTime(start) && row.timestamp > GatewayTime(start.advanced(byMilliseconds: -86_402_000)))
        }
        #expect(rows.contains { $0.timestamp < GatewayTime(start.advanced(byMilliseconds: -80_000_000)) })
        #expect(rows.filter { $0.timestamp > GatewayTime(start.advanced(byMilliseconds: -60_000)) }.count > 600)
    }

    @Test func rowsThatAreOlderThanTheOneBefore() {
        let rows = story(seconds: 60).requests
        #expect(zip(rows, rows.dropFirst()).contains { $1.timestamp < $0.timestamp })
        #expect(zip(rows, rows.dropFirst()).allSatisfy { $0.createdAt.nanoseconds <= $1.createdAt.nanoseconds + 2_000_000 })
    }

    @Test func heapsOfDocuments() {
        var traffic = Traffic(rate: 20, seed: 1, start: start)
        var most = 0
        for tick in 1...Int64(90 * 20) {
            most = max(most, traffic.advance(to: start.advanced(byMilliseconds: tick * 50)).requests.count)
        }
        #expect(most >= 100 && most < 120)
    }

    @Test(arguments: [3_600_000, -3_600_000, Int64(60_000)])
    func clockThatJumps(jump: Int64) {
        var traffic = Traffic(rate: 20, seed: 1, start: start)
        _ = traffic.advance(to: start.advanced(byMilliseconds: 1000))
        let after = start.advanced(byMilliseconds: 1000 + jump)
        #expect(traffic.advance(to: after).requests.count < 5)
        let next = traffic.advance(to: after.advanced(byMilliseconds: 5000)).requests.count
        #expect(next > 50 && next < 200)
    }

    @Test func logLinesAreJSON() throws {
        let all = story(seconds: 60)
        #expect(all.log.count >= all.requests.count - 200)
        #expect(Set(all.log.map(\.level)) == ["debug", "info", "warn", "error"])
        for line in all.log {
            let data = try JSON(parsing: line.data)
            #expect(data["level"]?.string == line.level && data["message"]?.string == line.message)
            #expect(data["component"]?.string == line.component)
            #expect(data["provider_id"]?.string == line.providerID && data["request_id"]?.string == line.requestID)
            #expect(data["fields"]?.object != nil)
            #expect(data["timestamp"]?.string == line.timestamp.rfc3339)
        }
    }
}
