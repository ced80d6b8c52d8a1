// How often somebody was told that events are missing, by reason.

import Base

/// Why events are missing; the text is the `reason` of a `gap`.
public enum GapReason: String, CaseIterable, Sendable {
    // Of one client.
    case slowConsumer = "slow_consumer"
    case historyExpired = "history_expired"
    case restarted
    // Of a channel.
    case sourceLag = "source_lag"
    case sourceLost = "source_lost"
}

/// Gaps told since the start.
public typealias GapCounters = CaseCounters<GapReason>
