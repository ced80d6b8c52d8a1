// The sentence that `systemctl status` shows while the daemon serves.

import Base
import EventSources
import Fanout
import Host

/// Says how the daemon is doing, when that has changed. Called by the heartbeat loop only.
final class StatusLine: @unchecked Sendable {  // Sendable because its state is the heartbeat loop's.
    private let hub: Hub
    private let sources: @Sendable () -> [SourceStatus]
    private var said = ""
    private var before: (events: UInt64, at: UInt64)?

    init(hub: Hub, sources: @escaping @Sendable () -> [SourceStatus]) {
        self.hub = hub
        self.sources = sources
    }

    /// The sentence of now, if it is another one than before.
    func news() -> String? {
        let (events, now) = (Channel.allCases.reduce(0) { $0 &+ hub.publishedCount($1) }, hub.clock.monotonic())
        let rate = before.map { now > $0.at ? Double(events &- $0.events) * 1e9 / Double(now - $0.at) : 0 } ?? 0
        before = (events, now)
        let text = StatusLine.text(clients: hub.clientCount, eventsPerSecond: rate, sources: sources())
        if text == said { return nil }
        said = text
        return text
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
