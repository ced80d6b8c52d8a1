// The client that applications use.

import Base

/// Follows a daemon: stays connected, comes back by itself, goes on where it left off, and remembers the newest of what has come.
///
/// Any thread may call anything; nothing blocks. Callbacks come on a thread of the client's own. The connection ends with the last reference.
public final class LiveClient: Sendable {
    private let loop: ClientLoop

    /// - Throws: for an address that is none, and without descriptors. Nothing is connected yet.
    public init(_ options: Options, _ callbacks: Callbacks = Callbacks()) throws(OptionsError) {
        var options = options
        let (target, channel) = try Target.parse(options.url)
        if let channel { options.channels.insert(channel) }
        do throws(SystemError) {
            loop = try ClientLoop(options, target, callbacks)
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

    // MARK: what has come

    /// nil before the first one.
    public var state: ConnectionState? { loop.recent.withLock { $0.state } }

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
