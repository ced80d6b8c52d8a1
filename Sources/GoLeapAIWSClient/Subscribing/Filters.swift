// What a client wants of its channels; the daemon holds the rest back.

import Protocol

/// Filters by channel. The daemon judges them: what it does not understand comes back as a `ServerError`.
public struct Filters: Sendable, Hashable {
    public var logs = Logs()
    public var stats = Stats()
    public var requests = Requests()
    public var providers = Providers()

    public init() {}

    public init(logs: Logs = Logs(), stats: Stats = Stats(), requests: Requests = Requests(), providers: Providers = Providers()) {
        self.logs = logs
        self.stats = stats
        self.requests = requests
        self.providers = providers
    }

    public struct Logs: Sendable, Hashable {
        /// One level: that and worse; several with commas: exactly these.
        public var level: String?
        /// Exactly one of these.
        public var components: [String] = []
        public var providerIDs: [String] = []
        /// Contained in the message, in any case.
        public var text: String?

        public init(level: String? = nil, components: [String] = [], providerIDs: [String] = [], text: String? = nil) {
            self.level = level
            self.components = components
            self.providerIDs = providerIDs
            self.text = text
        }
    }

    public struct Stats: Sendable, Hashable {
        /// `1m`, `5m`, `1h` or `24h`.
        public var window: String?
        /// Seconds between updates, 1 to 3600.
        public var interval: Int?

        public init(window: String? = nil, interval: Int? = nil) {
            self.window = window
            self.interval = interval
        }
    }

    public struct Requests: Sendable, Hashable {
        public var providerIDs: [String] = []
        public var modelIDs: [String] = []
        public var onlyErrors = false
        /// Milliseconds.
        public var minLatency: Int?

        public init(providerIDs: [String] = [], modelIDs: [String] = [], onlyErrors: Bool = false, minLatency: Int? = nil) {
            self.providerIDs = providerIDs
            self.modelIDs = modelIDs
            self.onlyErrors = onlyErrors
            self.minLatency = minLatency
        }
    }

    public struct Providers: Sendable, Hashable {
        public var providerIDs: [String] = []

        public init(providerIDs: [String] = []) { self.providerIDs = providerIDs }
    }

    /// The value of `filters` for channels that are subscribed. Those without a filter get an empty one, since it replaces what was; but not
    /// those that are a part of `all` only, which the credential may not allow.
    /// - Parameter changed: channels whose filter is written in any case.
    func write(for channels: Set<Channel>, changed: Set<Channel> = [], to json: inout JSONWriter) {
        let isEvery = channels.contains(.all)
        let channels = channels.union(changed)
        json.beginObject()
        if channels.contains(.logs) || isEvery && logs != Logs() {
            json.key("logs")
            json.beginObject()
            Filters.text("level", logs.level, &json)
            Filters.list("component", logs.components, &json)
            Filters.list("provider_id", logs.providerIDs, &json)
            Filters.text("q", logs.text, &json)
            json.endObject()
        }
        if channels.contains(.stats) || isEvery && stats != Stats() {
            json.key("stats")
            json.beginObject()
            Filters.text("window", stats.window, &json)
            Filters.number("interval", stats.interval, &json)
            json.endObject()
        }
        if channels.contains(.requests) || isEvery && requests != Requests() {
            json.key("requests")
            json.beginObject()
            Filters.list("provider_id", requests.providerIDs, &json)
            Filters.list("model_id", requests.modelIDs, &json)
            if requests.onlyErrors {
                json.key("only_errors")
                json.bool(true)
            }
            Filters.number("min_latency_ms", requests.minLatency, &json)
            json.endObject()
        }
        if channels.contains(.providers) || isEvery && providers != Providers() {
            json.key("providers")
            json.beginObject()
            Filters.list("provider_id", providers.providerIDs, &json)
            json.endObject()
        }
        json.endObject()
    }

    private static func text(_ name: StaticString, _ value: String?, _ json: inout JSONWriter) {
        guard let value else { return }
        json.key(name)
        json.string(value)
    }

    private static func number(_ name: StaticString, _ value: Int?, _ json: inout JSONWriter) {
        guard let value else { return }
        json.key(name)
        json.int(value)
    }

    private static func list(_ name: StaticString, _ values: [String], _ json: inout JSONWriter) {
        guard !values.isEmpty else { return }
        json.key(name)
        json.beginArray()
        for value in values { json.string(value) }
        json.endArray()
    }
}
