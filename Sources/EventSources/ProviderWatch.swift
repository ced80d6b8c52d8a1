// Changes of the providers as `provider_status` events.

import Base
import Protocol

/// Compares what is with what was last told. No I/O; owner: the sampler.
struct ProviderWatch {
    private(set) var providers: [Provider] = []
    private(set) var byID: [String: Provider] = [:]
    /// What was last told of each; nil before the first look, which is no change.
    private var told: [String: Provider.Verdict]?
    private var shown: [String: [UInt8]] = [:]
    /// When the next verdict may change by mere time.
    private var nextExpiry: Instant?
    private var lastLook: Instant?
    private var hasNews = false

    /// - Parameter rows: the whole table, sorted by id.
    mutating func update(_ rows: [Provider]) {
        guard rows != providers || told == nil else { return }
        let before = byID
        providers = rows
        byID = Dictionary(rows.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        changedAt = [:]
        for row in rows where row.updated != before[row.id]?.updated { changedAt[row.id] = row.updated }
        hasNews = true
    }
    private var changedAt: [String: Instant] = [:]

    /// Whether `look` could find anything new at this instant, success rates aside.
    func isDue(at now: Instant) -> Bool {
        hasNews || nextExpiry.map { now >= $0 } ?? false || lastLook.map { now < $0 } ?? true
    }

    /// Judges every provider at an instant.
    ///
    /// - Parameter successRate: of a provider's last five minutes; nil where it had no requests.
    /// - Returns: the changes since the last look (none at the first), in the order of ids; and all states if they are
    ///   not what they were.
    mutating func look(
        at now: Instant, successRate: (String) -> Double?
    ) -> (events: [SourceEvent], states: [(id: String, data: [UInt8])]?) {
        var events: [SourceEvent] = []
        var verdicts: [String: Provider.Verdict] = [:]
        var states: [(id: String, data: [UInt8])] = []
        for provider in providers where verdicts[provider.id] == nil {
            let verdict = provider.verdict(at: now)
            verdicts[provider.id] = verdict
            let data = ProviderWatch.data(provider.id, provider.name, verdict, successRate(provider.id) ?? provider.healthScore)
            states.append((provider.id, data))
            if let told, told[provider.id] != verdict {
                events.append(SourceEvent(kind: .providerStatus, timestamp: changeInstant(provider, now), data: data))
            }
        }
        if let told {
            for id in told.keys.sorted() where verdicts[id] == nil {
                let gone = Provider.Verdict(
                    status: "unhealthy", isAvailable: false, latencyMilliseconds: 0, message: "no longer among the gateway's providers")
                let data = ProviderWatch.data(id, names[id] ?? "", gone, 0)
                events.append(SourceEvent(kind: .providerStatus, timestamp: now, data: data))
            }
        }
        let isOther = told == nil || states.count != shown.count || states.contains { shown[$0.id] != $0.data }
        told = verdicts
        names = Dictionary(providers.map { ($0.id, $0.name) }, uniquingKeysWith: { first, _ in first })
        if isOther { shown = Dictionary(states.map { ($0.id, $0.data) }, uniquingKeysWith: { first, _ in first }) }
        nextExpiry = providers.compactMap(\.expiry).filter { $0 > now }.min()
        lastLook = now
        hasNews = false
        changedAt = [:]
        return (events, isOther ? states : nil)
    }
    private var names: [String: String] = [:]

    /// The row's own word for when it changed; when only time has passed, the moment that made the difference.
    private func changeInstant(_ provider: Provider, _ now: Instant) -> Instant {
        if let changed = changedAt[provider.id] { return changed }
        if !hasNews, let expiry = provider.expiry, expiry <= now, expiry > (lastLook ?? now) { return expiry }
        return now
    }

    private static func data(_ id: String, _ name: String, _ verdict: Provider.Verdict, _ successRate: Double) -> [UInt8] {
        var json = JSONWriter(reserving: 320)
        json.beginObject()
        json.key("provider_id")
        json.string(id)
        json.key("provider_name")
        json.string(name)
        json.key("status")
        json.string(verdict.status)
        json.key("available")
        json.bool(verdict.isAvailable)
        json.key("latency_ms")
        json.int(verdict.latencyMilliseconds)
        json.key("success_rate")
        json.double(successRate)
        json.key("message")
        json.string(verdict.message)
        json.endObject()
        return json.bytes
    }
}
