// When which statistics are due, and making them.

import Base
import Storage

/// Computes each group's statistics in its rhythm. Owner: the sampler.
final class StatsTimer {
    /// Names of models are looked up again after this long, if anything was written at all.
    private static let modelsNanoseconds: UInt64 = 10_000_000_000
    private static let modelsMax = 10_000

    private let subscriptions: Subscriptions
    /// Monotonic time at which each group is to be told next.
    private var due: [StatsGroup: UInt64] = [:]
    private var models: [String: Model?] = [:]
    private var modelsReadAt: UInt64 = 0
    var modelsMayHaveChanged = false

    init(_ subscriptions: Subscriptions) { self.subscriptions = subscriptions }

    /// Tells the sink of every group that is due and whose window is covered.
    ///
    /// - Returns: nanoseconds until the next one is due; nil when there is none.
    func run(
        _ stats: inout RequestStats, providers: [String: Provider], queries: RequestQueries, clock: any Clock, sink: any EventSink,
        phase: SamplerPhase
    ) throws(DatabaseError) -> UInt64? {
        let (groups, fresh) = subscriptions.take()
        for group in fresh { due[group] = nil }
        let monotonic = clock.monotonic()
        for group in due.keys where !groups.contains(group) { due[group] = nil }
        // The providers' success rates need the five minutes in any case.
        let wanted = Set(groups.map(\.window))
        for window in StatsWindow.allCases where window != .fiveMinutes && !wanted.contains(window) { stats.release(window) }
        guard !groups.isEmpty else { return nil }
        // Milliseconds are what `calculated_at` can say, and it is to be exactly the instant used.
        let now = Instant(milliseconds: clock.now().milliseconds)
        var made: [StatsWindow: [UInt8]] = [:]
        for group in groups {
            let time = due[group] ?? monotonic
            guard time <= monotonic else { continue }
            if made[group.window] == nil {
                guard let sums = stats.sums(group.window, at: now) else {
                    due[group] = time
                    continue
                }
                let pairs = stats.store.pairs.pairs
                phase.begin(.reading)
                let models = try models(StatsEncoder.models(in: sums, pairs: pairs), queries.model, monotonic)
                phase.begin(.working)
                made[group.window] = StatsEncoder.encode(
                    sums, pairs: pairs, window: group.window, at: now, providers: providers, models: models)
            }
            guard let data = made[group.window] else { continue }
            sink.stats(window: group.window, interval: group.interval, at: now, data: data)
            let interval = UInt64(group.interval) * 1_000_000_000
            // In step with the first, but never twice in a row to make up for what was missed.
            due[group] = monotonic - time < interval ? time + interval : monotonic + interval
        }
        let next = groups.compactMap { due[$0] }.min()
        return next.map { $0 > monotonic ? $0 - monotonic : SamplerCore.pollNanoseconds }
    }

    private func models(_ ids: Set<String>, _ statement: Statement, _ monotonic: UInt64) throws(DatabaseError) -> [String: Model] {
        if modelsMayHaveChanged, monotonic &- modelsReadAt >= StatsTimer.modelsNanoseconds || models.count > StatsTimer.modelsMax {
            models = [:]
            modelsReadAt = monotonic
            modelsMayHaveChanged = false
        }
        var found: [String: Model] = [:]
        for id in ids {
            if let known = models[id] {
                found[id] = known
                continue
            }
            statement.bind(id, at: 1)
            defer { statement.reset() }
            let model = try statement.step() ? Model(name: statement.string(0), providerID: statement.string(1)) : nil
            models[id] = .some(model)
            found[id] = model
        }
        return found
    }
}
