// One request that the gateway has answered.

/// A row of the gateway's request log (`request`).
public struct RequestEvent: StreamEvent {
    public var id: EventID?
    public var timestamp: String
    public var rawJSON: String

    public var requestID: String
    public var providerID: String
    public var providerName: String
    public var modelID: String
    public var modelName: String
    public var method: String
    public var endpoint: String
    public var statusCode: Int
    /// In milliseconds.
    public var latency: Int
    public var inputTokens: Int
    public var outputTokens: Int
    public var isSuccess: Bool
    /// nil where there is none.
    public var errorMessage: String?
    public var userID: String
    /// In dollars.
    public var estimatedCost: Double

    public init(
        requestID: String = "", providerID: String = "", providerName: String = "", modelID: String = "", modelName: String = "",
        method: String = "POST", endpoint: String = "", statusCode: Int = 200, latency: Int = 0, inputTokens: Int = 0, outputTokens: Int = 0,
        isSuccess: Bool = true, errorMessage: String? = nil, userID: String = "", estimatedCost: Double = 0, id: EventID? = nil,
        timestamp: String = "", rawJSON: String = ""
    ) {
        self.requestID = requestID
        self.providerID = providerID
        self.providerName = providerName
        self.modelID = modelID
        self.modelName = modelName
        self.method = method
        self.endpoint = endpoint
        self.statusCode = statusCode
        self.latency = latency
        self.inputTokens = inputTokens
        self.outputTokens = outputTokens
        self.isSuccess = isSuccess
        self.errorMessage = errorMessage
        self.userID = userID
        self.estimatedCost = estimatedCost
        self.id = id
        self.timestamp = timestamp
        self.rawJSON = rawJSON
    }

    init(_ envelope: Envelope) {
        let data = envelope.data
        self.init(
            requestID: data.text("request_id"), providerID: data.text("provider_id"), providerName: data.text("provider_name"),
            modelID: data.text("model_id"), modelName: data.text("model_name"), method: data.text("method"), endpoint: data.text("endpoint"),
            statusCode: data.integer("status_code"), latency: data.integer("latency_ms"), inputTokens: data.integer("input_tokens"),
            outputTokens: data.integer("output_tokens"), isSuccess: data.flag("success"), errorMessage: data["error_message"]?.string,
            userID: data.text("user_id"), estimatedCost: data.real("estimated_cost"), id: envelope.id, timestamp: envelope.timestamp,
            rawJSON: envelope.rawJSON)
    }
}
