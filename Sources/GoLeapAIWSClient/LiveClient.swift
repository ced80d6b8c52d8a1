// The client that applications use.

import Base

/// Follows a daemon: stays connected, comes back by itself, goes on where it left off, and remembers the newest of what has come.
///
/// Any thread may call anything; nothing blocks. Callbacks come on a thread of the client's own. The connection ends with the last reference to
/// the client and its subscriptions.
public final class LiveClient: Sendable {
    private let loop: ClientLoop
    /// For a connection of its own that a subscription may need.
    private let options: Options
    private let target: Target
    private let lastID = Locked(Subscribers.ownID)

    /// - Throws: for an address that is none, and without descriptors. Nothing is connected yet.
    public convenience init(_ options: Options, _ callbacks: Callbacks = Callbacks()) throws(OptionsError) {
        var options = options
        let (target, channel) = try Target.parse(options.url)
        if let channel { options.channels.insert(channel) }
        try self.init(options, target, callbacks, keeper: nil)
    }

    init(_ options: Options, _ target: Target, _ callbacks: Callbacks, keeper: ClientLoop.Keeper?) throws(OptionsError) {
        self.options = options
        self.target = target
        do throws(SystemError) {
            loop = try ClientLoop(options, target, callbacks, keeper: keeper)
        } catch {
            throw OptionsError(description: "\(error)")
        }
    }

    /// The same for an address alone, such as `ws://localhost:8080/ws/logs`.
    public convenience init(_ url: String, _ callbacks: Callbacks = Callbacks()) throws(OptionsError) { try self.init(Options(url: url), callbacks) }

    deinit { loop.post(.stop) }

    /// Connects, subscribed to these channels beside those of the options. After `stopped`, begins again where it left off.
    public func start(_ channels: Channel...) { loop.post(.start(Set(channels))) }

    /// Closes the connection in order. `ConnectionState.stopped` is the last thing that is told.
    public func stop() { loop.post(.stop) }

    /// Adds channels, now and whenever the client connects.
    /// - Parameter filters: replace those of these channels; nil: they keep those they have.
    public func subscribe(_ channels: Set<Channel>, filters: Filters? = nil) { loop.post(.subscribe(channels, filters)) }

    /// Takes channels away; their filters go with them.
    public func unsubscribe(_ channels: Set<Channel>) { loop.post(.unsubscribe(channels)) }

    /// Everything that happens from now on, until the client has stopped.
    ///
    /// Whoever reads too slowly loses events, never more memory: a `Gap` with the reason `reader` says how many, in their place.
    /// - Parameter buffer: how many may wait for the reader, at least 2.
    public func events(buffer: Int = 1024) -> AsyncStream<ClientEvent> {
        let (stream, sequence) = EventSequence.make(most: buffer)
        loop.post(.follow(sequence))
        return stream
    }

    // MARK: several who share the connection

    /// Events of these channels that these filters let pass, beside the client's own and those of other subscriptions, over the same connection.
    ///
    /// The daemon is asked for what covers all of them, and each gets its own. It begins with what is live: with `connecting` or
    /// `connected`, the present statistics and states of providers where they are wanted. A connection has one window and interval of
    /// statistics; who wants others is told by a `ServerError` of `invalid_filter`, and the sequence ends: `ClientPool` finds another one.
    /// - Parameters:
    ///   - since: events of before, as in `Options`: the subscription then has a connection of its own, so that nobody else waits for them.
    ///   - history: the last so many events of before, likewise.
    ///   - buffer: how many events may wait for the reader, at least 2.
    /// - Throws: `invalid`, for what the daemon would refuse.
    public func subscription(
        _ channels: Set<Channel>, filters: Filters = Filters(), since: String? = nil, history: Int? = nil, buffer: Int = 1024
    ) throws(SubscriptionError) -> LiveSubscription {
        let wish = Subscription(channels: channels, filters: filters)
        guard since == nil, history == nil else { return try ownConnection(wish, since, history, buffer) }
        let id = lastID.withLock { last in
            last += 1
            return last
        }
        let (subscriber, stream) = try SharedSubscriber.make(id, wish, buffer: buffer) { [weak loop] in loop?.post(.leave(id)) }
        join(subscriber)
        return LiveSubscription(stream) { self.leave(id) }
    }

    private func ownConnection(_ wish: Subscription, _ since: String?, _ history: Int?, _ buffer: Int) throws(SubscriptionError) -> LiveSubscription {
        _ = try SharedSubscriber.filter(of: wish)
        var options = options
        options.channels = wish.channels
        options.filters = wish.filters
        options.since = since
        options.history = history
        let client: LiveClient
        do throws(OptionsError) {
            client = try LiveClient(options, target, Callbacks(), keeper: nil)
        } catch {
            throw .full(error.description)
        }
        let (stream, sequence) = EventSequence.make(most: buffer)
        sequence.whenLeft { [weak client] in client?.stop() }
        client.loop.post(.follow(sequence))
        client.start()
        return LiveSubscription(stream) { client.stop() }
    }

    func join(_ subscriber: SharedSubscriber) { loop.post(.join(subscriber)) }

    func leave(_ id: SubscriberID) { loop.post(.leave(id)) }

    // MARK: what has come

    /// nil before the first one.
    public var state: ConnectionState? { loop.recent.withLock { $0.state } }

    var isConnected: Bool { if case .connected? = state { true } else { false } }

    /// The newest figures.
    public var latestStats: StatsUpdate? { loop.recent.withLock { $0.stats } }

    /// The newest state of each provider, by name.
    public var providers: [ProviderStatus] { loop.recent.withLock { $0.providers } }

    /// The newest requests, oldest first; 500 are kept.
    public func recentRequests(limit: Int = 100) -> [RequestEvent] { loop.recent.withLock { $0.requests(limit: limit) } }

    /// The newest lines of a level and worse, oldest first; 1000 are kept.
    /// - Parameter level: `debug`, `info`, `warn`, `error`, `fatal` or `panic`; another word is as `debug`.
    public func recentLogs(limit: Int = 100, level: String = "debug") -> [LogEvent] {
        let recent = loop.recent.withLock { $0 }
        return recent.logs(limit: limit, level: LogEvent.Level(level) ?? .debug)
    }
}
