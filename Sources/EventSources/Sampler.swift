// The sampler thread: the only one that reads the gateway's database; and beside it the control side, which answers
// though a read hangs.

import Base
import Storage
import Synchronization

/// Which of the sampler's sources are on.
public struct EnabledSources: Sendable {
    public var stats: Bool
    public var requests: Bool
    public var providers: Bool
    /// Keeps `ProviderNames` up to date even where neither statistics nor providers are on; no source of its own.
    public var names: Bool

    public init(stats: Bool = true, requests: Bool = true, providers: Bool = true, names: Bool = false) {
        self.stats = stats
        self.requests = requests
        self.providers = providers
        self.names = names
    }

    var channels: [SourceChannel] {
        (stats ? [.stats] : []) + (providers ? [.providers] : []) + (requests ? [.requests] : [])
    }
}

/// Reads the gateway's database and tells the sink. Every method may be called on any thread and returns at once.
public final class Sampler: Sendable {
    /// A read that takes longer is interrupted: it cannot be one of ours, which take milliseconds, and go well.
    private static let hangNanoseconds: UInt64 = 5_000_000_000
    /// The sampler is taken for hung when it has been busy with anything but a read for this long.
    private static let workNanosecondsMax: UInt64 = 10_000_000_000
    private static let controlNanoseconds: UInt64 = 500_000_000

    /// What the sampler thread reads, and what it is to go on with.
    private struct Plan {
        var path: String
        var enabled: EnabledSources
        var isNew = false
    }
    private let plan: Locked<Plan>
    private let clock: any Clock
    private let sink: any EventSink
    public let counters = SamplerCounters()
    private let health: SourceHealth
    private let phase: SamplerPhase
    private let published: PublishedPlaces
    private let names: ProviderNames
    private let subscriptions = Subscriptions()
    private let bell = Bell()
    private let rounds = Rounds()
    private let controlBell = Bell()
    /// Rung by each thread as it ends.
    private let ended = (sampler: Bell(), control: Bell())
    private let hasStarted = Atomic<Bool>(false)
    /// Writer: `stop`; readers: both threads. Relaxed: the bells' mutexes order it.
    private let isStopping = Atomic<Bool>(false)
    /// Writer: `beat`; reader: control. The largest counts, so tokens should grow.
    private let wanted = Atomic<UInt64>(0)
    /// Writer: control; readers: any.
    private let answered = Atomic<UInt64>(0)
    /// Of the open connection. Set by the sampler thread, used by control and `stop`.
    private let interrupter = Locked<Interrupter?>(nil)

    /// - Parameters:
    ///   - path: the database file, as `DatabasePath.path(of:)` takes it from the configuration.
    ///   - sink: kept until `stop`.
    ///   - published: is told up to which row requests have been published; stays nil where they are not enabled.
    ///   - names: is told the names of the providers.
    public init(
        path: String, enabled: EnabledSources = EnabledSources(), clock: any Clock = SystemClock(), sink: any EventSink,
        published: PublishedPlaces = PublishedPlaces(), names: ProviderNames = ProviderNames()
    ) {
        plan = Locked(Plan(path: path, enabled: enabled))
        self.clock = clock
        self.sink = sink
        self.published = published
        self.names = names
        health = SourceHealth(enabled.channels, clock: clock)
        phase = SamplerPhase(clock: clock)
    }

    /// Starts the threads; the first read of the database goes on behind it. Once only.
    ///
    /// - Returns: nil, or why a thread could not be made.
    @discardableResult
    public func start() -> SystemError? {
        guard !hasStarted.exchange(true, ordering: .relaxed) else { return nil }
        if let error = Thread.start(named: "sampler", { self.sample() }) { return error }
        return Thread.start(named: "sampler-control", { self.control() })
    }

    /// Ends the threads, and waits for them up to two seconds: longer only a hanging disk could take.
    public func stop() {
        guard hasStarted.load(ordering: .relaxed), !isStopping.exchange(true, ordering: .relaxed) else { return }
        bell.ring()
        controlBell.ring()
        interrupter.withLock { $0?.interrupt() }
        ended.sampler.sleep(nanoseconds: 1_500_000_000)
        ended.control.sleep(nanoseconds: 500_000_000)
    }

    /// Goes on with other sources, or another database. Where a source stays, nothing of it is lost; a database that does not have the rows
    /// that were read last is a replaced one.
    public func apply(path: String, enabled: EnabledSources) {
        plan.withLock { $0 = Plan(path: path, enabled: enabled, isNew: true) }
        health.watch(enabled.channels)
        bell.ring()
    }

    /// A subscriber of this window and interval (seconds, 1...3600) has come. The first one of a group gets an update
    /// at once, or as soon as the window's rows have all been read, then one every interval.
    public func watch(window: StatsWindow, interval: Int) {
        if subscriptions.add(StatsGroup(window: window, interval: min(max(interval, 1), 3600))) { bell.ring() }
    }

    /// One has gone; balances `watch`.
    public func unwatch(window: StatsWindow, interval: Int) {
        subscriptions.remove(StatsGroup(window: window, interval: min(max(interval, 1), 3600)))
    }

    /// Nanoseconds that its thread has spent in reads of the database, and with everything else but waiting.
    public var spent: (reading: UInt64, working: UInt64) { (phase.readingNanoseconds, phase.workingNanoseconds) }

    /// One entry per enabled source.
    public func status() -> [SourceStatus] { health.status() }

    /// Comes back when what was committed to the database before has been published, at the latest after a quarter of a second. Not on the
    /// sampler's own threads.
    public func settle() { rounds.settle(nanoseconds: 250_000_000) { bell.ring() } }

    /// Asks for a sign of life; `lastBeat` becomes the token soon, also while a read of the database hangs, but not
    /// when the sampler itself does.
    public func beat(_ token: UInt64) {
        wanted.store(token, ordering: .relaxed)
        controlBell.ring()
    }

    /// The last token answered; 0 before the first.
    public var lastBeat: UInt64 { answered.load(ordering: .relaxed) }

    // MARK: the sampler thread

    private func sample() {
        let first = plan.withLock { $0 }
        let core = SamplerCore(
            path: first.path, enabled: first.enabled, clock: clock, sink: sink, health: health, phase: phase, subscriptions: subscriptions,
            published: published, names: names, counters: counters)
        var session: Connection?
        while !isStopping.load(ordering: .relaxed) {
            let next = plan.withLock { plan -> Plan? in
                defer { plan.isNew = false }
                return plan.isNew ? plan : nil
            }
            if let next { core.adopt(path: next.path, enabled: next.enabled) }
            let wait = core.step()
            if wait > 0 { rounds.complete() }
            if core.database.session?.connection !== session {
                session = core.database.session?.connection
                let current = session?.interrupter
                interrupter.withLock { $0 = current }
            }
            phase.begin(.waiting)
            if wait > 0 { bell.sleep(nanoseconds: wait) }
        }
        interrupter.withLock { $0 = nil }
        ended.sampler.ring()
    }

    // MARK: the control thread

    private func control() {
        while !isStopping.load(ordering: .relaxed) {
            let (phase, nanoseconds) = phase.now
            if phase != .working || nanoseconds < Sampler.workNanosecondsMax {
                answered.store(wanted.load(ordering: .relaxed), ordering: .relaxed)
            }
            let hangs = phase == .reading && nanoseconds >= Sampler.hangNanoseconds
            if hangs { interrupter.withLock { $0?.interrupt() } }
            for channel in health.check(hanging: hangs ? "a read of the database \(plan.withLock { $0.path }) does not come back" : nil) {
                sink.gap(channel: channel, reason: .lag)
            }
            controlBell.sleep(nanoseconds: Sampler.controlNanoseconds)
        }
        ended.control.ring()
    }
}
