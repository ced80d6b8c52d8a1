// How a provider is doing.

/// The state of one provider (`provider_status`): sent when it changes, and to new subscribers.
public struct ProviderStatus: StreamEvent {
    public var id: EventID?
    public var timestamp: String
    public var rawJSON: String

    public var providerID: String
    public var providerName: String
    /// `healthy`, `degraded` or `unhealthy`.
    public var status: String
    public var isAvailable: Bool
    /// In milliseconds.
    public var latency: Int
    /// 0 to 1.
    public var successRate: Double
    /// Why it is not healthy; else empty.
    public var message: String

    public init(
        providerID: String, providerName: String, status: String = "healthy", isAvailable: Bool = true, latency: Int = 0, successRate: Double = 1,
        message: String = "", id: EventID? = nil, timestamp: String = "", rawJSON: String = ""
    ) {
        self.providerID = providerID
        self.providerName = providerName
        self.status = status
        self.isAvailable = isAvailable
        self.latency = latency
        self.successRate = successRate
        self.message = message
        self.id = id
        self.timestamp = timestamp
        self.rawJSON = rawJSON
    }

    init(_ envelope: Envelope) {
        let data = envelope.data
        self.init(
            providerID: data.text("provider_id"), providerName: data.text("provider_name"), status: data.text("status"),
            isAvailable: data.flag("available"), latency: data.integer("latency_ms"), successRate: data.real("success_rate"),
            message: data.text("message"), id: envelope.id, timestamp: envelope.timestamp, rawJSON: envelope.rawJSON)
    }
}
