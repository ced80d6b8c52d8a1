// Events of types that only their publisher knows.

/// An event of a free type, as an admin may publish it.
public struct OtherEvent: StreamEvent {
    public var id: EventID?
    public var timestamp: String
    public var rawJSON: String

    public var type: String
    /// `logs`, `stats`, `providers`, `requests` or `all`.
    public var channel: String
    /// Any JSON value.
    public var dataJSON: String

    public init(type: String, channel: String = "all", dataJSON: String = "null", id: EventID? = nil, timestamp: String = "", rawJSON: String = "") {
        self.type = type
        self.channel = channel
        self.dataJSON = dataJSON
        self.id = id
        self.timestamp = timestamp
        self.rawJSON = rawJSON
    }

    init(_ envelope: Envelope) {
        self.init(
            type: envelope.type, channel: envelope.channel, dataJSON: envelope.data.json, id: envelope.id, timestamp: envelope.timestamp,
            rawJSON: envelope.rawJSON)
    }
}
