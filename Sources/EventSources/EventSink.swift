// What the sources say, and to whom: the only words between the sampler and the rest of the daemon.

import Base

/// A channel that the sampler feeds.
public enum SourceChannel: String, CaseIterable, Sendable {
    case stats, providers, requests
}

/// Why events of a source may be missing; the text is the `reason` of a `gap`.
public enum SourceGap: String, Sendable {
    /// The database could not be read for more than 5 s; what was written meanwhile comes late.
    case lag = "source_lag"
    /// The database was replaced; what only the old one held is lost.
    case lost = "source_lost"
}

/// The span of time that a `stats_update` counts.
public enum StatsWindow: String, CaseIterable, Sendable {
    case oneMinute = "1m"
    case fiveMinutes = "5m"
    case oneHour = "1h"
    case day = "24h"

    public var minutes: Int64 {
        switch self {
        case .oneMinute: 1
        case .fiveMinutes: 5
        case .oneHour: 60
        case .day: 1440
        }
    }
    public var milliseconds: Int64 { minutes * 60_000 }
}

/// One event of a source, ready to be given an id and sent.
public struct SourceEvent: Sendable {
    public enum Kind: Sendable { case request, providerStatus }

    public let kind: Kind
    /// When it happened: the row's own instant, or for a change that mere time brought the moment it fell due.
    public let timestamp: Instant
    /// The JSON object of the event's `data`, compact.
    public let data: [UInt8]
    /// What filters and rights look at; nil where the row has none. The nil UUID counts as none for `userID`.
    public let providerID: String?
    public let modelID: String?
    public let userID: String?
    /// Requests: the row's verdict. Provider status: whether it is available.
    public let success: Bool
    public let latencyMilliseconds: Int64

    public init(
        kind: Kind, timestamp: Instant, data: [UInt8], providerID: String?, modelID: String? = nil,
        userID: String? = nil, success: Bool, latencyMilliseconds: Int64
    ) {
        self.kind = kind
        self.timestamp = timestamp
        self.data = data
        self.providerID = providerID
        self.modelID = modelID
        self.userID = userID
        self.success = success
        self.latencyMilliseconds = latencyMilliseconds
    }
}

/// Takes what the sources say. Called on the sampler's own threads, one call at a time per kind of call; it must not
/// block for long: while it does, nothing is read, and after 10 s the sampler no longer answers its beat.
public protocol EventSink: AnyObject, Sendable {
    /// New events in the order in which they are to be sent; one call per batch, never empty.
    func publish(_ events: [SourceEvent])
    /// Events of a channel may be missing or late from here on.
    func gap(channel: SourceChannel, reason: SourceGap)
    /// The present state of every provider (the `data` of a `provider_status`), sorted by id; whenever it changed.
    func providerStates(_ states: [(id: String, data: [UInt8])])
    /// A `stats_update` computed for the subscribers of one window and interval (seconds), for exactly the instant `at`.
    func stats(window: StatsWindow, interval: Int, at: Instant, data: [UInt8])
}

/// How a source is doing, for `/ready`.
public struct SourceStatus: Sendable, Equatable {
    public enum State: String, Sendable {
        /// Enabled, and not yet read for the first time.
        case starting
        case working
        case failing
    }

    /// `stats`, `requests` or `providers`.
    public let name: String
    public let state: State
    /// Milliseconds since the source was last known to be up to date; since the start if it never was.
    public let lagMilliseconds: Int64
    /// Why it fails, as a sentence; empty while it works.
    public let why: String

    public init(name: String, state: State, lagMilliseconds: Int64, why: String) {
        self.name = name
        self.state = state
        self.lagMilliseconds = lagMilliseconds
        self.why = why
    }
}
