// The daemon's judgement, once more: which events of a shared connection are for one of its subscribers.

import Protocol

/// What passes for one subscriber. Says of every event what the daemon would say to a client with these channels and filters; only rights
/// are the connection's own.
struct EventFilter: Hashable, Sendable {
    /// Every channel by its name; nothing is named `all`.
    let channels: Set<Channel>
    private let severities: UInt8?
    private let components: [[UInt8]]
    private let logProviders: [[UInt8]]
    private let text: [UInt8]
    private let requestProviders: [[UInt8]]
    private let models: [[UInt8]]
    private let onlyErrors: Bool
    private let minLatency: Int?
    private let providers: [[UInt8]]

    /// - Throws: in the daemon's words, for what it would refuse.
    init(_ channels: Set<Channel>, _ filters: Filters) throws(FilterError) {
        self.channels = channels.named
        severities = if let level = filters.logs.level { try FilterValue.severities(level) } else { nil }
        components = try EventFilter.list("component", filters.logs.components)
        logProviders = try EventFilter.list("provider_id", filters.logs.providerIDs)
        text = try FilterValue.search("q", filters.logs.text ?? "")
        requestProviders = try EventFilter.list("provider_id", filters.requests.providerIDs)
        models = try EventFilter.list("model_id", filters.requests.modelIDs)
        onlyErrors = filters.requests.onlyErrors
        minLatency = filters.requests.minLatency
        providers = try EventFilter.list("provider_id", filters.providers.providerIDs)
        if let minLatency, minLatency < 0 { throw FilterError("min_latency_ms '\(minLatency)' is not a whole number of milliseconds") }
        if let window = filters.stats.window, !EventFilter.windows.contains(window) {
            throw FilterError("window '\(ForeignText.shown(window))' is not one of \(EventFilter.windows.joined(separator: ", "))")
        }
        if let interval = filters.stats.interval, !(1...3600).contains(interval) {
            throw FilterError("interval '\(interval)' is not a whole number of seconds from 1 to 3600")
        }
    }

    private static let windows = ["1m", "5m", "1h", "24h"]

    private static func list(_ name: String, _ values: [String]) throws(FilterError) -> [[UInt8]] {
        values.isEmpty ? [] : try FilterValue.list(name, values.joined(separator: ","))
    }

    /// Whether an event is for this subscriber.
    func passes(_ message: Envelope) -> Bool {
        guard let channel = message.eventChannel, channel != .all else { return !channels.isEmpty }
        guard channels.contains(channel) else { return false }
        // What a source says of itself (`gap`) passes every filter.
        if message.type == "gap" { return true }
        switch channel {
        case .logs:
            return passes(severity: message.data) && EventFilter.matches(components, message.data, "component")
                && EventFilter.matches(logProviders, message.data, "provider_id") && contains(message.data)
        case .requests:
            return (!onlyErrors || message.data["success"] == .bool(false)) && passes(latency: message.data)
                && EventFilter.matches(requestProviders, message.data, "provider_id") && EventFilter.matches(models, message.data, "model_id")
        case .providers: return EventFilter.matches(providers, message.data, "provider_id")
        case .stats, .all: return true
        }
    }

    /// Whether the present state of a provider is for this subscriber.
    func passes(providerID: String) -> Bool { channels.contains(.providers) && (providers.isEmpty || providers.contains(Array(providerID.utf8))) }

    private func passes(severity data: JSON) -> Bool {
        guard let severities else { return true }
        guard let level = data.firstText("level") else { return severities & Severity.info.bit != 0 }
        // A level that is none of the known ones passes no filter that names some.
        guard let severity = Array(level.utf8).withUnsafeBytes({ Severity(name: $0) }) else { return false }
        return severities & severity.bit != 0
    }

    private func passes(latency data: JSON) -> Bool {
        guard let minLatency else { return true }
        guard let number = data.object?.lazy.filter({ $0.key == "latency_ms" }).compactMap({ $0.value.double }).first else { return false }
        return number.rounded(.down) >= Double(minLatency)
    }

    private func contains(_ data: JSON) -> Bool {
        if text.isEmpty { return true }
        guard let message = data.firstText("message") else { return false }
        return Array(message.utf8).withUnsafeBytes { TextSearch.contains(text, in: $0) }
    }

    private static func matches(_ wanted: [[UInt8]], _ data: JSON, _ name: String) -> Bool {
        if wanted.isEmpty { return true }
        guard let value = data.firstText(name) else { return false }
        return wanted.contains(Array(value.utf8))
    }
}

extension Envelope {
    /// The channel of an event; nil where the message does not tell it.
    var eventChannel: Channel? {
        if !channel.isEmpty { return Channel(rawValue: channel) }
        return switch type {
        case "log": .logs
        case "request": .requests
        case "provider_status": .providers
        case "stats_update": .stats
        default: nil
        }
    }
}

extension JSON {
    /// Of equal members the first that is a text.
    fileprivate func firstText(_ key: String) -> String? { object?.lazy.filter { $0.key == key }.compactMap { $0.value.string }.first }
}

extension Set<Channel> {
    /// Each channel by its name, also where all are meant.
    var named: Set<Channel> { contains(.all) ? Set(Channel.allCases).subtracting([.all]) : self }
}
