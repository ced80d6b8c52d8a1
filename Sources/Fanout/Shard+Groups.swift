// Which client is in which group.

import Base
import Protocol

extension Shard {
    /// Gives a client a subscription: moves it between groups, and sends what new subscribers get at once.
    ///
    /// - Parameters:
    ///   - subscription: everything the client is subscribed to from now on.
    ///   - fresh: the channels whose present state it is to get.
    ///   - answer: a message that goes out before the first event that this allows. Asked for when what was published before has been
    ///     handed out.
    ///   - replay: events of before that it wants of the `fresh` channels.
    func subscribe(
        _ index: UInt32, to subscription: Subscription, fresh: ChannelSet, answer: () -> ControlMessage? = { nil }, replay: ReplayRequest? = nil
    ) {
        assertOwned()
        // What was published before belongs to the subscription before; a present state given below would be doubled by it.
        fanOut()
        let client = client(index)
        let details = client.pointee.details
        let before = details.subscription
        counters.count(before.channels, by: -1)
        counters.count(subscription.channels, by: 1)
        details.subscription = subscription
        var answer = answer()
        if client.pointee.group == nil || before.audience != subscription.audience {
            if let backlog = details.backlog, let former = client.pointee.group?.takeUnretainedValue() {
                // For what still waits the subscription before counts, and the answer comes behind it; but where a replay follows it comes
                // before that.
                backlog.change(
                    from: former.evaluator, at: cursor, ending: replay == nil ? answer.map { .message($0) } ?? .nothing : .nothing)
                if replay == nil { answer = nil }
            } else {
                details.backlog?.beginPresent(at: cursor)
            }
            leaveGroup(index)
            if !subscription.effective.isEmpty { enterGroup(index, subscription.audience) }
        }
        if let answer { enqueue(framed(answer, for: index), for: index) }
        let fresh = fresh.effective.intersection(subscription.rights.channels)
        if fresh.contains(ChannelSet(.providers)) { enqueueProviders(index) }
        if before.statsGroup != subscription.statsGroup {
            if let old = before.statsGroup { leaveStats(index, old) }
            if let new = subscription.statsGroup { enterStats(index, new) }
        }
        if let replay { self.replay(replay, of: fresh, heard: before.effective, for: index) }
        if !client.pointee.flags.contains(.blocked) { drain(index) }
    }

    /// The present state of the providers, as far as the client wants it. Where none is known yet, it comes with the first look.
    private func enqueueProviders(_ index: UInt32) {
        let client = client(index)
        let details = client.pointee.details
        let known = hub.providerFrames(client.pointee.encoding, wanted: details.subscription.filters.providers)
        details.knowsProviders = known.isLooked
        enqueue(known.frames, for: index)
    }

    /// The providers have been looked at for the first time: whoever subscribed before gets their state now.
    func deliverFirstProviders() {
        assertOwned()
        forEachClient { index, client in
            let details = client.pointee.details
            guard client.pointee.flags.isDisjoint(with: [.http, .ended, .closing]), !details.knowsProviders,
                details.subscription.effective.contains(ChannelSet(.providers))
            else { return }
            enqueueProviders(index)
            if client.pointee.flags.isDisjoint(with: [.blocked, .ready]) { drain(index) }
        }
    }

    private func enterGroup(_ index: UInt32, _ audience: Audience) {
        let client = client(index)
        let key = GroupKey(audience: audience, encoding: client.pointee.encoding)
        let group: Group
        if let present = groups[key] {
            group = present
        } else {
            group = Group(audience, client.pointee.encoding)
            groups[key] = group
            // Who has them made waits for them; nobody else does.
            groupList.insert(group, at: group.encoding.isMadeAhead ? 0 : groupList.count)
        }
        client.pointee.groupPosition = group.add(index)
        client.pointee.group = Unmanaged.passUnretained(group)
        if client.pointee.flags.contains(.behind) { group.behind += 1 }
    }

    private func leaveGroup(_ index: UInt32) {
        let client = client(index)
        guard let group = client.pointee.group?.takeUnretainedValue() else { return }
        let position = client.pointee.groupPosition
        if client.pointee.flags.contains(.behind) { group.behind -= 1 }
        if let moved = group.remove(at: position) { self.client(moved).pointee.groupPosition = position }
        client.pointee.group = nil
        if group.members.isEmpty {
            groups[group.key] = nil
            groupList.removeAll { $0 === group }
        }
    }

    private func enterStats(_ index: UInt32, _ key: StatsGroup) {
        let (number, present) = hub.join(key, client(index).pointee.encoding)
        let stats = statsGroups[key] ?? StatsMembers(number: number)
        statsGroups[key] = stats
        stats.members.insert(index)
        if let present { push(present, number: number, to: index) }
    }

    private func leaveStats(_ index: UInt32, _ key: StatsGroup) {
        guard let stats = statsGroups[key] else { return }
        stats.members.remove(index)
        if stats.members.isEmpty { statsGroups[key] = nil }
        hub.leave(key, client(index).pointee.encoding)
    }

    /// Takes a client that is closed or gone out of everything that gives it events.
    func leaveGroups(_ index: UInt32) {
        let client = client(index)
        guard !client.pointee.flags.contains(.http) else { return }
        let details = client.pointee.details
        leaveGroup(index)
        if let key = details.subscription.statsGroup { leaveStats(index, key) }
        counters.count(details.subscription.channels, by: -1)
        details.subscription.channels = []
        abandonBacklog(client)
    }
}
