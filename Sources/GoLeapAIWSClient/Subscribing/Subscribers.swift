// Who shares one connection, and who of them is told what.

import Protocol

/// One of those who share a connection. 0 is the client's own subscription; the others are counted from 1.
typealias SubscriberID = Int

/// Who is told of something.
enum Recipients: Equatable, Sendable {
    case everyone
    case only([SubscriberID])
}

/// The client's own subscription and those beside it. A value.
struct Subscribers: Sendable {
    static let ownID: SubscriberID = 0

    /// A subscription beside the client's own.
    struct Member: Equatable, Sendable {
        let id: SubscriberID
        let wish: Subscription
        let filter: EventFilter
        /// Whether it is given events. Not while a replay runs that others have asked for: what is of before is not for it.
        fileprivate(set) var isActive = false

        init(id: SubscriberID, wish: Subscription, filter: EventFilter) {
            self.id = id
            self.wish = wish
            self.filter = filter
        }
    }

    var own: Subscription { didSet { refresh() } }
    private(set) var members: [Member] = []
    /// What covers everybody's wish.
    private(set) var union: Subscription
    /// nil where the daemon alone understands the client's own filters.
    private var ownFilter: EventFilter?
    /// Somebody has been here beside the client itself. Before that, what comes is what it has asked for.
    private var isShared = false

    init(own: Subscription) {
        self.own = own
        union = own
        refresh()
    }

    mutating func add(_ member: Member) {
        members.append(member)
        isShared = true
        refresh()
    }

    mutating func remove(_ id: SubscriberID) {
        members.removeAll { $0.id == id }
        refresh()
    }

    /// All but the client itself.
    mutating func removeAll() {
        members = []
        refresh()
    }

    /// - Returns: those that are given events only from here on.
    mutating func activate() -> [Member] {
        let waiting = members.filter { !$0.isActive }
        for index in members.indices { members[index].isActive = true }
        return waiting
    }

    private mutating func refresh() {
        // Why not is the daemon's to say.
        ownFilter = try? EventFilter(own.channels, own.filters)
        guard !members.isEmpty else { return union = own }
        let wishes = ([own] + members.map(\.wish)).filter { !$0.channels.isEmpty }
        let channels = wishes.reduce(into: Set<Channel>()) { $0.formUnion($1.channels) }
        union = Subscription(channels: channels.contains(.all) ? [.all] : channels, filters: Filters.union(wishes))
    }

    /// The statistics that a connection has already, where these are others: it can have one window and interval only.
    /// - Parameter id: whose wish it is.
    func statistics(otherThan wish: Subscription, of id: SubscriberID) -> Filters.Stats? {
        guard wish.channels.named.contains(.stats) else { return nil }
        let others = (id == Subscribers.ownID ? [] : [own]) + members.filter { $0.id != id }.map(\.wish)
        return others.first { $0.channels.named.contains(.stats) && !$0.filters.stats.isSame(as: wish.filters.stats) }?.filters.stats
    }

    /// Whom a message concerns.
    func recipients(of event: ClientEvent, _ message: Envelope) -> Recipients {
        guard isShared else { return .everyone }
        switch event {
        case .state, .error: return .everyone
        case .caughtUp: return .only([Subscribers.ownID] + members.filter(\.isActive).map(\.id))
        case .gap(let gap) where gap.id == nil:
            let concerned = Set(gap.channels.compactMap { Channel(rawValue: $0) }).named
            return .only(
                [Subscribers.ownID] + members.filter { $0.isActive && (concerned.isEmpty || !$0.filter.channels.isDisjoint(with: concerned)) }.map(\.id))
        default:
            var ids = members.filter { $0.isActive && $0.filter.passes(message) }.map(\.id)
            if ownTakes(message) { ids.append(Subscribers.ownID) }
            return .only(ids)
        }
    }

    private func ownTakes(_ message: Envelope) -> Bool {
        if let ownFilter { return ownFilter.passes(message) }
        guard let channel = message.eventChannel, channel != .all else { return !own.channels.isEmpty }
        return own.channels.named.contains(channel)
    }
}

extension Filters.Stats {
    /// Without a window the daemon gives `5m`.
    func isSame(as other: Filters.Stats) -> Bool { (window ?? "5m") == (other.window ?? "5m") && interval == other.interval }

    var words: String { "window \(window ?? "5m")" + (interval.map { ", interval \($0)" } ?? "") }
}
