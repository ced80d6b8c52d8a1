// What the daemon is asked for while those who share a connection come and go.

import Protocol

extension Machine {
    /// Between two messages that follow the subscribers, so that many who come at once are no flood. In nanoseconds.
    static let syncTime: UInt64 = 50_000_000
    /// After a message that the daemon had no room for.
    static let syncRetryTime: UInt64 = 1_000_000_000

    // MARK: what the application wants

    mutating func subscribe(_ channels: Set<Channel>, _ filters: Filters?) -> [Action] {
        var actions: [Action] = []
        var channels = channels
        var wanted = subscribers.own
        wanted.add(channels, filters)
        if let taken = subscribers.statistics(otherThan: wanted, of: Subscribers.ownID) {
            actions.append(Machine.refusal(taken, to: Subscribers.ownID))
            channels = channels.named.subtracting([.stats])
            wanted = subscribers.own
            wanted.add(channels, filters)
        }
        subscribers.own = wanted
        guard phase == .open, isTold, !channels.isEmpty else { return actions }
        return actions + sync(naming: channels)
    }

    mutating func unsubscribe(_ channels: Set<Channel>) -> [Action] {
        subscribers.own.remove(channels)
        return narrowed()
    }

    /// One more shares the connection.
    mutating func join(_ member: Subscribers.Member) -> [Action] {
        if let taken = subscribers.statistics(otherThan: member.wish, of: member.id) { return [Machine.refusal(taken, to: member.id), .finish(member.id)] }
        subscribers.add(member)
        isStale = true
        return []
    }

    mutating func leave(_ id: SubscriberID) {
        guard subscribers.members.contains(where: { $0.id == id }) else { return }
        subscribers.remove(id)
        isStale = true
        if subscribers.union.channels.isEmpty { position.forget() }
    }

    private mutating func narrowed() -> [Action] {
        if subscribers.union.channels.isEmpty { position.forget() }
        return phase == .open && isTold ? sync() : []
    }

    private static func refusal(_ taken: Filters.Stats, to id: SubscriberID) -> Action {
        .tell(
            .error(
                ServerError(
                    code: "invalid_filter", message: "invalid filter",
                    details: "this connection has the statistics of another subscriber (\(taken.words)); others need a connection of their own")),
            to: .only([id]))
    }

    // MARK: what the daemon is asked for

    /// Subscribes everything, from the position on.
    mutating func ask() -> Action {
        let request = position.request
        position.asked()
        asked = subscribers.union
        isStale = false
        isReplaying = request.since != nil || request.history != nil
        isAskRefused = false
        // Whoever is here by now gets what there was of before as well: it is what happened since they have been here, or what the options want.
        _ = subscribers.activate()
        askID = nextID()
        return .send(subscribers.union.message(id: askID, since: request.since, history: request.history))
    }

    /// Tells the daemon in what the wish has changed.
    /// - Parameter named: channels that are named even if nothing has changed.
    mutating func sync(naming named: Set<Channel> = []) -> [Action] {
        isStale = false
        nextSync = clock.monotonic() &+ Machine.syncTime
        let wanted = subscribers.union
        guard let asked else { return syncAll(wanted) }
        if asked.channels.isEmpty { return wanted.channels.isEmpty ? [] : [ask()] }
        self.asked = wanted
        var actions: [Action] = []
        let isEvery = wanted.channels.contains(.all)
        let gone = isEvery ? [] : asked.channels.named.subtracting(wanted.channels)
        if !gone.isEmpty {
            let isAll = wanted.channels.isEmpty && asked.channels.contains(.all)
            actions.append(sending { Subscription.ending(isAll ? [.all] : gone, id: $0) })
        }
        let changed = wanted.changes(from: asked.filters)
        var naming = named.intersection(wanted.channels.union(wanted.channels.named))
        if isEvery {
            if !asked.channels.contains(.all) || naming.isEmpty && !changed.isEmpty { naming.insert(.all) }
        } else {
            naming.formUnion(wanted.channels.subtracting(asked.channels.named))
            naming.formUnion(changed)
        }
        if !naming.isEmpty { actions.append(sending { Subscription(channels: naming, filters: wanted.filters).message(id: $0, changed: changed) }) }
        // The daemon gives the present state with a channel that is named, but statistics only to whom they are new.
        var fresh = wanted.channels.named.subtracting(asked.channels.named)
        if naming.named.contains(.providers) { fresh.insert(.providers) }
        return actions + activate(fresh: fresh)
    }

    /// The same where it is not known what the daemon has heard of.
    private mutating func syncAll(_ wanted: Subscription) -> [Action] {
        asked = wanted
        var actions: [Action] = []
        let gone = Set<Channel>([.all]).named.subtracting(wanted.channels.named)
        if !gone.isEmpty { actions.append(sending { Subscription.ending(wanted.channels.isEmpty ? [.all] : gone, id: $0) }) }
        if !wanted.channels.isEmpty { actions.append(sending { wanted.message(id: $0) }) }
        return actions + activate(fresh: [.providers])
    }

    private mutating func sending(_ message: (String) -> String) -> Action {
        let id = nextID()
        syncs.insert(id)
        return .send(message(id))
    }

    /// Whoever waits gets events from here on, and first the present state that the daemon is not going to send because of it.
    mutating func activate(fresh: Set<Channel>) -> [Action] {
        if isReplaying, !isAskRefused { return [] }
        return subscribers.activate().compactMap { member in
            let present = member.filter.channels.intersection([.stats, .providers]).subtracting(fresh)
            return present.isEmpty ? nil : .present(member, present)
        }
    }

    /// A message of ours was refused.
    /// - Returns: who is told.
    mutating func refused(_ id: String?, _ code: String) -> Recipients {
        guard let id else { return .everyone }
        if id == askID {
            // All of it, if no `ack` follows: then nothing of before comes that anybody has to wait for.
            isAskRefused = true
            followUp(after: Machine.syncTime)
        }
        guard syncs.remove(id) != nil, code == "rate_limited" else { return .everyone }
        // It is said again, so that nobody has to do anything.
        asked = nil
        followUp(after: Machine.syncRetryTime)
        return .only([Subscribers.ownID])
    }

    private mutating func followUp(after nanoseconds: UInt64) {
        isStale = true
        nextSync = clock.monotonic() &+ nanoseconds
    }
}
