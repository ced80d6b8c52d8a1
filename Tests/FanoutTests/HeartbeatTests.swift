import Base
import Dispatch
import Synchronization
import Testing

@testable import Fanout

/// A part that answers when it is told to.
private final class Witness: Sendable {
    let asked = Atomic<UInt64>(0)
    let timesAsked = Atomic<Int>(0)
    let answered = Atomic<UInt64>(0)
    let answers = Atomic<Bool>(true)

    func part(_ name: String) -> Heartbeat.Part {
        Heartbeat.Part(
            name: name,
            ask: { [self] beat in
                asked.store(beat, ordering: .sequentiallyConsistent)
                timesAsked.add(1, ordering: .sequentiallyConsistent)
                if answers.load(ordering: .sequentiallyConsistent) { answered.store(beat, ordering: .sequentiallyConsistent) }
            }, answered: { [self] in answered.load(ordering: .sequentiallyConsistent) })
    }
}

@Suite struct HeartbeatTests {
    private func wait(_ what: String, _ condition: () -> Bool) {
        for _ in 0..<30_000 where !condition() { Bell().sleep(nanoseconds: 1_000_000) }
        #expect(condition(), "\(what)")
    }

    @Test func theWatchdogIsFedWhileEveryPartAnswersAndNotWhenOneDoesNot() {
        let (one, other) = (Witness(), Witness())
        withExtendedLifetime((one, other)) {
            let counters = Counters()
            let heartbeat = Heartbeat(
                clock: SystemClock(), parts: [one.part("one"), other.part("other")], allAnswered: { counters.fed.add(1, ordering: .relaxed) },
                everySecond: { counters.seconds.add(1, ordering: .relaxed) })
            heartbeat.start(watchdog: .milliseconds(80))
            wait("it is fed") { counters.fed.load(ordering: .relaxed) > 5 }
            other.answers.store(false, ordering: .sequentiallyConsistent)
            wait("it is asked what it does not answer") {
                other.asked.load(ordering: .sequentiallyConsistent) > other.answered.load(ordering: .sequentiallyConsistent)
            }
            let count = counters.fed.load(ordering: .relaxed)
            let asked = other.timesAsked.load(ordering: .sequentiallyConsistent)
            let begun = counters.seconds.load(ordering: .relaxed)
            wait("the second's work goes on") { counters.seconds.load(ordering: .relaxed) > begun + 1 }
            #expect(counters.fed.load(ordering: .relaxed) == count)
            #expect(other.timesAsked.load(ordering: .sequentiallyConsistent) == asked)
            other.answers.store(true, ordering: .sequentiallyConsistent)
            other.answered.store(other.asked.load(ordering: .sequentiallyConsistent), ordering: .sequentiallyConsistent)
            wait("it is fed again") { counters.fed.load(ordering: .relaxed) > count }
        }
    }

    private final class Counters: Sendable {
        let fed = Atomic<Int>(0)
        let seconds = Atomic<Int>(0)
    }
}
