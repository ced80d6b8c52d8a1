// Many subscriptions over a few connections.

import Base

/// Spreads subscriptions over at most so many connections to one daemon, each with a thread of its own.
///
/// A subscription goes to a connection that has the same channels and filters already, else to a new one, else to the one with the fewest among
/// those that have no other statistics. A connection ends with its last subscription. Each comes back by itself when it breaks, and goes on where it
/// was, whatever the others do. Any thread may call anything; nothing blocks.
public final class ClientPool: Sendable {
    /// Connections, at most.
    public let connectionsMax: Int

    private struct Connection {
        let number: Int
        let client: LiveClient
        var subscribers: [SubscriberID: Subscription]

        /// Whether a subscription may join: one connection has one window and interval of statistics.
        func fits(_ wish: Subscription) -> Bool {
            guard wish.channels.named.contains(.stats) else { return true }
            return subscribers.values.allSatisfy { !$0.channels.named.contains(.stats) || $0.filters.stats.isSame(as: wish.filters.stats) }
        }
    }

    private struct State {
        var connections: [Connection] = []
        var lastNumber = 0
        /// What the daemon has room for, as far as it is known.
        var allowed: Int

        func load(_ index: Int) -> Int { connections[index].subscribers.count }
    }

    private let options: Options
    private let target: Target
    /// Locked before a connection's own inbox, never after.
    private let state: Locked<State>

    /// - Parameters:
    ///   - options: where, as whom. Channels, filters, `since` and `history` are each subscription's own and not taken from here.
    ///   - connectionsMax: at least 1.
    /// - Throws: for an address that is none. Nothing is connected before there is a subscription.
    public init(_ options: Options, connectionsMax: Int = 4) throws(OptionsError) {
        self.connectionsMax = max(1, connectionsMax)
        var options = options
        target = try Target.parse(options.url).target
        options.channels = []
        options.filters = Filters()
        options.since = nil
        options.history = nil
        self.options = options
        state = Locked(State(allowed: max(1, connectionsMax)))
    }

    /// Connections that there are: open, or trying to be.
    public var connections: Int { state.withLock { $0.connections.count } }

    /// Connections that there may be. Less than `connectionsMax` where the daemon has refused one (HTTP 429): its subscriptions have moved to
    /// the others. When a connection has ended, one more is tried again.
    public var connectionsAllowed: Int { state.withLock { $0.allowed } }

    /// Events of these channels that these filters let pass.
    ///
    /// The sequence begins with the state of its connection. `stop()` ends all.
    /// - Parameters:
    ///   - since: events of before, as in `Options`. They come over a new connection, so that nobody else waits for them; later subscriptions
    ///     share it.
    ///   - history: the last so many events of before, likewise.
    ///   - buffer: how many events may wait for the reader, at least 2.
    /// - Throws: `invalid`, for what the daemon would refuse; `full`, where a new connection is needed for `since`, `history` or other
    ///   statistics, and there can be no more.
    public func subscription(
        _ channels: Set<Channel>, filters: Filters = Filters(), since: String? = nil, history: Int? = nil, buffer: Int = 1024
    ) throws(SubscriptionError) -> LiveSubscription {
        let wish = Subscription(channels: channels, filters: filters)
        _ = try SharedSubscriber.filter(of: wish)
        let id = try state.withLock { (state) throws(SubscriptionError) -> SubscriberID in
            state.lastNumber += 1
            let id = state.lastNumber
            let index = try place(wish, since, history, &state)
            state.connections[index].subscribers[id] = wish
            return id
        }
        do throws(SubscriptionError) {
            let (subscriber, stream) = try SharedSubscriber.make(id, wish, buffer: buffer) { [weak self] in self?.leave(id) }
            join(subscriber)
            return LiveSubscription(stream) { self.leave(id) }
        } catch {
            leave(id)
            throw error
        }
    }

    /// Ends all subscriptions and their connections. Later ones begin anew.
    public func stop() {
        let connections = state.withLock { state in
            defer { state = State(lastNumber: state.lastNumber, allowed: connectionsMax) }
            return state.connections
        }
        for connection in connections { connection.client.stop() }
    }

    // MARK: under the lock

    /// - Returns: the index of a connection.
    private func place(_ wish: Subscription, _ since: String?, _ history: Int?, _ state: inout State) throws(SubscriptionError) -> Int {
        let needsOwn = since != nil || history != nil
        if !needsOwn, let same = state.connections.firstIndex(where: { $0.fits(wish) && $0.subscribers.values.contains(wish) }) { return same }
        if state.connections.count < state.allowed {
            try open(since, history, &state)
            return state.connections.count - 1
        }
        guard !needsOwn else {
            throw .full("events of before need a connection of their own, and all \(state.allowed) of the pool are in use")
        }
        guard let least = state.connections.indices.filter({ state.connections[$0].fits(wish) }).min(by: { state.load($0) < state.load($1) }) else {
            throw .full("all \(state.allowed) connections of the pool have statistics of another window or interval than \(wish.filters.stats.words)")
        }
        return least
    }

    private func open(_ since: String?, _ history: Int?, _ state: inout State) throws(SubscriptionError) {
        state.lastNumber += 1
        let number = state.lastNumber
        let keeper = ClientLoop.Keeper(
            overflows: { [weak self] in self?.giveUp(number) ?? false },
            move: { [weak self] subscribers in
                for subscriber in subscribers { self?.join(subscriber) }
            },
            stopped: { [weak self] in self?.forget(number) })
        var options = options
        options.since = since
        options.history = history
        do throws(OptionsError) {
            let client = try LiveClient(options, target, Callbacks(), keeper: keeper)
            state.connections.append(Connection(number: number, client: client, subscribers: [:]))
        } catch {
            throw .full(error.description)
        }
    }

    // MARK: subscribers

    /// Puts a subscriber on the connection where it belongs by now; one that has left meanwhile is over.
    private func join(_ subscriber: SharedSubscriber) {
        let id = subscriber.member.id
        let isPlaced = state.withLock { state in
            guard let connection = state.connections.first(where: { $0.subscribers[id] != nil }) else { return false }
            connection.client.join(subscriber)
            connection.client.start()
            return true
        }
        if !isPlaced { subscriber.sequence.finish() }
    }

    private func leave(_ id: SubscriberID) {
        state.withLock { state in
            guard let index = state.connections.firstIndex(where: { $0.subscribers[id] != nil }) else { return }
            state.connections[index].subscribers[id] = nil
            state.connections[index].client.leave(id)
            guard state.connections[index].subscribers.isEmpty else { return }
            state.connections.remove(at: index).client.stop()
            state.allowed = connectionsMax
        }
    }

    // MARK: connections, on their threads

    /// - Returns: whether all who wait for this connection have a place on others that are open.
    private func giveUp(_ number: Int) -> Bool {
        state.withLock { state in
            guard let index = state.connections.firstIndex(where: { $0.number == number }) else { return false }
            var others = state
            let waiting = others.connections.remove(at: index).subscribers
            for (id, wish) in waiting.sorted(by: { $0.key < $1.key }) {
                let open = others.connections.indices.filter { others.connections[$0].client.isConnected && others.connections[$0].fits(wish) }
                guard let least = open.min(by: { others.load($0) < others.load($1) }) else { return false }
                others.connections[least].subscribers[id] = wish
            }
            others.allowed = max(1, others.connections.count)
            state = others
            return true
        }
    }

    private func forget(_ number: Int) {
        // The client is let go of outside of the lock.
        _ = state.withLock { state in
            state.connections.firstIndex { $0.number == number }.map { index in
                state.allowed = connectionsMax
                return state.connections.remove(at: index)
            }
        }
    }
}
