// What the sampler does each time it wakes: look at the file, read what is new, tell the sink.

import Base
import Storage

/// The sampler without its threads: `step` does what is due, with whatever clock. Owner: the sampler thread.
final class SamplerCore {
    /// How often the database is asked whether something has changed.
    static let pollNanoseconds: UInt64 = 50_000_000
    /// How often the path is looked at, whether it still names the open file.
    private static let lookNanoseconds: UInt64 = 100_000_000
    /// After a lock.
    private static let busyRetryNanoseconds: UInt64 = 20_000_000
    /// After any other failure: at first it is likely to be a matter of moments (a file that is just being put in place).
    private static let failureRetryNanoseconds: UInt64 = 50_000_000
    private static let laterRetryNanoseconds: UInt64 = 250_000_000
    private static let retrySoonNanoseconds: UInt64 = 5_000_000_000
    /// Providers are few, but with two hundred commits a second there is no need to read them each time.
    private static let providersNanoseconds: UInt64 = 200_000_000
    /// States given to new subscribers carry a success rate no older than this.
    private static let ratesNanoseconds: UInt64 = 5_000_000_000
    private static let evictNanoseconds: UInt64 = 60_000_000_000

    private(set) var enabled: EnabledSources
    let clock: any Clock
    let sink: any EventSink
    let health: SourceHealth
    let phase: SamplerPhase
    private(set) var database: GatewayDatabase
    let statsTimer: StatsTimer
    private let counters: SamplerCounters
    private let published: PublishedPlaces
    private let names: ProviderNames

    private(set) var tail = RequestTail()
    private var reader = TimestampReader()
    private var encoder = RequestEncoder()
    var stats: RequestStats?
    private(set) var providers = ProviderWatch()

    private let started: Instant
    private var mayHaveMissed = false
    /// The file read last; another one is a replaced database.
    private var lastFile: GatewayDatabase.FileID?
    private var isOtherFile = false
    private var lastVersion: Int64?
    private var hasMore = true
    private var providersStale = true
    private var providersReadAt: UInt64?
    private var ratesAt: UInt64 = 0
    private var evictedAt: UInt64
    private var lookedAt: UInt64?
    private var failingSince: UInt64?
    private var wasFull = false

    init(
        path: String, enabled: EnabledSources, clock: any Clock, sink: any EventSink, health: SourceHealth,
        phase: SamplerPhase, subscriptions: Subscriptions, published: PublishedPlaces = PublishedPlaces(),
        names: ProviderNames = ProviderNames(), counters: SamplerCounters = SamplerCounters()
    ) {
        self.enabled = enabled
        self.clock = clock
        self.sink = sink
        self.health = health
        self.phase = phase
        self.published = published
        self.names = names
        self.counters = counters
        database = GatewayDatabase(path: path)
        statsTimer = StatsTimer(subscriptions)
        started = clock.now()
        evictedAt = clock.monotonic()
        stats = SamplerCore.horizon(enabled).map { RequestStats(horizon: $0, now: started) }
    }

    /// How far back requests are counted; nil where nobody asks.
    private static func horizon(_ enabled: EnabledSources) -> StatsWindow? {
        enabled.stats ? .day : enabled.providers ? .fiveMinutes : nil
    }

    /// Goes on with other sources or another database.
    func adopt(path: String, enabled wanted: EnabledSources) {
        // Without a source nothing was followed.
        if channels.isEmpty { tail = RequestTail() }
        let horizon = SamplerCore.horizon(wanted)
        if horizon != stats?.horizon { stats = horizon.map { RequestStats(horizon: $0, now: clock.now()) } }
        if !wanted.requests { published.request.withLock { $0 = nil } }
        enabled = wanted
        hasMore = true
        providersStale = true
        providersReadAt = nil
        lastVersion = nil
        lookedAt = nil
        if path != database.path {
            database.close()
            database = GatewayDatabase(path: path)
        }
    }

    /// Does what is due.
    /// - Returns: nanoseconds until it should be called again; earlier is fine.
    func step() -> UInt64 {
        phase.begin(.reading)
        let monotonic = clock.monotonic()
        if database.session == nil || lookedAt.map({ monotonic &- $0 >= SamplerCore.lookNanoseconds }) ?? true {
            lookedAt = monotonic
            if let wait = look() { return wait }
        }
        do throws(DatabaseError) {
            try readWhatChanged()
            counters.reads.add(.ok)
            phase.begin(.working)
            tellProviders()
            return try tellStats()
        } catch {
            return failed(error)
        }
    }

    /// Makes sure that the open file is the one at the path.
    /// - Returns: nil if it is, and it can be read; otherwise nanoseconds until to look again.
    private func look() -> UInt64? {
        switch database.look() {
        case .open: return nil
        case .replaced:
            // Its writer may have committed something just before.
            while database.session != nil, (try? readRequests(isLast: true)) == false {}  // nothing more can be had of it
            database.close()
            hasMore = true
            lastVersion = nil
            lookedAt = nil
            return 0
        case .failing(let sentence):
            mayHaveMissed = true
            counters.reads.add(.failed)
            channels.forEach { health.bad($0, sentence) }
            // A file that has only lost its name may still be written.
            if database.session != nil { _ = try? readRequests(isLast: true) }  // the failure is reported already
            lookedAt = nil
            return waitAfterFailure()
        }
    }

    private var channels: [SourceChannel] { enabled.channels }

    private func failed(_ error: DatabaseError) -> UInt64 {
        mayHaveMissed = true
        hasMore = true
        providersStale = true
        let sentence = database.sentence(error)
        counters.reads.add(error.isBusy ? .busy : error.isInterrupted ? .interrupted : .failed)
        if error.isBusy {
            channels.forEach { health.waits($0, for: sentence) }
            return SamplerCore.busyRetryNanoseconds
        }
        channels.forEach { health.bad($0, sentence) }
        if error.code.primary == DatabaseError.Code.error.rawValue {
            // Tables may yet come, or come back with other columns.
            database.session?.requests = nil
            database.session?.providers = nil
        } else if !error.isInterrupted {
            database.close()
            lastVersion = nil
        }
        return waitAfterFailure()
    }

    private func waitAfterFailure() -> UInt64 {
        let now = clock.monotonic()
        let began = failingSince ?? now
        failingSince = began
        return now &- began < SamplerCore.retrySoonNanoseconds
            ? SamplerCore.failureRetryNanoseconds : SamplerCore.laterRetryNanoseconds
    }

    // MARK: reading

    private func readWhatChanged() throws(DatabaseError) {
        guard let session = database.session else { return }
        isOtherFile = lastFile.map { $0 != session.file } ?? false
        let version = try session.connection.dataVersion()
        if version != lastVersion {
            lastVersion = version
            hasMore = true
            providersStale = true
            statsTimer.modelsMayHaveChanged = true
        }
        let now = clock.monotonic()
        if providersStale, enabled.stats || enabled.providers || enabled.names,
            providersReadAt.map({ now &- $0 >= SamplerCore.providersNanoseconds }) ?? true
        {
            if session.providers == nil { database.session?.providers = try ProviderQueries(session.connection) }
            if let rows = try database.session?.providers?.read() {
                providers.update(rows)
                names.set(rows.map { ($0.name, $0.id) })
            }
            providersStale = false
            providersReadAt = now
        }
        let isCheckDue = stats?.isCheckDue(monotonic: now, version: version) ?? false
        if channels.isEmpty {
            hasMore = false  // names are all that is asked for
        } else if hasMore || isCheckDue || stats?.isLoading == true {
            hasMore = try !readRequests(isLast: false)
        }
        if now &- evictedAt >= SamplerCore.evictNanoseconds {
            evictedAt = now
            stats?.evict(now: clock.now())
        }
        failingSince = nil
        health.good(channels)
        tellIfFull()
    }

    /// Says once when there are more rows than are kept.
    private func tellIfFull() {
        guard let stats, stats.isFull != wasFull else { return }
        wasFull = stats.isFull
        guard wasFull else { return }
        Log.warn(
            "statistics: more requests than are kept in memory (\(RowStore.rowsMax)); windows that begin before "
                + "\(stats.store.keptFrom.rfc3339) have no figures")
    }

    /// Reads new rows, and when there are none, goes on with whatever else is to be read, a few milliseconds long.
    ///
    /// - Parameter isLast: only new rows, from a file that has been replaced or removed.
    /// - Returns: whether nothing is left to be read at once.
    private func readRequests(isLast: Bool) throws(DatabaseError) -> Bool {
        guard let session = database.session else { return true }
        if session.requests == nil { database.session?.requests = try RequestQueries(session.connection) }
        guard let queries = database.session?.requests else { return true }
        var events: [SourceEvent] = []
        var isDone = false
        var place = RequestTail.Place.kept
        let wasOther = isOtherFile
        var budget = ReadBudget(clock)
        // What was read before an error stays read: the tail's position has moved past it, so it has to be told.
        defer {
            phase.begin(.working)
            if enabled.requests, place == .lost || wasOther && !isOtherFile { sink.gap(channel: .requests, reason: .lost) }
            if enabled.providers, wasOther && !isOtherFile { sink.gap(channel: .providers, reason: .lost) }
            if !events.isEmpty { sink.publish(events) }
            // Not before they are out: whoever reads rows of before up to here must not meet one that is still to come.
            if enabled.requests, tail.hasBegun { published.request.withLock { $0 = tail.place } }
            phase.begin(.reading)
        }
        try session.connection.read { () throws(DatabaseError) in
            if !tail.hasBegun {
                try tail.begin(queries, newFrom: mayHaveMissed ? started : nil)
                isOtherFile = false
            } else {
                place = try tail.locate(queries, isOtherFile: isOtherFile, now: clock.now())
                if isOtherFile || place == .emptied || place == .lost { stats?.reset(now: clock.now()) }
            }
            isOtherFile = false
            lastFile = session.file
            isDone = try tail.read(queries, &reader, &budget) { row, timestamp, isNew in
                stats?.append(row, timestamp)
                if isNew { counters.addRow() }
                if isNew, enabled.requests {
                    events.append(encoder.event(row, timestamp: timestamp?.instant, now: clock.now()))
                }
            }
            guard isDone, !isLast else { return }
            if try tail.remember(queries, &reader) { isDone = false }
            if try stats?.readOn(queries, clock: clock, version: lastVersion ?? 0, isUrgent: place == .rowsDeleted) == true {
                isDone = false
            }
        }
        return isDone
    }

    // MARK: telling

    private func tellProviders() {
        guard enabled.providers, providersReadAt != nil else { return }
        let monotonic = clock.monotonic()
        let now = clock.now()
        guard providers.isDue(at: now) || monotonic &- ratesAt >= SamplerCore.ratesNanoseconds,
            let sums = stats?.sums(.fiveMinutes, at: now), let pairs = stats?.store.pairs.pairs
        else { return }
        ratesAt = monotonic
        var rates: [String: RowSums] = [:]
        for (index, part) in sums.byPair.enumerated() where part.requests > 0 {
            if let pair = pairs[index] { rates[pair.provider, default: RowSums()].add(part) }
        }
        let news = providers.look(at: now) { rates[$0]?.successRate }
        if let states = news.states { sink.providerStates(states) }
        if !news.events.isEmpty { sink.publish(news.events) }
    }

    private func tellStats() throws(DatabaseError) -> UInt64 {
        guard enabled.stats, var stats, let queries = database.session?.requests else { return wait(for: nil) }
        // Taken out while it changes, so that it is never copied.
        self.stats = nil
        defer { self.stats = stats }
        let next = try statsTimer.run(&stats, providers: providers.byID, queries: queries, clock: clock, sink: sink, phase: phase)
        return wait(for: next)
    }

    private func wait(for next: UInt64?) -> UInt64 {
        if hasMore { return 0 }
        return min(next ?? .max, SamplerCore.pollNanoseconds)
    }
}
