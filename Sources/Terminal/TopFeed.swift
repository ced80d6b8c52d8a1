// Everything that has come from the daemon and is shown. A pause keeps a copy of it, which costs nothing until something comes.

import Base
import GoLeapAIWSClient

struct TopFeed {
    private(set) var stats: StatsUpdate?
    /// How late the last statistics came, by the two clocks, in milliseconds.
    private(set) var lag: Int64 = 0
    private(set) var requests = LastElements<RequestRow>(max: TopLimits.requestsMax)
    private(set) var logs = LastElements<LogRow>(max: TopLimits.logsMax)
    private(set) var series = TrafficSeries()
    /// By id.
    private(set) var health: [String: ProviderRow] = [:]
    private var serial = 0

    /// Takes one event in.
    mutating func take(_ event: ClientEvent, now: Instant) {
        serial += 1
        switch event {
        case .stats(let update): take(update, now)
        case .provider(let status): take(status, now)
        case .request(let request):
            let row = RequestRow(request, serial: serial, now: now)
            requests.append(row)
            series.add(latency: row.latency, at: row.instant, now: now)
        case .log(let log): logs.append(LogRow(log, serial: serial, now: now))
        case .gap, .caughtUp, .error, .other, .state: break
        }
    }

    /// The connection is gone, or is there again; and what was between the two did not come.
    mutating func lost(at now: Instant) { series.lose(at: now) }
    mutating func found() { series.find() }
    mutating func settled() { series.settle() }
    mutating func missed(until now: Instant) { series.miss(until: now) }

    private mutating func take(_ update: StatsUpdate, _ now: Instant) {
        var update = update
        // It would be kept for nothing.
        update.rawJSON = ""
        update.providers = Array(update.providers.prefix(TopLimits.providersMax))
        update.models = update.models.prefix(TopLimits.providersMax).map { model in
            var model = model
            model.modelID = SafeText.prefix(model.modelID, bytes: TopLimits.nameBytesMax)
            model.modelName = SafeText.prefix(model.modelName.isEmpty ? model.modelID : model.modelName, bytes: TopLimits.nameBytesMax)
            return model
        }
        lag = update.instant.map { now.milliseconds - $0.milliseconds } ?? 0
        stats = update
    }

    private mutating func take(_ status: ProviderStatus, _ now: Instant) {
        let id = SafeText.prefix(status.providerID, bytes: TopLimits.nameBytesMax)
        let before = health[id]
        guard before != nil || health.count < TopLimits.providersMax else { return }
        let state = ProviderRow.State(status.status)
        health[id] = ProviderRow(
            id: id, name: SafeText.prefix(status.providerName.isEmpty ? status.providerID : status.providerName, bytes: TopLimits.nameBytesMax),
            state: state, since: before?.state == state ? before?.since : status.instant ?? now,
            message: SafeText.prefix(status.message, bytes: TopLimits.messageBytesMax), successRate: status.successRate, latency: status.latency)
    }

    /// Health and statistics of each provider, in no order that means something.
    var providers: [ProviderRow] {
        var rows = health
        for part in stats?.providers ?? [] {
            let id = SafeText.prefix(part.providerID, bytes: TopLimits.nameBytesMax)
            var row =
                rows[id]
                ?? ProviderRow(
                    id: id, name: SafeText.prefix(part.providerName.isEmpty ? part.providerID : part.providerName, bytes: TopLimits.nameBytesMax),
                    state: .unknown, message: "", successRate: 0, latency: 0)
            row.requests = part.requests
            row.tokens = part.tokens
            row.errors = part.errorCount
            if part.requests > 0 {
                row.successRate = part.successRate
                row.latency = part.averageLatency
            }
            rows[id] = row
        }
        return Array(rows.values)
    }
}
