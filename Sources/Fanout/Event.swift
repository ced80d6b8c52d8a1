// An event on its way in: what a producer hands to the hub.

import Base

/// One event before it has an id.
public struct EventDraft: Sendable {
    public var channel: Channel
    /// The message's `type`. Not one of `ControlType.names`: the publishing side refuses those.
    public var type: String
    /// The instant of the origin where there is one, else that of publishing.
    public var timestamp: Instant
    /// The value of `data`: validated JSON without insignificant white space. Passed on byte for byte.
    public var data: [UInt8]
    /// True for state of our own sources, of which a client that is behind needs the newest only (`provider_status`).
    public var isConflatable: Bool
    /// Who made it, and whether it can be had from there again.
    public var origin: EventOrigin
    /// Who publishes it, for the metrics.
    public var publisher: Publisher
    /// True for what every subscriber of its channel must see, whatever its filters: a `gap` of a source.
    public var passesFilters: Bool
    /// The `request_id` by which its source knows a row whose `data` has been masked; never sent.
    var archiveID: [UInt8]?

    public init(
        channel: Channel, type: String, timestamp: Instant, data: [UInt8], isConflatable: Bool = false, passesFilters: Bool = false,
        origin: EventOrigin = .producer, publisher: Publisher = .broadcast
    ) {
        self.channel = channel
        self.type = type
        self.timestamp = timestamp
        self.data = data
        self.isConflatable = isConflatable
        self.origin = origin
        self.publisher = publisher
        self.passesFilters = passesFilters || channel == .all
    }
}

/// Who publishes an event; the text is the metric label.
public enum Publisher: String, CaseIterable, Sendable {
    /// A producer, through /admin/ws/broadcast or the Unix socket.
    case broadcast
    case journal, requests, providers, stats
    /// We: a `gap` of a channel.
    case daemon
    case demo
}

/// Where an event comes from.
public enum EventOrigin: Sendable, Equatable {
    /// Published, or told by a source that keeps nothing: history is the only one that has it.
    case producer
    /// A row of the gateway's table, named by the `request_id` of its data.
    case table
    /// An entry of the journal: hash of its sequence number id, and its sequence number.
    case journal(sequenceID: UInt64, sequence: UInt64)
}

/// The message types that are the protocol's own.
public enum MessageType {
    /// Types that nobody may publish: control messages, and the sampler's state.
    public static let reserved: Set<String> = [
        "", "stats_update", "error", "ping", "pong", "ack", "gap", "drain", "caught_up", "welcome", "close", "subscribe", "unsubscribe", "auth",
    ]
    /// Types that belong to one channel; an event of any other type names its channel.
    public static let ofChannel: [String: Channel] = [
        "log": .logs, "request": .requests, "provider_status": .providers, "stats_update": .stats,
    ]
}
