// The gateway's figures over a window of time.

import Protocol

/// The figures of the last minutes or hours (`stats_update`). A state: it has no id, and the newest one replaces those before.
public struct StatsUpdate: StreamEvent {
    public var id: EventID?
    public var timestamp: String
    public var rawJSON: String

    public var totalRequests: Int
    public var totalTokens: Int
    /// 0 to 1.
    public var successRate: Double
    /// In milliseconds, as all latencies here.
    public var averageLatency: Int
    public var requestsPerMinute: Int
    public var errorCount: Int
    public var latencyP50: Int
    public var latencyP95: Int
    public var latencyP99: Int
    public var inputTokens: Int
    public var outputTokens: Int
    /// In dollars.
    public var estimatedCost: Double
    /// Most requests first.
    public var providers: [ProviderStats]
    /// Most requests first.
    public var models: [ModelStats]
    /// The instant for which the figures were made, RFC 3339.
    public var calculatedAt: String
    /// `1m`, `5m`, `1h` or `24h`.
    public var window: String

    public init(
        totalRequests: Int = 0, totalTokens: Int = 0, successRate: Double = 0, averageLatency: Int = 0, requestsPerMinute: Int = 0,
        errorCount: Int = 0, latencyP50: Int = 0, latencyP95: Int = 0, latencyP99: Int = 0, inputTokens: Int = 0, outputTokens: Int = 0,
        estimatedCost: Double = 0, providers: [ProviderStats] = [], models: [ModelStats] = [], calculatedAt: String = "", window: String = "5m",
        id: EventID? = nil, timestamp: String = "", rawJSON: String = ""
    ) {
        self.totalRequests = totalRequests
        self.totalTokens = totalTokens
        self.successRate = successRate
        self.averageLatency = averageLatency
        self.requestsPerMinute = requestsPerMinute
        self.errorCount = errorCount
        self.latencyP50 = latencyP50
        self.latencyP95 = latencyP95
        self.latencyP99 = latencyP99
        self.inputTokens = inputTokens
        self.outputTokens = outputTokens
        self.estimatedCost = estimatedCost
        self.providers = providers
        self.models = models
        self.calculatedAt = calculatedAt
        self.window = window
        self.id = id
        self.timestamp = timestamp
        self.rawJSON = rawJSON
    }

    init(_ envelope: Envelope) {
        let data = envelope.data
        self.init(
            totalRequests: data.integer("total_requests"), totalTokens: data.integer("total_tokens"), successRate: data.real("success_rate"),
            averageLatency: data.integer("avg_latency_ms"), requestsPerMinute: data.integer("requests_per_min"),
            errorCount: data.integer("error_count"), latencyP50: data.integer("latency_p50_ms"), latencyP95: data.integer("latency_p95_ms"),
            latencyP99: data.integer("latency_p99_ms"), inputTokens: data.integer("input_tokens"), outputTokens: data.integer("output_tokens"),
            estimatedCost: data.real("estimated_cost"), providers: (data["provider_stats"]?.array ?? []).map { ProviderStats($0) },
            models: (data["model_stats"]?.array ?? []).map { ModelStats($0) }, calculatedAt: data.text("calculated_at"),
            window: data.text("time_window"), id: envelope.id, timestamp: envelope.timestamp, rawJSON: envelope.rawJSON)
    }
}

/// One provider's part in a `StatsUpdate`.
public struct ProviderStats: Sendable, Equatable {
    public var providerID: String
    public var providerName: String
    public var requests: Int
    public var tokens: Int
    public var successRate: Double
    public var averageLatency: Int
    public var errorCount: Int
    public var isAvailable: Bool

    public init(
        providerID: String, providerName: String, requests: Int = 0, tokens: Int = 0, successRate: Double = 0, averageLatency: Int = 0,
        errorCount: Int = 0, isAvailable: Bool = true
    ) {
        self.providerID = providerID
        self.providerName = providerName
        self.requests = requests
        self.tokens = tokens
        self.successRate = successRate
        self.averageLatency = averageLatency
        self.errorCount = errorCount
        self.isAvailable = isAvailable
    }

    init(_ data: JSON) {
        self.init(
            providerID: data.text("provider_id"), providerName: data.text("provider_name"), requests: data.integer("requests"),
            tokens: data.integer("tokens"), successRate: data.real("success_rate"), averageLatency: data.integer("avg_latency_ms"),
            errorCount: data.integer("error_count"), isAvailable: data.flag("available"))
    }
}

/// One model's part in a `StatsUpdate`.
public struct ModelStats: Sendable, Equatable {
    public var modelID: String
    public var modelName: String
    public var providerID: String
    public var requests: Int
    public var tokens: Int
    public var successRate: Double
    public var averageLatency: Int
    public var errorCount: Int

    public init(
        modelID: String, modelName: String, providerID: String = "", requests: Int = 0, tokens: Int = 0, successRate: Double = 0,
        averageLatency: Int = 0, errorCount: Int = 0
    ) {
        self.modelID = modelID
        self.modelName = modelName
        self.providerID = providerID
        self.requests = requests
        self.tokens = tokens
        self.successRate = successRate
        self.averageLatency = averageLatency
        self.errorCount = errorCount
    }

    init(_ data: JSON) {
        self.init(
            modelID: data.text("model_id"), modelName: data.text("model_name"), providerID: data.text("provider_id"),
            requests: data.integer("requests"), tokens: data.integer("tokens"), successRate: data.real("success_rate"),
            averageLatency: data.integer("avg_latency_ms"), errorCount: data.integer("error_count"))
    }
}
