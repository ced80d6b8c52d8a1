// The sampler thread: the only one that reads the gateway's database.

import Base
import Storage

/// Which of the sampler's sources are on.
public struct EnabledSources: Sendable {
    public var stats: Bool
    public var requests: Bool
    public var providers: Bool

    public init(stats: Bool = true, requests: Bool = true, providers: Bool = true) {
        self.stats = stats
        self.requests = requests
        self.providers = providers
    }
}

/// Reads the gateway's database and tells the sink. Every method may be called on any thread and returns at once.
public final class Sampler: Sendable {
    /// - Parameter path: the database file, as `DatabasePath.path(of:)` takes it from the configuration.
    public init(path: String, enabled: EnabledSources = EnabledSources(), clock: any Clock = SystemClock(), sink: any EventSink) {}

    /// Starts the threads; the first read of the database goes on behind it. Once only.
    public func start() {}
    /// Ends the threads, after the read that is going on (at most about a second, more only if the disk hangs).
    public func stop() {}

    /// A subscriber of this window and interval (seconds, 1...3600) has come. The first one of a group gets an update
    /// at once, or as soon as the window's rows have all been read, then one every interval.
    public func watch(window: StatsWindow, interval: Int) {}
    /// One has gone; balances `watch`.
    public func unwatch(window: StatsWindow, interval: Int) {}

    /// One entry per enabled source.
    public func status() -> [SourceStatus] { [] }

    /// Asks for a sign of life; `lastBeat` becomes the token soon, also while a read of the database hangs, but not
    /// when the sampler itself does.
    public func beat(_ token: UInt64) {}
    /// The last token answered; 0 before the first.
    public var lastBeat: UInt64 { 0 }
}
