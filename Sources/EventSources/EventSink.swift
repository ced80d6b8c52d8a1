// What the sources say, and to whom: the only words between the sources and the rest of the daemon.

import Base
import Protocol

/// A channel that a source feeds: the first three from the database, `logs` from the journal.
public enum SourceChannel: String, CaseIterable, Sendable {
    case stats, providers, requests, logs

    /// What its source is called in `/ready`, in the log and in the configuration.
    var sourceName: String { self == .logs ? "journal" : rawValue }
}

/// Why events of a source may be missing; the text is the `reason` of a `gap`.
public enum SourceGap: String, Sendable {
    /// The source could not be read for more than 5 s; what was written meanwhile comes late.
    case lag = "source_lag"
    /// The database was replaced and what only the old one held is lost, or the journal says itself that it has lost lines.
    case lost = "source_lost"
}

extension SourceGap {
    /// The data of a `gap`.
    /// - Parameter dropped: how many events are missing, where the source says it.
    public func data(_ channel: SourceChannel, dropped: UInt64? = nil) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("reason")
        writer.string(rawValue)
        writer.key("channels")
        writer.beginArray()
        writer.string(channel.rawValue)
        writer.endArray()
        if let dropped {
            writer.key("dropped")
            writer.int(Int64(clamping: dropped))
        }
        writer.endObject()
        return writer.bytes
    }
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
    public enum Kind: Sendable {
        case request, providerStatus, log
        /// Lines are missing here: the journal says so itself. The data is that of a `gap`.
        case gap
    }

    public let kind: Kind
    /// When it happened: the row's own instant, the journal entry's, or for a change that mere time brought the moment it fell due.
    public let timestamp: Instant
    /// The JSON object of the event's `data`, compact.
    public let data: [UInt8]
    /// The journal entry that it was made of (the last one, of a line in several parts); nil for rows.
    public let entry: JournalPlace?

    public init(kind: Kind, timestamp: Instant, data: [UInt8], entry: JournalPlace? = nil) {
        self.kind = kind
        self.timestamp = timestamp
        self.data = data
        self.entry = entry
    }
}

/// Takes what the sources say. Called on the sources' own threads, one call at a time per kind of call; it must not
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

    /// `stats`, `requests`, `providers` or `journal`.
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
