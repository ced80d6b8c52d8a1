// The loop that asks every part whether it lives.

import Base
import Dispatch
import Synchronization

/// Beats once a second: every shard and every other part must answer before the next beat.
///
/// Its timer is confined to `queue`; `isHealthy` may be read anywhere.
public final class Heartbeat: @unchecked Sendable {  // Sendable because its state is used on `queue` only.
    private let queue = DispatchQueue(label: "heartbeat")
    private let hub: Hub
    private let isAlive: @Sendable () -> Bool
    private var timer: (any DispatchSourceTimer)?
    private var beat: UInt64 = 0
    private var missed = 0
    private let healthy = Atomic<Bool>(true)

    /// - Parameters:
    ///   - isAlive: whether the parts that are not shards (the sampler's control side) have answered; must not block.
    public init(hub: Hub, isAlive: @escaping @Sendable () -> Bool) {
        self.hub = hub
        self.isAlive = isAlive
    }

    /// Whether all parts answered the last beat.
    public var isHealthy: Bool { healthy.load(ordering: .relaxed) }

    public func start() {
        queue.sync {
            let timer = DispatchSource.makeTimerSource(queue: queue)
            timer.schedule(deadline: .now() + 1, repeating: 1)
            timer.setEventHandler { [self] in tick() }
            timer.activate()
            self.timer = timer
        }
    }

    private func tick() {
        let last = beat
        let late = hub.shards.filter { $0.answeredBeat.load(ordering: .acquiring) < last }.map { "shard-\($0.number)" }
            + (isAlive() ? [] : ["sampler"])
        if late.isEmpty {
            if missed > 0 { Log.info("all parts answer again after \(missed) beats") }
            missed = 0
        } else {
            missed += 1
            if missed == 5 { Log.error("no answer for 5 s from \(late.joined(separator: ", ")); if this stays, the daemon must be restarted") }
        }
        healthy.store(late.isEmpty, ordering: .relaxed)
        beat += 1
        let current = beat
        for shard in hub.shards { shard.post { $0.answeredBeat.store(current, ordering: .releasing) } }
        hub.expire()
    }
}
