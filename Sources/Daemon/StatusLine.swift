// The sentence that `systemctl status` shows while the daemon serves.

import Base
import EventSources
import Fanout
import Host

/// Says how the daemon is doing, when that has changed. Any thread.
final class StatusLine: Sendable {
    private struct State {
        var said = ""
        var before: (events: UInt64, at: UInt64)?
    }
    private let hub: Hub
    private let sources: @Sendable () -> [SourceStatus]
    private let state = Locked(State())

    init(hub: Hub, sources: @escaping @Sendable () -> [SourceStatus]) {
        self.hub = hub
        self.sources = sources
    }

    /// What was said last.
    var present: String { state.withLock { $0.said } }

    /// The sentence of now, if it is another one than before. For the heartbeat loop: the rate is that since the last call.
    func news() -> String? {
        let (events, now) = (Channel.allCases.reduce(0) { $0 &+ hub.publishedCount($1) }, hub.clock.monotonic())
        let (clients, sources) = (hub.clientCount, sources())
        return state.withLock { state in
            let rate = state.before.map { now > $0.at ? Double(events &- $0.events) * 1e9 / Double(now - $0.at) : 0 } ?? 0
            state.before = (events, now)
            let text = StatusLine.text(clients: clients, eventsPerSecond: rate, sources: sources)
            if text == state.said { return nil }
            state.said = text
            return text
        }
    }

    static func text(clients: Int, eventsPerSecond rate: Double, sources: [SourceStatus]) -> String {
        let crowd = "serving \(clients) client\(clients == 1 ? "" : "s"), \(rounded(rate)) events/s"
        var groups: [(state: String, names: [String])] = []
        for source in sources {
            let state =
                switch source.state {
                case .working: "working"
                case .starting: "starting"
                case .failing: "failing (\(source.why))"
                }
            if let known = groups.firstIndex(where: { $0.state == state }) {
                groups[known].names.append(source.name)
            } else {
                groups.append((state, [source.name]))
            }
        }
        if groups.isEmpty { return "\(crowd); no sources" }
        return "\(crowd); " + groups.map { "\($0.names.joined(separator: ", ")) \($0.state)" }.joined(separator: "; ")
    }

    /// Two digits are enough, and the sentence does not change each second.
    private static func rounded(_ rate: Double) -> String {
        if rate < 9.95 { return rate < 0.05 ? "0" : "\(Double(Int(rate * 10 + 0.5)) / 10)" }
        var step = 1.0
        while rate / step >= 100 { step *= 10 }
        return "\(Int(clamping: Int64((rate / step).rounded() * step)))"
    }
}
