// The journal thread: lines of the gateway's unit as events of channel `logs`.

import Base
import Host
import Synchronization

/// Follows the journal and tells the sink. Every method may be called on any thread and returns at once.
public final class JournalSource: Sendable {
    /// A read that takes longer hangs: on a slow disk, most likely.
    private static let hangNanoseconds: UInt64 = 5_000_000_000

    let counters: JournalCounters
    private let options: JournalOptions
    /// Options that the thread is to go on with.
    private let wanted = Locked<JournalOptions?>(nil)
    private let names: ProviderNames
    private let published: PublishedPlaces
    private let clock: any Clock
    private let sink: any EventSink
    private let health: SourceHealth
    private let phase: SamplerPhase
    private let bell = Bell()
    private let rounds = Rounds()
    /// Rung by the thread as it ends.
    private let ended = Bell()
    private let hasStarted = Atomic<Bool>(false)
    /// Writer: `stop`; reader: the thread. Relaxed: it carries no other data, and the thread looks every 20 ms.
    private let isStopping = Atomic<Bool>(false)

    /// - Parameters:
    ///   - names: the sampler's; the first lines wait half a second for them.
    ///   - published: is told up to where the journal has been published.
    ///   - counters: count on where a former source has left them.
    ///   - sink: kept until `stop`.
    public init(
        _ options: JournalOptions, names: ProviderNames, published: PublishedPlaces, counters: JournalCounters = JournalCounters(),
        clock: any Clock = SystemClock(), sink: any EventSink
    ) {
        self.counters = counters
        self.options = options
        self.names = names
        self.published = published
        self.clock = clock
        self.sink = sink
        health = SourceHealth([.logs], clock: clock)
        phase = SamplerPhase(clock: clock)
    }

    /// Starts the thread; what is written from then on is published. Once only.
    ///
    /// - Returns: nil, or why the thread could not be made.
    @discardableResult
    public func start() -> SystemError? {
        guard !hasStarted.exchange(true, ordering: .relaxed) else { return nil }
        return Thread.start(named: "journal") { self.follow() }
    }

    /// Ends the thread, and waits for it up to a second: longer only a hanging disk could take.
    public func stop() {
        guard hasStarted.load(ordering: .relaxed), !isStopping.exchange(true, ordering: .relaxed) else { return }
        bell.ring()
        ended.sleep(nanoseconds: 1_000_000_000)
    }

    /// Goes on with other options, without a hole for units that stay.
    public func apply(_ options: JournalOptions) {
        wanted.withLock { $0 = options }
        bell.ring()
    }

    /// How it is doing.
    public func status() -> SourceStatus {
        health.status().first ?? SourceStatus(name: SourceChannel.logs.sourceName, state: .starting, lagMilliseconds: 0, why: "")
    }

    /// Comes back when what stands in the journal now has been published, at the latest after a quarter of a second. Not on the journal's
    /// own thread.
    public func settle() { rounds.settle(nanoseconds: 250_000_000) { bell.ring() } }

    /// Notices that the journal could not be read for 5 s, which is a gap, and says in the log what has changed. To be called
    /// about once a second, on any thread but the journal's own: it may hang.
    public func check() {
        // Who was told to stop is not late.
        if isStopping.load(ordering: .relaxed) { return }
        let (phase, nanoseconds) = phase.now
        let hangs = phase == .reading && nanoseconds >= JournalSource.hangNanoseconds
        for channel in health.check(hanging: hangs ? "a read of the journal does not come back" : nil) {
            sink.gap(channel: channel, reason: .lag)
        }
    }

    private func follow() {
        let follower = JournalFollower(
            options, names: names, published: published, clock: clock, sink: sink, health: health, phase: phase,
            counters: counters)
        while !isStopping.load(ordering: .relaxed) {
            if let options = wanted.withLock({ $0.take() }) { follower.adopt(options) }
            let wait = follower.step()
            if follower.isAtEnd { rounds.complete() }
            guard wait > 0 else { continue }
            phase.begin(.waiting)
            bell.sleep(nanoseconds: wait)
        }
        ended.ring()
    }
}
