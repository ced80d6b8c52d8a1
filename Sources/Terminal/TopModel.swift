// Everything that decides what the dashboard shows. A value: drawing reads it, `update` changes it, and neither touches a terminal or a socket.

import Base
import GoLeapAIWSClient

/// A table that the arrows can move in.
enum TopPane: Int, Sendable, CaseIterable {
    case providers, models, requests, logs

    var name: String {
        switch self {
        case .providers: "Providers"
        case .models: "Models"
        case .requests: "Requests"
        case .logs: "Logs"
        }
    }
}

/// One of the views.
enum TopTab: Int, Sendable, CaseIterable {
    case overview, providers, requests, logs

    var name: String {
        switch self {
        case .overview: "Overview"
        case .providers: "Providers"
        case .requests: "Requests"
        case .logs: "Logs"
        }
    }
}

/// The windows of statistics that the daemon has.
enum TopWindow: String, Sendable, CaseIterable {
    case minute = "1m"
    case fiveMinutes = "5m"
    case hour = "1h"
    case day = "24h"
}

/// What a table is sorted by.
enum TopOrder: Sendable, Equatable {
    case time, requests, name, state, latency, success, tokens, errors

    /// The orders of a pane, in the turn of the key.
    static func all(of pane: TopPane) -> [TopOrder] {
        switch pane {
        // What is not well comes first: where there is little room, it must not be below the edge.
        case .providers: [.state, .requests, .latency, .success, .name]
        case .models: [.requests, .latency, .success, .tokens, .name]
        case .requests: [.time, .latency, .tokens, .errors]
        case .logs: [.time, .errors]
        }
    }
}

/// Which row of a pane is selected.
struct TopCursor: Equatable, Sendable {
    /// What the row is known by, so that it stays selected while others come; nil: the first row, whichever that is.
    var key: String?
    /// Where it was, for when it is gone.
    var index = 0
}

/// What the loop is to do.
enum TopEffect: Equatable, Sendable {
    case quit
    /// Draw everything anew.
    case redraw
    /// Ask the daemon for the window of statistics that was chosen.
    case chooseWindow
    /// Ask it for the log's level that was chosen.
    case chooseLevel
    /// Connect once more, after the end.
    case reconnect
}

struct TopModel {
    /// What it was started with.
    struct Settings: Sendable {
        /// As the header shows it, without a credential.
        var address: String
        var isUnicode = true
        var hasColors = true
    }

    let settings: Settings
    var columns: Int
    var rows: Int
    var now: Instant
    /// Seconds east of UTC.
    var offset = 0

    var connection = ConnectionState.connecting
    /// Of the daemon; empty while it is not known.
    var version = ""
    /// Empty while it is not known.
    var role = ""
    var gaps = 0
    /// Events that gaps have told the loss of; where a gap does not say, it is only counted itself.
    var missed = 0
    /// Whether what was before has been given.
    private var hasCaughtUp = false
    /// The newest refusal of the daemon, or the newest gap.
    var notice = ""

    private(set) var feed = TopFeed()
    private var frozen: (feed: TopFeed, now: Instant)?
    /// Events that came during the pause.
    private(set) var heldBack = 0

    var tab = TopTab.overview
    var focus = TopPane.requests
    var cursors: [TopPane: TopCursor] = [:]
    var orders: [TopPane: Int] = [:]
    var filter = ""
    var isTyping = false
    var window = TopWindow.fiveMinutes
    var level = LogLine.Level.debug
    var isHelpOpen = false
    /// The pane of the row whose details are open.
    var details: TopDetails?

    init(_ settings: Settings, columns: Int, rows: Int, now: Instant) {
        self.settings = settings
        self.columns = columns
        self.rows = rows
        self.now = now
    }

    var isPaused: Bool { frozen != nil }
    /// What is drawn: as it is, or as it was when it was paused.
    var shown: TopFeed { frozen?.feed ?? feed }
    /// The instant that goes with it.
    var shownNow: Instant { frozen?.now ?? now }

    mutating func pause() {
        frozen = (feed, now)
        heldBack = 0
    }

    mutating func resume() {
        frozen = nil
        heldBack = 0
    }

    /// Takes one event of the connection in.
    mutating func apply(_ event: ClientEvent) {
        switch event {
        case .state(let state):
            connection = state
            if case .connected(let session) = state {
                role = session.role
                notice = ""
                feed.found()
            } else {
                feed.lost(at: now)
            }
        // We ask for more of before than may be kept. What is missing there is no loss.
        case .gap(let gap) where gap.reason == "history_expired" && !hasCaughtUp: break
        case .gap(let gap):
            gaps += 1
            if gap.channels.contains("requests") || gap.channels.contains("all") { feed.missed(until: now) }
            missed = missed.addingReportingOverflow(max(0, gap.dropped ?? 0)).partialValue
            notice = "gap: \(gap.reason.replacing("_", with: " "))\(gap.dropped.map { ", \($0) events missed" } ?? "")"
        case .error(let error): notice = SafeText.prefix(error.description, bytes: TopLimits.nameBytesMax)
        case .caughtUp:
            hasCaughtUp = true
            feed.settled()
        case .other: break
        case .stats, .provider, .request, .log:
            feed.take(event, now: now)
            if isPaused { heldBack += 1 }
        }
    }

    func order(of pane: TopPane) -> TopOrder {
        let all = TopOrder.all(of: pane)
        return all[(orders[pane] ?? 0) % all.count]
    }

    // MARK: Rows as they are shown

    var providerRows: [ProviderRow] {
        let filter = TopFilter(filter)
        let order = order(of: .providers)
        return shown.providers.filter { $0.matches(filter) }.sorted { a, b in
            switch order {
            case .state where a.state != b.state: return a.state < b.state
            case .state where a.requests ?? -1 != b.requests ?? -1: return a.requests ?? -1 > b.requests ?? -1
            case .latency where a.latency != b.latency: return a.latency > b.latency
            case .success where a.successRate != b.successRate: return a.successRate < b.successRate
            case .requests where a.requests ?? -1 != b.requests ?? -1: return a.requests ?? -1 > b.requests ?? -1
            default: return (a.name, a.id) < (b.name, b.id)
            }
        }
    }

    var modelRows: [ModelStats] {
        let filter = TopFilter(filter)
        let order = order(of: .models)
        return (shown.stats?.models ?? []).filter { filter.passes([$0.modelName, $0.modelID]) }.sorted { a, b in
            switch order {
            case .latency where a.averageLatency != b.averageLatency: return a.averageLatency > b.averageLatency
            case .success where a.successRate != b.successRate: return a.successRate < b.successRate
            case .tokens where a.tokens != b.tokens: return a.tokens > b.tokens
            case .requests where a.requests != b.requests: return a.requests > b.requests
            default: return (a.modelName, a.modelID) < (b.modelName, b.modelID)
            }
        }
    }

    /// Newest first, unless sorted by something else.
    var requestRows: [RequestRow] {
        let filter = TopFilter(filter)
        let rows = shown.requests.elements.reversed().filter { $0.matches(filter) }
        switch order(of: .requests) {
        case .latency: return rows.sorted { ($0.latency, $0.serial) > ($1.latency, $1.serial) }
        case .tokens: return rows.sorted { ($0.tokens, $0.serial) > ($1.tokens, $1.serial) }
        case .errors: return rows.sorted { ($0.isSuccess ? 0 : 1, $0.serial) > ($1.isSuccess ? 0 : 1, $1.serial) }
        default: return rows.sorted { ($0.instant, $0.serial) > ($1.instant, $1.serial) }
        }
    }

    /// Newest first, unless sorted by level. The daemon filters by level too: here for what came before the level was changed.
    var logRows: [LogRow] {
        let filter = TopFilter(filter)
        let rows = shown.logs.elements.reversed().filter { $0.level >= level && $0.matches(filter) }
        guard order(of: .logs) == .errors else { return rows.sorted { ($0.instant, $0.serial) > ($1.instant, $1.serial) } }
        return rows.sorted { ($0.level.rawValue, $0.instant, $0.serial) > ($1.level.rawValue, $1.instant, $1.serial) }
    }

    /// What the rows of a pane are known by, in their order.
    func keys(of pane: TopPane) -> [String] {
        switch pane {
        case .providers: providerRows.map(\.id)
        case .models: modelRows.map { $0.modelID + " " + $0.providerID }
        case .requests: requestRows.map { "\($0.serial)" }
        case .logs: logRows.map { "\($0.serial)" }
        }
    }

    /// The selected row, among rows known by `keys`: never outside. Nil without rows.
    func selection(in pane: TopPane, _ keys: [String]) -> Int? {
        guard !keys.isEmpty else { return nil }
        let cursor = cursors[pane] ?? TopCursor()
        guard let key = cursor.key else { return 0 }
        return keys.firstIndex(of: key) ?? min(cursor.index, keys.count - 1)
    }
}

/// A row that was opened, as it was then.
enum TopDetails: Equatable, Sendable {
    case request(RequestRow)
    case log(LogRow)
    case provider(ProviderRow)
    case model(ModelStats)
}
