// What did not come, and why.

/// A hole in the stream: events that were not delivered (`gap`).
public struct Gap: StreamEvent {
    public var id: EventID?
    public var timestamp: String
    public var rawJSON: String

    /// `slow_consumer`, `history_expired`, `restarted`, `source_lag`, `source_lost`; `reader` where the application itself has read the
    /// sequence of events too slowly, which only this library tells.
    public var reason: String
    public var channels: [String]
    /// The hole begins behind this id. Kept as it came: an application may give any text as `since`.
    public var after: EventID?
    /// It ends with this one.
    public var resume: EventID?
    /// How many; nil where that is not known.
    public var dropped: Int?
    /// Of events without ids: the hole has those of this instant or later, RFC 3339.
    public var from: String?
    /// And before this one.
    public var until: String?

    public init(
        reason: String, channels: [String] = [], after: EventID? = nil, resume: EventID? = nil, dropped: Int? = nil, from: String? = nil,
        until: String? = nil, id: EventID? = nil, timestamp: String = "", rawJSON: String = ""
    ) {
        self.reason = reason
        self.channels = channels
        self.after = after
        self.resume = resume
        self.dropped = dropped
        self.from = from
        self.until = until
        self.id = id
        self.timestamp = timestamp
        self.rawJSON = rawJSON
    }

    /// The reason of a gap that this library tells: a bounded sequence that was read too slowly.
    public static let readerReason = "reader"

    init(_ envelope: Envelope) {
        let data = envelope.data
        self.init(
            reason: data.text("reason"), channels: (data["channels"]?.array ?? []).compactMap(\.string),
            after: data["after"]?.string.map { EventID($0) }, resume: data["resume"]?.string.map { EventID($0) },
            dropped: data["dropped"] == nil ? nil : data.integer("dropped"), from: data["from"]?.string, until: data["until"]?.string,
            id: envelope.id, timestamp: envelope.timestamp, rawJSON: envelope.rawJSON)
    }
}

/// A replay has been given; from here on events are live (`caught_up`).
public struct CaughtUp: StreamEvent {
    public var id: EventID? { nil }
    public var timestamp: String
    public var rawJSON: String
    /// Up to and with this id everything is settled.
    public var position: EventID?

    public init(position: EventID? = nil, timestamp: String = "", rawJSON: String = "") {
        self.position = position
        self.timestamp = timestamp
        self.rawJSON = rawJSON
    }
}
