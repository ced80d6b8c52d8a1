// Publishing: each principal's rate is its own.

import Testing

@testable import Server

@Suite struct PublishRatesTests {
    private let second: UInt64 = 1_000_000_000

    @Test func nobodyPaysForOthers() {
        var rates = PublishRates(rate: 10, burst: 20, now: 0)
        #expect(rates.take(20, of: "ann", at: 0) == nil)
        #expect(rates.take(1, of: "ann", at: 0) == 1)
        #expect(rates.take(20, of: "bob", at: 0) == nil)
        #expect(rates.take(20, of: "ann", at: 0) == 2)
        #expect(rates.take(20, of: "ann", at: 2 * second) == nil)
        #expect(rates.take(11, of: "bob", at: second) == 1)
    }

    @Test func aReloadGivesNothingBack() {
        var rates = PublishRates(rate: 10, burst: 20, now: 0)
        #expect(rates.take(20, of: "ann", at: 0) == nil)
        rates.change(rate: 10, burst: 25, at: 0)
        // What the larger burst allows more, and not what was used up.
        #expect(rates.take(5, of: "ann", at: 0) == nil)
        #expect(rates.take(1, of: "ann", at: 0) == 1)
        #expect(rates.take(25, of: "new", at: 0) == nil)
        rates.change(rate: 1000, burst: 5, at: 0)
        #expect(rates.take(6, of: "newer", at: 0) != nil)
        #expect(rates.take(5, of: "newer", at: 0) == nil)
    }

    /// Beyond the limit principals share one bucket, and one with a bucket of its own keeps it as long as it is not full.
    @Test func bounded() {
        var rates = PublishRates(rate: 1, burst: 10, now: 0)
        for number in 0..<PublishRates.principalsMax { #expect(rates.take(10, of: "\(number)", at: 0) == nil) }
        #expect(rates.take(10, of: "late", at: 0) == nil)
        #expect(rates.take(1, of: "later", at: 0) == 1)
        #expect(rates.take(1, of: "7", at: 0) == 1)
        // After their rest all are full, and have made place.
        #expect(rates.take(10, of: "later", at: 10 * second) == nil)
        #expect(rates.take(10, of: "late", at: 10 * second) == nil)
        #expect(rates.take(10, of: "7", at: 10 * second) == nil)
    }

    /// Against one bucket for each as a model: no principal gets more than its rate and burst allow, whatever the others do.
    @Test(arguments: 1...8) func asOneBucketEach(seed: UInt64) {
        var random = seed
        func next(_ below: UInt64) -> UInt64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return random >> 33 % below
        }
        var rates = PublishRates(rate: 50, burst: 100, now: 0)
        var models: [TokenBucket] = (0..<5).map { _ in TokenBucket(rate: 50, burst: 100, now: 0) }
        var now: UInt64 = 0
        for _ in 0..<2000 {
            now += next(second / 20)
            let who = Int(next(5))
            let count = Int(next(40))
            #expect(rates.take(count, of: "\(who)", at: now) == models[who].take(count, at: now))
        }
    }
}
