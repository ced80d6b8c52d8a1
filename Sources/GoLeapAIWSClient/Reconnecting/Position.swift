// Where a client stands in the stream, so that after a break it goes on without a hole and without a double.

import Base
import Host

/// What is settled, and what to ask for next time. A value: events in, judgement out.
struct Position: Sendable {
    /// What the application asked for in the first place: `since` and `history` as the daemon takes them.
    let since: String?
    let history: Int?

    /// Everything up to and with this has come, or was not for us.
    private(set) var settled: EventID?
    /// Something has been subscribed. Before that nobody has missed anything.
    private var hasAsked = false
    /// A replay was asked for, and no place in the stream is known yet but by its events.
    private var isAsking = false
    /// Whether the replay that the application asked for has been given to its end, or goes on by ids.
    private var isFirstOver = false
    /// The last instant of a replay by time, whose events have no ids, and what has come of it.
    private var instant: String?
    private var ofInstant: [String: Int] = [:]
    /// What of `ofInstant` comes again, since the replay was asked for anew from that instant on.
    private var again: [String: Int] = [:]
    /// The beginning of `since=5m`, by the daemon's clock, when it was first asked for.
    private var beginning: Instant?

    /// Events of one instant that are remembered, at most: a database holds so many of one millisecond only when times are made up.
    private static let ofInstantMax = 4096

    init(since: String? = nil, history: Int? = nil) {
        self.since = since
        self.history = history
        isFirstOver = since == nil && history == nil
    }

    /// What the next `subscribe` asks for.
    var request: (since: String?, history: Int?) {
        if !hasAsked, since == nil, history == nil { return (nil, nil) }
        if let settled { return (settled.text, nil) }
        if isFirstOver { return (nil, nil) }
        if let instant { return (instant, nil) }
        if let beginning { return (beginning.rfc3339, history) }
        return (since, history)
    }

    /// A `subscribe` with `request` was sent.
    mutating func asked() {
        isAsking = asksForMore
        hasAsked = true
        again = ofInstant
        ofInstant = [:]
    }

    /// Nothing is subscribed any more: whoever comes next has missed nothing.
    mutating func forget() { if hasAsked { self = Position() } }

    private var asksForMore: Bool { request.since != nil || request.history != nil }

    /// The daemon has taken it up: from here on, a position that it tells counts for the replay too.
    mutating func acknowledged() { isAsking = false }

    /// A `welcome` came, before anything was asked for.
    mutating func welcomed(at timestamp: String, position: EventID?) {
        if beginning == nil, !isFirstOver, settled == nil, let since, let duration = DurationText.parse(since) {
            beginning = Instant(parsing: timestamp)?.advanced(byMilliseconds: -duration.wholeMilliseconds)
        }
        // Where a replay is going to be asked for, only its events settle anything.
        if !asksForMore, let position { settle(position) }
    }

    /// A `ping` or `pong` has told a position.
    mutating func told(_ position: EventID) { if !isAsking { settle(position) } }

    /// The replay is over.
    mutating func caughtUp(_ position: EventID?) {
        isAsking = false
        isFirstOver = true
        instant = nil
        ofInstant = [:]
        again = [:]
        if let position { settle(position) }
    }

    /// An event has come.
    /// - Returns: false for one that has come before.
    mutating func takes(_ event: ClientEvent) -> Bool {
        switch event {
        case .state, .error, .caughtUp, .stats: return true
        case .gap(let gap):
            if let resume = gap.resume { settle(resume) }
            return take(gap)
        case .provider(let event): return take(event)
        case .other(let event): return take(event)
        // These alone come from the gateway's table and its journal, where nothing has an id.
        case .log(let event): return event.id == nil ? takeByTime(event) : take(event)
        case .request(let event): return event.id == nil ? takeByTime(event) : take(event)
        }
    }

    private mutating func take(_ event: some StreamEvent) -> Bool {
        guard let id = event.id else { return true }
        if let settled, let epoch = settled.epoch, epoch == id.epoch, let mine = settled.sequence, let its = id.sequence, its <= mine { return false }
        settle(id)
        return true
    }

    private mutating func takeByTime(_ event: some StreamEvent) -> Bool {
        guard settled == nil, !isFirstOver, !event.timestamp.isEmpty else { return true }
        if event.timestamp != instant {
            instant = event.timestamp
            ofInstant = [:]
            again = [:]
        }
        if ofInstant.count < Position.ofInstantMax { ofInstant[event.rawJSON, default: 0] += 1 }
        // Two equal lines of one millisecond are two; they are doubles only as often as they have come before.
        guard let count = again[event.rawJSON], count > 0 else { return true }
        again[event.rawJSON] = count - 1
        return false
    }

    /// Goes forward within an epoch; another epoch is a daemon that has begun anew.
    private mutating func settle(_ id: EventID) {
        guard let sequence = id.sequence, let epoch = id.epoch else { return }
        isFirstOver = true
        if let settled, settled.epoch == epoch, let mine = settled.sequence, mine >= sequence { return }
        settled = id
    }
}
