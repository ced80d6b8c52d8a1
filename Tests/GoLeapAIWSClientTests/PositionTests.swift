import TestSupport
import Testing

@testable import GoLeapAIWSClient

private func log(_ id: String?, at timestamp: String = "2026-02-05T10:30:00.000Z", _ message: String = "m") -> ClientEvent {
    .log(LogEvent(message: message, id: id.map { EventID($0) }, timestamp: timestamp, rawJSON: "\(id ?? "") \(timestamp) \(message)"))
}

struct EventIDTests {
    @Test(arguments: [
        ("mwt79l6s-1045", "mwt79l6s", 1045), ("a-0", "a", 0), ("a-b-7", "a-b", 7), ("a-18446744073709551615", "a", .max), ("", nil, nil), ("-5", nil, nil),
        ("a-", nil, nil), ("a", nil, nil), ("a-x", nil, nil), ("a-18446744073709551616", nil, nil),
    ] as [(String, String?, UInt64?)])
    func parts(text: String, epoch: String?, sequence: UInt64?) {
        #expect(EventID(text).epoch == epoch && EventID(text).sequence == sequence)
    }
}

struct PositionTests {
    @Test func nothingOfBefore() {
        var position = Position()
        #expect(position.request == (nil, nil))
        position.welcomed(at: "2026-02-05T10:30:00.000Z", position: EventID("e-40"))
        // What is live is all that is wanted, the first time.
        #expect(position.request == (nil, nil))
        position.asked()
        #expect(position.request == ("e-40", nil))
        #expect(position.takes(log("e-41")) == true)
        #expect(position.request == ("e-41", nil))
        // Skips are no matter, and neither is a double.
        #expect(position.takes(log("e-50")) && !position.takes(log("e-50")) && !position.takes(log("e-7")))
        #expect(position.request == ("e-50", nil))
    }

    @Test func positionsOfControlMessages() {
        var position = Position()
        position.told(EventID("e-10"))
        position.told(EventID("e-9"))
        #expect(position.settled == EventID("e-10"))
        position.caughtUp(EventID("e-12"))
        #expect(position.takes(.gap(Gap(reason: "slow_consumer", after: EventID("e-12"), resume: EventID("e-20"), dropped: 8))) == true)
        #expect(position.settled == EventID("e-20"))
        #expect(!position.takes(log("e-20")) && position.takes(log("e-21")))
        position.told(EventID("what is this"))
        #expect(position.settled == EventID("e-21"))
    }

    /// Until the daemon has taken up the `subscribe`, what it says of the position knows nothing of the replay.
    @Test func positionsBeforeTheReplay() {
        var position = Position(since: "e-5")
        position.welcomed(at: "", position: EventID("e-40"))
        position.asked()
        position.told(EventID("e-40"))
        #expect(position.request == ("e-5", nil))
        position.acknowledged()
        #expect(position.takes(log("e-6")) && position.request == ("e-6", nil))
    }

    @Test func anotherEpochIsADaemonThatHasBegunAnew() {
        var position = Position()
        position.asked()
        position.caughtUp(EventID("old-900"))
        #expect(position.takes(.gap(Gap(reason: "restarted", after: EventID("old-900"), resume: EventID("new-0")))) == true)
        #expect(position.takes(log("new-1")) && position.takes(log("new-2")) && !position.takes(log("new-2")))
        #expect(position.request == ("new-2", nil))
    }

    /// States have no place in the stream, and free types without an id are none either.
    @Test func states() {
        var position = Position(since: "5m")
        #expect(position.takes(.stats(StatsUpdate(timestamp: "2026-02-05T10:30:00.000Z"))) == true)
        #expect(position.takes(.provider(ProviderStatus(providerID: "p", providerName: "P", timestamp: "2026-02-05T10:30:00.000Z"))) == true)
        #expect(position.request == ("5m", nil))
    }

    @Test func lastSoManyAreAskedForAgainUntilOneHasCome() {
        var position = Position(history: 100)
        position.asked()
        #expect(position.request == (nil, 100))
        #expect(position.takes(log("e-7")) == true)
        // Everything behind it is among those hundred.
        #expect(position.request == ("e-7", nil))
    }

    @Test func aDurationBecomesTheInstantByTheDaemonsClock() {
        var position = Position(since: "5m", history: 10)
        #expect(position.request == ("5m", 10))
        position.welcomed(at: "2026-02-05T10:30:00.000Z", position: nil)
        #expect(position.request == ("2026-02-05T10:25:00.000Z", 10))
        // A later one changes nothing.
        position.welcomed(at: "2026-02-05T11:30:00.000Z", position: nil)
        #expect(position.request == ("2026-02-05T10:25:00.000Z", 10))
    }

    /// Broken in the middle of a replay without ids: again from its last instant on, and what had come of that is left out, as often as it had come.
    @Test func aReplayByTimeGoesOn() {
        var position = Position(since: "5m")
        position.asked()
        #expect(position.takes(log(nil, at: "2026-02-05T10:30:00.001Z", "a")) == true)
        #expect(position.takes(log(nil, at: "2026-02-05T10:30:00.002Z", "b")) == true)
        #expect(position.takes(log(nil, at: "2026-02-05T10:30:00.002Z", "b")) == true)
        #expect(position.request == ("2026-02-05T10:30:00.002Z", nil))
        position.asked()
        // Once more broken, in the middle of what is left out.
        #expect(position.takes(log(nil, at: "2026-02-05T10:30:00.002Z", "b")) == false)
        position.asked()
        #expect(position.takes(log(nil, at: "2026-02-05T10:30:00.002Z", "b")) == false)
        #expect(position.takes(log(nil, at: "2026-02-05T10:30:00.002Z", "c")) == true)
        #expect(position.takes(log(nil, at: "2026-02-05T10:30:00.003Z", "b")) == true)
        #expect(position.takes(log("e-1", at: "2026-02-05T10:30:00.004Z", "d")) == true)
        #expect(position.request == ("e-1", nil))
        position.caughtUp(EventID("e-9"))
        #expect(position.takes(log(nil, at: "2026-02-05T10:30:00.002Z", "b")) && position.request == ("e-9", nil))
    }

    /// A model server with breaks at any place: each event comes to the application once, in order.
    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func breaksAnywhere(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let events = (1...200).map { "e-\($0)" }
        let wanted = Set(events.filter { _ in Int.random(in: 0..<3, using: &random) > 0 })
        var position = Position(since: "e-0")
        var got: [String] = []
        var published = 0
        while published < events.count || got.count < wanted.count {
            position.welcomed(at: "", position: EventID("e-\(published)"))
            // Some events more happen while the client is away.
            published = min(events.count, published + Int.random(in: 0..<20, using: &random))
            position.told(EventID("e-0"))
            let since = position.request.since.map { EventID($0).sequence ?? 0 } ?? 0
            position.asked()
            position.acknowledged()
            // A server that is not strict gives some once more.
            let first = max(1, Int(since) + 1 - Int.random(in: 0..<5, using: &random))
            for number in first..<max(first, published + 1) {
                if Int.random(in: 0..<30, using: &random) == 0 { break }
                let id = events[number - 1]
                if wanted.contains(id) {
                    if position.takes(log(id)) { got.append(id) }
                } else if Bool.random(using: &random) {
                    position.told(EventID(id))
                }
            }
        }
        #expect(got == events.filter(wanted.contains), "seed \(seed)")
    }
}
