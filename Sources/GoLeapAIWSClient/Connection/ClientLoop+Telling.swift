// Who is told: callbacks, sequences of the client, and those who share its connection.

extension ClientLoop {
    func tell(_ event: ClientEvent, to recipients: Recipients) {
        recent.withLock { $0.take(event) }
        if case .state(.connected) = event { hasConnected = true }
        switch recipients {
        case .everyone:
            tellOwn(event)
            for id in Array(subscribers.keys) { give(event, to: id) }
        case .only(let ids): for id in ids { id == Subscribers.ownID ? tellOwn(event) : give(event, to: id) }
        }
        if case .state(.stopped) = event {
            finishFollowers()
            retire()
        }
    }

    private func tellOwn(_ event: ClientEvent) {
        callbacks.call(event)
        for index in followers.indices.reversed() where !followers[index].give(event) { followers.remove(at: index) }
    }

    private func give(_ event: ClientEvent, to id: SubscriberID) { if subscribers[id]?.sequence.give(event) == false { leave(id) } }

    /// Tells of what readers have lost, as soon as there is room for it.
    func tellLost() {
        for index in followers.indices.reversed() where !followers[index].tellLost() { followers.remove(at: index) }
        for id in Array(subscribers.keys) where subscribers[id]?.sequence.tellLost() == false { leave(id) }
    }

    func finishFollowers() {
        for follower in followers { follower.finish() }
        followers = []
        for subscriber in subscribers.values { subscriber.sequence.finish() }
        subscribers = [:]
    }

    // MARK: those who share the connection

    func join(_ subscriber: SharedSubscriber) {
        var subscriber = subscriber
        // Whoever comes later knows as well where the client stands.
        if let state = recent.withLock({ $0.state }), isRetired || machine.isBusy { _ = subscriber.sequence.give(.state(state)) }
        if isRetired { return subscriber.sequence.finish() }
        subscribers[subscriber.member.id] = subscriber
        perform(machine.join(subscriber.member))
    }

    func leave(_ id: SubscriberID) {
        subscribers.removeValue(forKey: id)?.sequence.finish()
        machine.leave(id)
    }

    /// The present state of channels that the connection has already.
    func present(_ channels: Set<Channel>, to member: Subscribers.Member) {
        let recent = recent.withLock { $0 }
        if channels.contains(.stats), let stats = recent.stats, stats.window == member.wish.filters.stats.window ?? "5m" { give(.stats(stats), to: member.id) }
        guard channels.contains(.providers) else { return }
        for provider in recent.providers where member.filter.passes(providerID: provider.providerID) { give(.provider(provider), to: member.id) }
    }

    // MARK: a connection among others

    /// The daemon has no room for another connection: those who wait for this one share another.
    func overflow() {
        guard let keeper, !hasConnected, !isRetired, keeper.overflows() else { return }
        // Nobody joins any more; who has just done so is among the commands.
        let commands = inbox.withLock { inbox in
            defer { inbox.commands = [] }
            return inbox.commands
        }
        for command in commands {
            // That the connection ends is known here; those who move do not end with it.
            if case .stop = command { continue }
            take(command)
        }
        let moving = subscribers.values.sorted { $0.member.id < $1.member.id }
        subscribers = [:]
        keeper.move(moving)
        perform(machine.stop())
    }

    func retire() {
        guard let keeper, !isRetired else { return }
        isRetired = true
        keeper.stopped()
    }
}
