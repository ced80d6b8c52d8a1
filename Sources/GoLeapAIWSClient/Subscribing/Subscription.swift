// What a client is subscribed to, and how it says so.

import Protocol

/// Channels and their filters. A value.
struct Subscription: Hashable, Sendable {
    private(set) var channels: Set<Channel>
    private(set) var filters: Filters

    init(channels: Set<Channel>, filters: Filters) {
        self.channels = channels
        self.filters = filters
    }

    /// - Parameter filters: of these channels; nil: those they have.
    mutating func add(_ added: Set<Channel>, _ filters: Filters?) {
        channels.formUnion(added)
        guard let filters else { return }
        let isEvery = added.contains(.all)
        if isEvery || added.contains(.logs) { self.filters.logs = filters.logs }
        if isEvery || added.contains(.stats) { self.filters.stats = filters.stats }
        if isEvery || added.contains(.requests) { self.filters.requests = filters.requests }
        if isEvery || added.contains(.providers) { self.filters.providers = filters.providers }
    }

    /// As the daemon does it: `all` takes everything away, and one channel less than all is the other three by name.
    mutating func remove(_ removed: Set<Channel>) {
        if removed.contains(.all) {
            channels = []
        } else if channels.contains(.all) {
            channels = Set(Channel.allCases).subtracting([.all]).subtracting(removed)
        } else {
            channels.subtract(removed)
        }
        if !channels.contains(.all) {
            if !channels.contains(.logs) { filters.logs = Filters.Logs() }
            if !channels.contains(.stats) { filters.stats = Filters.Stats() }
            if !channels.contains(.requests) { filters.requests = Filters.Requests() }
            if !channels.contains(.providers) { filters.providers = Filters.Providers() }
        }
    }

    /// What differs from another filter of the same channel.
    func changes(from other: Filters) -> Set<Channel> {
        var changed: Set<Channel> = []
        if filters.logs != other.logs { changed.insert(.logs) }
        if filters.stats != other.stats { changed.insert(.stats) }
        if filters.requests != other.requests { changed.insert(.requests) }
        if filters.providers != other.providers { changed.insert(.providers) }
        return changed.intersection(channels.named)
    }

    /// A `subscribe` message.
    /// - Parameter changed: channels whose filter is told in any case; the others tell theirs where they have one.
    func message(id: String, changed: Set<Channel> = [], since: String? = nil, history: Int? = nil) -> String {
        var json = JSONWriter()
        Subscription.begin("subscribe", id, channels, &json)
        json.key("filters")
        filters.write(for: channels, changed: changed, to: &json)
        if let since {
            json.key("since")
            json.string(since)
        }
        if let history {
            json.key("history")
            json.int(history)
        }
        json.endObject()
        json.endObject()
        return json.text
    }

    /// An `unsubscribe` message.
    static func ending(_ channels: Set<Channel>, id: String) -> String {
        var json = JSONWriter()
        begin("unsubscribe", id, channels, &json)
        json.endObject()
        json.endObject()
        return json.text
    }

    private static func begin(_ type: String, _ id: String, _ channels: Set<Channel>, _ json: inout JSONWriter) {
        json.beginObject()
        json.key("type")
        json.string(type)
        json.key("id")
        json.string(id)
        json.key("data")
        json.beginObject()
        json.key("channels")
        json.beginArray()
        for channel in Channel.allCases where channels.contains(channel) { json.string(channel.rawValue) }
        json.endArray()
    }
}
