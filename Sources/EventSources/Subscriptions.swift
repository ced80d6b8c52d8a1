// Which statistics somebody wants, told by any thread to the sampler.

import Synchronization

/// Subscribers of the same window and interval share one computation.
struct StatsGroup: Hashable, Sendable {
    let window: StatsWindow
    /// Seconds, 1...3600.
    let interval: Int
}

/// How many subscribers each group has. Any thread.
final class Subscriptions: Sendable {
    private let counts = Mutex<[StatsGroup: Int]>([:])

    /// - Returns: whether this is the group's first.
    func add(_ group: StatsGroup) -> Bool {
        counts.withLock { counts in
            counts[group, default: 0] += 1
            return counts[group] == 1
        }
    }

    func remove(_ group: StatsGroup) {
        counts.withLock { counts in
            guard let count = counts[group] else { return }
            counts[group] = count > 1 ? count - 1 : nil
        }
    }

    var groups: [StatsGroup] { counts.withLock { Array($0.keys) } }
}
