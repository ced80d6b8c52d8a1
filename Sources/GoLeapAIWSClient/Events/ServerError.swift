// What the daemon refused to do.

/// A message of ours that was not carried out (`error`). The connection stays.
public struct ServerError: StreamEvent, Error, CustomStringConvertible {
    public var id: EventID? { nil }
    public var timestamp: String
    public var rawJSON: String

    /// `invalid_json`, `invalid_message`, `unknown_type`, `invalid_channel`, `invalid_filter`, `unauthorized`, `forbidden`, `rate_limited`.
    public var code: String
    public var message: String
    public var details: String

    public init(code: String, message: String = "", details: String = "", timestamp: String = "", rawJSON: String = "") {
        self.code = code
        self.message = message
        self.details = details
        self.timestamp = timestamp
        self.rawJSON = rawJSON
    }

    init(_ envelope: Envelope) {
        let data = envelope.data
        self.init(
            code: data.text("code"), message: data.text("message"), details: data.text("details"), timestamp: envelope.timestamp,
            rawJSON: envelope.rawJSON)
    }

    public var description: String { details.isEmpty ? "\(code): \(message)" : "\(message): \(details)" }
}
