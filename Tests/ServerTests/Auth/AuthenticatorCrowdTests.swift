// Many at once: everybody is answered, nothing grows beyond its bound, and callers do not wait.

import Base
import Crypto
import Dispatch
import Synchronization
import TestSupport
import Testing

@testable import Server

@Suite(.timeLimit(.minutes(5))) struct AuthenticatorCrowdTests {
    private func name(_ number: Int) -> String { "gla_crowd" + String(repeating: "0", count: 38 - String(number).count) + String(number) }
    private func id(_ number: Int) -> String {
        "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - String(number).count) + String(number)
    }

    /// Verdicts as they come in, from any thread.
    private final class Tally: Sendable {
        let accepted = Atomic<Int>(0)
        let busy = Atomic<Int>(0)
        let others = Locked<[AuthenticationFailure]>([])
        func count(_ verdict: Verdict) {
            switch verdict {
            case .success: accepted.add(1, ordering: .relaxed)
            case .failure(.busy): busy.add(1, ordering: .relaxed)
            case .failure(let failure): others.withLock { $0.append(failure) }
            }
        }
        var all: Int { accepted.load(ordering: .relaxed) + busy.load(ordering: .relaxed) + others.withLock { $0.count } }
    }

    /// The serial queue stands for a shard. That it is not held up is told by what it has done before the first hash is ready, not by the
    /// clock: the one writer of the database keeps its lock until all have been asked about.
    @Test func twoThousandKeysAtOnce() throws {
        let count = 2000
        let database = try GatewayCopy()
        database.execute("BEGIN")
        for number in 0..<count { try database.addKey(name(number), id: id(number)) }
        database.execute("COMMIT")
        let bench = AuthBench(database.path)
        let (authenticator, tally) = (bench.authenticator, Tally())
        let later = Atomic<Int>(0)
        let shards = (0..<2).map { DispatchQueue(label: "shard-\($0)") }

        database.execute("BEGIN EXCLUSIVE")
        let asked = DispatchSemaphore(value: 0)
        for (number, shard) in shards.enumerated() {
            shard.async {
                // Two connections of each key: they share a run.
                for key in stride(from: number, to: count, by: 2) {
                    for _ in 0..<2 {
                        let verdict = authenticator.authenticate(.apiKey(self.name(key))) { tally.count($0) }
                        if let verdict { tally.count(verdict) } else { later.add(1, ordering: .relaxed) }
                    }
                }
                asked.signal()
            }
        }
        for _ in shards { #expect(asked.wait(timeout: .now() + .seconds(hangGuardSeconds)) == .success) }
        #expect(later.load(ordering: .relaxed) == 2 * count, "nobody was answered from memory, and nobody waited for the lock")
        database.execute("COMMIT")

        try waitUntil("all are answered") { tally.all == 2 * count }
        // The lock may have outlasted the time that a read waits for it: who was told so asks again.
        let failed = tally.others.withLock { $0 }
        #expect(failed.allSatisfy { if case .unavailable = $0 { true } else { false } })
        for number in 0..<count { #expect((try? authenticator.verdict(.apiKey(name(number))).get()) != nil) }
        let counters = authenticator.counters
        #expect(counters.bcryptRuns == UInt64(count), "each key once")
        #expect(counters.waiting == 0 && counters.hashQueue == 0 && tally.busy.load(ordering: .relaxed) == 0)
        #expect(counters.rememberedAccepted == count && counters.rememberedRefused == 0)
    }

    @Test func aFullPoolIsBusy() throws {
        let database = try GatewayCopy()
        for number in 0..<40 { try database.addKey(name(number), id: id(number), hash: bcrypt(name(number), cost: "08")) }
        let bench = AuthBench(database.path) { $0.limits.hashQueue = 4 }
        let tally = Tally()
        for number in 0..<40 {
            if let verdict = bench.authenticator.authenticate(.apiKey(name(number)), later: { tally.count($0) }) { tally.count(verdict) }
        }
        try waitUntil("all are answered") { tally.all == 40 }
        let counters = bench.authenticator.counters
        #expect(tally.others.withLock { $0.isEmpty } && counters.busy > 0 && counters.accepted > 0)
        #expect(counters.busy + counters.accepted == 40 && counters.bcryptRuns == counters.accepted)
        for number in 0..<40 { #expect((try? bench.authenticator.verdict(.apiKey(name(number))).get()) != nil, "once there is room") }
    }

    @Test func tooManyWaiting() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path) { $0.limits.waiting = 10 }
        database.execute("BEGIN EXCLUSIVE")
        let tally = Tally()
        for number in 0..<25 {
            if let verdict = bench.authenticator.authenticate(.apiKey(name(number)), later: { tally.count($0) }) { tally.count(verdict) }
        }
        database.execute("COMMIT")
        try waitUntil("all are answered") { tally.all == 25 }
        #expect(tally.busy.load(ordering: .relaxed) >= 15 && bench.authenticator.counters.waiting == 0)
    }

    /// A flood of invented keys neither grows nor drives out who is known.
    @Test func inventedKeys() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path) {
            $0.limits.accepted = 8
            $0.limits.refused = 16
        }
        let principal = try bench.key("active_user").get()
        let tally = Tally()
        for number in 0..<3000 {
            if let verdict = bench.authenticator.authenticate(.apiKey(name(number)), later: { tally.count($0) }) { tally.count(verdict) }
        }
        try waitUntil("all are answered") { tally.all == 3000 }
        #expect(tally.others.withLock { $0.allSatisfy { $0 == .invalid(.unknownKey) } && $0.count == 3000 })
        let counters = bench.authenticator.counters
        #expect(counters.rememberedRefused == 16 && counters.rememberedAccepted == 1)
        #expect(bench.authenticator.authenticate(.apiKey(Keys.all.key("active_user"))) { _ in } == .success(principal), "at once")
        #expect(counters.refused["unknown_key"] == 3000)
    }

    /// Everything at once, for the thread sanitizer: asking, looking again, reloading, writing, counting, and the end.
    @Test func everythingAtOnce() throws {
        let database = try GatewayCopy()
        for number in 0..<20 { try database.addKey(name(number), id: id(number)) }
        let bench = AuthBench(database.path) {
            $0.limits.acceptedMilliseconds = 5
            $0.limits.refusedMilliseconds = 5
        }
        let (authenticator, options, clock) = (bench.authenticator, bench.options, bench.clock)
        let principal = try bench.key("active_user").get()
        let asked = Atomic<Int>(0)
        let answered = Atomic<Int>(0)
        let answer: @Sendable () -> Void = { answered.add(1, ordering: .relaxed) }
        try onThreads(6) { thread in
            for round in 0..<300 {
                asked.add(1, ordering: .relaxed)
                switch (thread, round % 50) {
                case (0, _):
                    clock.advance(.milliseconds(1))
                    if round % 10 == 0 { database.execute("UPDATE api_keys SET usage_count = \(round), active = \(round % 20 == 0 ? 0 : 1) WHERE name = 'test'") }
                    answer()
                case (1, 0):
                    authenticator.apply(options)
                    _ = authenticator.counters
                    answer()
                case (2, _):
                    if !authenticator.recheck([principal, principal], later: { _ in answer() }) { answer() }
                case (3, _):
                    if authenticator.authenticate(.token(Keys.all.token("valid_user")), later: { _ in answer() }) != nil { answer() }
                default:
                    if authenticator.authenticate(.apiKey(self.name(round % 25)), later: { _ in answer() }) != nil { answer() }
                }
            }
        }
        authenticator.stop()
        try waitUntil("all are answered") { answered.load(ordering: .relaxed) == asked.load(ordering: .relaxed) }
        #expect(authenticator.counters.waiting == 0)
    }
}
