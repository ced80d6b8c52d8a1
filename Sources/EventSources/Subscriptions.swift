// Which statistics somebody wants, told by any thread to the sampler.

import Base

/// Subscribers of the same window and interval share one computation.
struct StatsGroup: Hashable, Sendable {
    let window: StatsWindow
    /// Seconds, 1...3600.
    let interval: Int
}

/// How many subscribers each group has. Any thread.
final class Subscriptions: Sendable {
    private struct State {
        var counts: [StatsGroup: Int] = [:]
        /// Groups whose first subscriber has come since the sampler last looked: they may have been gone and come back
        /// in between, and are to be told at once all the same.
        var fresh: Set<StatsGroup> = []
    }
    private let state = Locked(State())

    /// - Returns: whether this is the group's first.
    func add(_ group: StatsGroup) -> Bool {
        state.withLock { state in
            state.counts[group, default: 0] += 1
            guard state.counts[group] == 1 else { return false }
            state.fresh.insert(group)
            return true
        }
    }

    func remove(_ group: StatsGroup) {
        state.withLock { state in
            guard let count = state.counts[group] else { return }
            state.counts[group] = count > 1 ? count - 1 : nil
        }
    }

    /// The groups that have subscribers, and those among them that are new since the last call. For the sampler only.
    func take() -> (all: Set<StatsGroup>, fresh: Set<StatsGroup>) {
        state.withLock { state in
            defer { state.fresh = [] }
            return (Set(state.counts.keys), state.fresh)
        }
    }
}
