// What the sampler thread is doing, for those who must tell a slow disk from a sampler that hangs.

import Base
import Synchronization

/// The sampler's present phase and since when. Writer: the sampler thread; readers: any. Relaxed throughout: it carries no
/// other data, and a reading that is a moment old does no harm.
final class SamplerPhase: Sendable {
    enum Phase: UInt64 {
        /// Asleep until something is due.
        case waiting
        /// In a call that may wait for disk or locks; may take any time without anything being wrong with the sampler.
        case reading
        /// Anything else, the sink's part included; must be short.
        case working
    }

    private let clock: any Clock
    private let phase = Atomic<UInt64>(Phase.waiting.rawValue)
    private let since: Atomic<UInt64>
    /// Nanoseconds spent in the two others than waiting, since the start.
    private let spent = CounterCells(2)

    init(clock: any Clock) {
        self.clock = clock
        since = Atomic(clock.monotonic())
    }

    func begin(_ phase: Phase) {
        let now = clock.monotonic()
        let before = Phase(rawValue: self.phase.load(ordering: .relaxed)) ?? .waiting
        let began = since.load(ordering: .relaxed)
        if before != .waiting, now > began { spent.add(before == .reading ? 0 : 1, now - began) }
        since.store(now, ordering: .relaxed)
        self.phase.store(phase.rawValue, ordering: .relaxed)
    }

    /// Nanoseconds since the start, phases that are over.
    var readingNanoseconds: UInt64 { spent[0] }
    var workingNanoseconds: UInt64 { spent[1] }

    /// The phase, and for how many nanoseconds.
    var now: (phase: Phase, nanoseconds: UInt64) {
        let began = since.load(ordering: .relaxed)
        let time = clock.monotonic()
        return (Phase(rawValue: phase.load(ordering: .relaxed)) ?? .working, time > began ? time - began : 0)
    }
}
