import Protocol
import TestSupport
import Testing

@testable import GoLeapAIWSClient

private let second: UInt64 = 1_000_000_000

private func waiting(_ step: Reconnect.Step) -> UInt64? { if case .wait(let nanoseconds, _) = step { nanoseconds } else { nil } }

struct BackoffTests {
    @Test(arguments: [(0, 500), (1, 1000), (2, 2000), (3, 4000), (4, 8000), (5, 16_000), (6, 20_000), (7, 20_000), (1_000_000, 20_000)] as [(Int, UInt64)])
    func ceilings(failures: Int, milliseconds: UInt64) {
        #expect(Backoff.ceiling(after: failures) == milliseconds * 1_000_000)
    }

    /// Full jitter: all of the range is drawn, and nothing outside it.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func drawsFromTheWholeRange(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for failures in [0, 1, 3, 6, 20] {
            var draws: [UInt64] = []
            for _ in 0..<400 {
                var backoff = Backoff(seed: random.next())
                for _ in 0..<failures { _ = backoff.next() }
                #expect(backoff.failures == failures)
                draws.append(backoff.next())
            }
            let ceiling = Backoff.ceiling(after: failures)
            #expect(draws.allSatisfy { $0 < ceiling }, "seed \(seed)")
            for eighth in 0..<8 as Range<UInt64> {
                #expect(draws.contains { $0 / (ceiling / 8) == eighth }, "seed \(seed), \(failures) failures, part \(eighth)")
            }
        }
    }
}

struct EndingTests {
    /// What the protocol's document says of each code.
    static let codes: [(UInt16, Ending.Reaction)] = [
        (1000, .stop), (1001, .afterDrain), (1002, .stop), (1003, .stop), (1007, .stop), (1009, .stop), (1011, .backOff), (4000, .atOnce),
        (4001, .renew), (4008, .backOff), (4013, .backOffDoubled), (4500, .stop), (4503, .stop), (4505, .stop),
        // Not the daemon's, but a proxy's or a later version's.
        (1012, .backOff), (1013, .backOff), (3000, .backOff), (4999, .backOff),
    ]

    @Test(arguments: codes)
    func closeCode(code: UInt16, reaction: Ending.Reaction) {
        #expect(Ending.closed(CloseCode(rawValue: code), reason: "").reaction == reaction)
    }

    @Test func everyCodeOfTheTableIsHere() {
        #expect(Set(CloseCode.table.map(\.code.rawValue)).isSubset(of: Set(EndingTests.codes.map(\.0))))
    }

    @Test(arguments: [
        (401, nil, .renew), (403, nil, .stop), (404, nil, .stop), (400, nil, .stop), (426, nil, .stop), (301, nil, .stop), (429, 7, .after(seconds: 7)),
        (429, nil, .backOff), (503, 3, .after(seconds: 3)), (503, nil, .backOff), (502, nil, .backOff), (504, nil, .backOff), (500, nil, .backOff), (408, nil, .backOff),
    ] as [(Int, Int?, Ending.Reaction)])
    func status(status: Int, retryAfter: Int?, reaction: Ending.Reaction) {
        #expect(Ending.refused(status: status, retryAfter: retryAfter, why: "").reaction == reaction)
    }

    @Test func others() {
        #expect(Ending.failed("x").reaction == .backOff && Ending.silent.reaction == .atOnce)
        #expect(Ending.closed(nil, reason: "").reaction == .backOff)
        #expect(Ending.violated(.protocolError, "x").reaction == .stop && Ending.impossible("x").reaction == .stop)
    }

    @Test(arguments: [
        (.closed(.disconnectedByAdmin, reason: ""), "the server has closed the connection: 4505 disconnected by an admin"),
        (.closed(.protocolError, reason: "too many fragments"), "the server has closed the connection: 1002 too many fragments"),
        (.closed(nil, reason: ""), "the server has closed the connection"),
        (.closed(CloseCode(rawValue: 4999), reason: ""), "the server has closed the connection: 4999"),
        (.refused(status: 403, retryAfter: nil, why: "channel not allowed"), "the server has refused the connection: 403 channel not allowed"),
        (.silent, "nothing has come from the server for 70 s"),
    ] as [(Ending, String)])
    func words(ending: Ending, text: String) {
        #expect(ending.why == text)
    }
}

struct ReconnectTests {
    @Test func failuresInARowWaitLonger() {
        var reconnect = Reconnect(seed: 1, canRenew: false)
        for failures in 0..<50 {
            #expect(reconnect.failures == failures)
            let wait = waiting(reconnect.ended(.failed("x"), at: 0))
            #expect(wait.map { $0 < Backoff.ceiling(after: failures) } == true)
        }
    }

    /// 30 s of health, and not a nanosecond less.
    @Test(arguments: [(29_999_999_999, 4), (30_000_000_000, 1)] as [(UInt64, Int)])
    func healthForgets(lasted: UInt64, failures: Int) {
        var reconnect = Reconnect(seed: 1, canRenew: false)
        for _ in 0..<3 { _ = reconnect.ended(.failed("x"), at: 0) }
        reconnect.opened(at: 5 * second)
        _ = reconnect.ended(.failed("x"), at: 5 * second + lasted)
        #expect(reconnect.failures == failures)
    }

    @Test func aDaemonThatStopsIsObeyedOnce() {
        var reconnect = Reconnect(seed: 1, canRenew: false)
        reconnect.opened(at: 0)
        reconnect.drains(milliseconds: 2713)
        #expect(reconnect.ended(.closed(.goingAway, reason: ""), at: 40 * second) == .wait(nanoseconds: 2_713_000_000, renewsToken: false))
        #expect(reconnect.failures == 0)
        // It is not there yet: from here on it is an attempt that failed.
        #expect(waiting(reconnect.ended(.failed("refused"), at: 43 * second)).map { $0 < 500_000_000 } == true)
        #expect(reconnect.failures == 1)
    }

    @Test func cutOffBehindItsDrain() {
        var reconnect = Reconnect(seed: 1, canRenew: false)
        reconnect.opened(at: 0)
        reconnect.drains(milliseconds: 900)
        #expect(reconnect.ended(.failed("reset"), at: second) == .wait(nanoseconds: 900_000_000, renewsToken: false))
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func withoutADelayWithinFiveSeconds(seed: UInt64) {
        var reconnect = Reconnect(seed: seed, canRenew: false)
        reconnect.opened(at: 0)
        #expect(waiting(reconnect.ended(.closed(.goingAway, reason: ""), at: 0)).map { $0 < 5 * second } == true)
    }

    /// A delay that nobody would wait for, and one that is none.
    @Test(arguments: [(Int.max, 600_000), (-1, 0), (.min, 0)] as [(Int, UInt64)])
    func absurdDelays(told: Int, milliseconds: UInt64) {
        var reconnect = Reconnect(seed: 1, canRenew: false)
        reconnect.opened(at: 0)
        reconnect.drains(milliseconds: told)
        #expect(waiting(reconnect.ended(.closed(.goingAway, reason: ""), at: 0)) == milliseconds * 1_000_000)
    }

    @Test(arguments: [(0, 0), (7, 7), (300, 300), (301, 300), (Int.max, 300), (-5, 0)] as [(Int, UInt64)])
    func retryAfterIsTheLeast(told: Int, seconds: UInt64) {
        var reconnect = Reconnect(seed: 1, canRenew: false)
        let wait = waiting(reconnect.ended(.refused(status: 503, retryAfter: told, why: ""), at: 0))
        #expect(wait.map { $0 >= seconds * second && $0 < seconds * second + 500_000_000 } == true)
    }

    @Test func aFreshTokenOnce() {
        var reconnect = Reconnect(seed: 1, canRenew: true)
        reconnect.opened(at: 0)
        #expect(reconnect.ended(.closed(.tokenExpired, reason: ""), at: 3600 * second) == .wait(nanoseconds: 0, renewsToken: true))
        // Refused in spite of it.
        #expect(reconnect.ended(.refused(status: 401, retryAfter: nil, why: ""), at: 3600 * second) == .stop)
        var other = Reconnect(seed: 1, canRenew: true)
        #expect(waiting(other.ended(.refused(status: 401, retryAfter: nil, why: ""), at: 0)) == 0)
        other.opened(at: 0)
        #expect(waiting(other.ended(.closed(.tokenExpired, reason: ""), at: 60 * second)) == 0)
    }

    @Test func withoutAProviderAnExpiredTokenIsTheEnd() {
        var reconnect = Reconnect(seed: 1, canRenew: false)
        reconnect.opened(at: 0)
        #expect(reconnect.ended(.closed(.tokenExpired, reason: ""), at: second) == .stop)
    }

    /// Whatever comes in whatever order: no wait beyond what anybody asked for, and no way out of a stop.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func anySequence(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var reconnect = Reconnect(seed: seed, canRenew: true)
        var now: UInt64 = 0
        for _ in 0..<500 {
            now += UInt64.random(in: 0..<40 * second, using: &random)
            if Bool.random(using: &random) { reconnect.opened(at: now) }
            if Int.random(in: 0..<4, using: &random) == 0 { reconnect.drains(milliseconds: Int.random(in: 0..<60_000, using: &random)) }
            let ending: Ending =
                switch Int.random(in: 0..<4, using: &random) {
                case 0: .failed("x")
                case 1: .silent
                case 2: .refused(status: [401, 403, 429, 503].randomElement(using: &random) ?? 503, retryAfter: nil, why: "")
                default: .closed(EndingTests.codes.randomElement(using: &random).map { CloseCode(rawValue: $0.0) }, reason: "")
                }
            let step = reconnect.ended(ending, at: now)
            if ending.reaction == .stop { #expect(step == .stop, "seed \(seed)") }
            #expect((waiting(step) ?? 0) <= 60 * second, "seed \(seed)")
        }
    }
}
