// The rate of publishing.

import TestSupport
import Testing

@testable import Server

@Suite struct TokenBucketTests {
    private let second: UInt64 = 1_000_000_000

    @Test func burstThenRate() {
        var bucket = TokenBucket(rate: 10, burst: 5, now: 0)
        #expect(bucket.take(5, at: 0) == nil)
        #expect(bucket.take(1, at: 0) == 1)
        #expect(bucket.take(1, at: second / 10 - 1) == 1)
        #expect(bucket.take(1, at: second / 10) == nil)
        #expect(bucket.take(1, at: second / 10) == 1)
        // Never more than the burst, however long the pause.
        #expect(bucket.take(6, at: 1000 * second) == 1)
        #expect(bucket.take(5, at: 1000 * second) == nil)
    }

    @Test(arguments: [(1, 1), (10, 1), (11, 2), (100, 10)])
    func waitIsInWholeSeconds(count: Int, seconds: Int) {
        var bucket = TokenBucket(rate: 10, burst: 100, now: 0)
        #expect(bucket.take(100, at: 0) == nil)
        #expect(bucket.take(count, at: 0) == seconds)
        // What it says is enough.
        #expect(bucket.take(count, at: UInt64(seconds) * second) == nil)
    }

    @Test func timeThatStandsStillOrGoesBackGivesNothing() {
        var bucket = TokenBucket(rate: 1000, burst: 1, now: 100 * second)
        #expect(bucket.take(1, at: 100 * second) == nil)
        #expect(bucket.take(1, at: 50 * second) != nil)
        #expect(bucket.take(1, at: 100 * second) != nil)
        #expect(bucket.take(1, at: 101 * second) == nil)
    }

    @Test func leastRateAndBurst() {
        var bucket = TokenBucket(rate: 0, burst: 0, now: 0)
        #expect(bucket.take(1, at: 0) == nil)
        #expect(bucket.take(1, at: 0) == 1)
        #expect(bucket.take(1, at: second) == nil)
    }

    /// Over any time no more than the burst and the rate allow, and with steady demand no less.
    @Test(arguments: testSeeds(6))
    func keepsTheRate(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let rate = generator.int(1...5000)
        let burst = generator.int(1...2000)
        var bucket = TokenBucket(rate: rate, burst: burst, now: 0)
        var now: UInt64 = 0
        var taken = 0
        while now < 20 * second {
            now += UInt64(generator.int(0...5_000_000))
            while bucket.take(1, at: now) == nil { taken += 1 }
            let most = Double(burst) + Double(rate) * Double(now) / 1e9
            guard Double(taken) <= most + 0.001, Double(taken) > most - Double(rate) * 0.006 - 2 else {
                if burst < rate / 200 + 2 { break }
                Issue.record("seed \(seed): \(taken) taken of \(most)")
                return
            }
        }
    }
}
