// Between the sources and the hub: what the sampler says becomes events, what the hub wants becomes work of the sampler.

import Base
import EventSources
import Fanout

/// Carries what the sampler says to the hub, and what the hub wants to the sampler.
final class SourceBridge: EventSink, StatsSource {
    private let hub: Hub
    /// The sampler, once there is one: it is made with this bridge.
    let sampler = Locked<Sampler?>(nil)

    init(hub: Hub) { self.hub = hub }

    func publish(_ events: [SourceEvent]) {
        for event in events where event.kind == .gap { hub.gaps.add(.sourceLost) }
        hub.publish(events.map { EventDraft($0) })
    }

    func gap(channel: SourceChannel, reason: SourceGap) {
        hub.gaps.add(reason == .lag ? .sourceLag : .sourceLost)
        let target: Channel =
            switch channel {
            case .stats: .stats
            case .providers: .providers
            case .requests: .requests
            case .logs: .logs
            }
        hub.publish([
            EventDraft(channel: target, type: "gap", timestamp: hub.clock.now(), data: reason.data(channel), passesFilters: true, publisher: .daemon)
        ])
    }

    func providerStates(_ states: [(id: String, data: [UInt8])]) {
        let now = hub.clock.now()
        hub.updateProviders(states.map { (id: $0.id, timestamp: now, data: $0.data) })
    }

    func stats(window: StatsWindow, interval: Int, at instant: Instant, data: [UInt8]) {
        hub.updateStats(StatsGroup(window: window.rawValue, interval: interval), at: instant, data: data)
    }

    func watch(_ group: StatsGroup) {
        guard let window = StatsWindow(rawValue: group.window) else { return }
        sampler.withLock { $0 }?.watch(window: window, interval: group.interval)
    }

    func unwatch(_ group: StatsGroup) {
        guard let window = StatsWindow(rawValue: group.window) else { return }
        sampler.withLock { $0 }?.unwatch(window: window, interval: group.interval)
    }

    /// Asks the sampler's control side for a sign of life. Called by the heartbeat loop.
    func askSampler(_ beat: UInt64) { sampler.withLock { $0 }?.beat(beat) }

    /// The newest sign of life that it has given.
    var samplerAnswered: UInt64 { sampler.withLock { $0 }?.lastBeat ?? .max }
}
