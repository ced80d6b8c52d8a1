// What a client wants of the channels that it is subscribed to. Evaluated once per group of equal subscriptions.

import Base
import Protocol

/// Filter of `logs`.
public struct LogFilter: Hashable, Sendable {
    /// Bits of the severities wanted; nil: all, also events without a level.
    public var severities: UInt8?
    public var components: [[UInt8]] = []
    public var providerIDs: [[UInt8]] = []
    /// Text contained in the message, as `TextSearch.fold` makes it.
    public var contains: [UInt8] = []
    public init() {}
}

/// Filter of `requests`.
public struct RequestFilter: Hashable, Sendable {
    public var providerIDs: [[UInt8]] = []
    public var modelIDs: [[UInt8]] = []
    public var onlyErrors = false
    public var minLatency: Int64?
    /// Not a wish but a right: only this user's own. Set by `Subscription.audience` alone.
    var owner: [UInt8]?
    public init() {}
}

/// What a subscription to `stats` gets: which window, how often.
public struct StatsGroup: Hashable, Sendable {
    /// `1m`, `5m`, `1h` or `24h`.
    public var window: String
    /// Seconds between updates, 1...3600.
    public var interval: Int
    public init(window: String, interval: Int) {
        self.window = window
        self.interval = interval
    }
    public static let windows = ["1m", "5m", "1h", "24h"]
}

/// All filters of one client, one per channel.
public struct Filters: Hashable, Sendable {
    public var logs = LogFilter()
    public var providers: [[UInt8]] = []
    public var requests = RequestFilter()
    public var stats: StatsGroup

    public init(statsInterval: Int) { stats = StatsGroup(window: "5m", interval: statsInterval) }

    /// The parameters that each channel knows; a query parameter applies to each of them that is subscribed.
    public static let parameters: [Channel: [String]] = [
        .logs: ["level", "component", "provider_id", "q"],
        .stats: ["window", "interval"],
        .requests: ["provider_id", "model_id", "only_errors", "min_latency_ms"],
        .providers: ["provider_id"],
        .all: [],
    ]

    /// Sets one parameter of one channel from its text.
    public mutating func set(_ name: String, to text: String, on channel: Channel) throws(FilterError) {
        switch (channel, name) {
        case (.logs, "level"): logs.severities = try FilterValue.severities(text)
        case (.logs, "component"): logs.components = try FilterValue.list(name, text)
        case (.logs, "provider_id"): logs.providerIDs = try FilterValue.list(name, text)
        case (.logs, "q"):
            logs.contains = try FilterValue.search(name, text)
        case (.stats, "window"):
            guard StatsGroup.windows.contains(text) else { throw FilterError("window '\(ForeignText.shown(text))' is not one of 1m, 5m, 1h, 24h") }
            stats.window = text
        case (.stats, "interval"):
            guard let seconds = FilterValue.whole(text), (1...3600).contains(seconds) else {
                throw FilterError("interval '\(ForeignText.shown(text))' is not a whole number of seconds from 1 to 3600")
            }
            stats.interval = Int(seconds)
        case (.requests, "provider_id"): requests.providerIDs = try FilterValue.list(name, text)
        case (.requests, "model_id"): requests.modelIDs = try FilterValue.list(name, text)
        case (.requests, "only_errors"):
            guard text == "true" || text == "false" else { throw FilterError("only_errors '\(ForeignText.shown(text))' is not true or false") }
            requests.onlyErrors = text == "true"
        case (.requests, "min_latency_ms"):
            guard let number = FilterValue.whole(text) else { throw FilterError("min_latency_ms '\(ForeignText.shown(text))' is not a whole number of milliseconds") }
            requests.minLatency = number
        case (.providers, "provider_id"): providers = try FilterValue.list(name, text)
        default:
            let known = Filters.parameters[channel, default: []].joined(separator: ", ")
            throw FilterError("\(channel.name) has no filter '\(ForeignText.shown(name))'; it has \(known.isEmpty ? "none" : known)")
        }
    }

    /// Goes back to no filter for a channel.
    public mutating func clear(_ channel: Channel, statsInterval: Int) {
        switch channel {
        case .logs: logs = LogFilter()
        case .providers: providers = []
        case .requests: requests = RequestFilter()
        case .stats: stats = StatsGroup(window: "5m", interval: statsInterval)
        case .all: self = Filters(statsInterval: statsInterval)
        }
    }

    // MARK: evaluation

    /// Whether an event passes for these channels.
    func pass(_ entry: UnsafePointer<EventEntry>, of segment: Segment, channels: ChannelSet) -> Bool {
        let common = entry.pointee.channels.intersection(channels)
        if common.isEmpty { return false }
        if entry.pointee.flags & EventEntry.passesFilters != 0 { return true }
        if common.contains(ChannelSet(.logs)) {
            if let severities = logs.severities, entry.pointee.severity & severities == 0 { return false }
            return Filters.matches(logs.components, entry.pointee.component, segment)
                && Filters.matches(logs.providerIDs, entry.pointee.providerID, segment)
                && (logs.contains.isEmpty
                    || entry.pointee.message.isPresent
                        && TextSearch.contains(logs.contains, in: segment.text(of: entry.pointee.message)))
        }
        if common.contains(ChannelSet(.requests)) {
            if let owner = requests.owner, !Filters.matches([owner], entry.pointee.userID, segment) { return false }
            if requests.onlyErrors && entry.pointee.flags & EventEntry.isFailure == 0 { return false }
            if let least = requests.minLatency, entry.pointee.latency == EventEntry.noLatency || entry.pointee.latency < least {
                return false
            }
            return Filters.matches(requests.providerIDs, entry.pointee.providerID, segment)
                && Filters.matches(requests.modelIDs, entry.pointee.modelID, segment)
        }
        if common.contains(ChannelSet(.providers)) { return Filters.matches(providers, entry.pointee.providerID, segment) }
        return true
    }

    /// True where no event of these channels can be held back, so that a whole batch is one span.
    func isOpen(for channels: ChannelSet) -> Bool {
        (!channels.contains(ChannelSet(.logs)) || logs == LogFilter())
            && (!channels.contains(ChannelSet(.requests)) || requests == RequestFilter())
            && (!channels.contains(ChannelSet(.providers)) || providers.isEmpty)
    }

    private static func matches(_ wanted: [[UInt8]], _ field: FieldRange, _ segment: Segment) -> Bool {
        if wanted.isEmpty { return true }
        guard field.isPresent else { return false }
        let value = segment.text(of: field)
        return wanted.contains { $0.count == value.count && value.elementsEqual($0) }
    }
}
