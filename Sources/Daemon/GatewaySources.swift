// What the daemon reads of the gateway: the sampler of its database and the follower of its journal, and what both keep for replays.

import Base
import EventSources
import Fanout
import Host
import Server
import Storage

/// The sources that are turned on. Any thread may ask; `start`, `apply` and `stop` are the service's.
final class GatewaySources: Sendable {
    private let hub: Hub
    private let bridge: SourceBridge
    /// Instead of `database.connection`: the demo's gateway, which has no unit either.
    private let demoDatabase: String?
    private let sampler: Sampler
    private let published = PublishedPlaces()
    private let names = ProviderNames()
    private let counters = JournalCounters()
    private let own = OwnService.present()
    private let journal = Locked<JournalSource?>(nil)

    /// - Throws: `StartError` where `database.connection` names no file.
    init(_ settings: Settings, hub: Hub, bridge: SourceBridge, demoDatabase: String?) throws {
        self.hub = hub
        self.bridge = bridge
        self.demoDatabase = demoDatabase
        let path = demoDatabase ?? DatabasePath.path(of: settings.database.connection)
        guard let path else {
            throw StartError(description: "database.connection '\(withoutPasswords(settings.database.connection))' names no file; give a path or file:PATH")
        }
        sampler = Sampler(
            path: path, enabled: EnabledSources(settings, readsJournal: demoDatabase == nil), sink: bridge, published: published, names: names)
        bridge.sampler.withLock { [sampler] in $0 = sampler }
        hub.setStatsSource(bridge)
    }

    /// The gateway's database as these settings name it; `load` has seen to it that they do.
    func databasePath(_ settings: Settings) -> String { demoDatabase ?? DatabasePath.path(of: settings.database.connection) ?? "" }

    /// Begins to read. Once.
    func start(_ settings: Settings) throws {
        if let error = sampler.start() { throw error }
        try follow(settings)
        keep(settings)
    }

    /// Goes on as other settings want it.
    func apply(_ settings: Settings) {
        guard let path = demoDatabase ?? DatabasePath.path(of: settings.database.connection) else { return }
        sampler.apply(path: path, enabled: EnabledSources(settings, readsJournal: demoDatabase == nil))
        do {
            try follow(settings)
        } catch {
            Log.error("the journal is not followed: \(error)", .sourceFailing, [.source("journal")])
        }
        keep(settings)
    }

    /// Ends the threads; waits for them only as long as a thread that does not hang may take. What was told to stop is asked for no sign of
    /// life any more.
    func stop() {
        bridge.sampler.withLock { $0 = nil }
        sampler.stop()
        present?.stop()
    }

    /// Each source as it is.
    func status() -> [SourceStatus] { sampler.status() + (present.map { [$0.status()] } ?? []) }

    /// Notices what lags. About once a second; not on the sources' own threads.
    func check() { present?.check() }

    /// What they have counted, for /admin/ws/stats; nothing where no journal was ever read.
    var counts: [(name: String, count: Int64)] { present == nil && counters.entries == 0 ? [] : counters.all }

    /// What they have counted, for /metrics.
    var numbers: SourceNumbers {
        var numbers = SourceNumbers()
        numbers.databaseReads = DatabaseReadResult.allCases.map { ($0.rawValue, sampler.counters.reads.count($0)) }
        numbers.databaseRows = sampler.counters.rows
        (numbers.samplerReadingNanoseconds, numbers.samplerWorkingNanoseconds) = sampler.spent
        numbers.journalEntries = counters.entries
        numbers.journalLines = counters.lines
        numbers.journalParts = counters.parts
        numbers.journalTruncated = counters.truncated
        numbers.journalSuppressed = counters.suppressed
        numbers.journalOwn = counters.own
        return numbers
    }

    private var present: JournalSource? { journal.withLock { $0 } }

    private func journalOptions(_ settings: Settings) -> JournalOptions? {
        guard settings.sources.journal.enabled, demoDatabase == nil else { return nil }
        return JournalOptions(units: settings.sources.journal.units, own: own, bytesMax: settings.broadcast.maxEventBytes)
    }

    /// Follows the journal, goes on with other options, or lets it be.
    private func follow(_ settings: Settings) throws {
        guard let options = journalOptions(settings) else {
            journal.withLock { $0.take() }?.stop()
            return
        }
        if let present { return present.apply(options) }
        let source = JournalSource(options, names: names, published: published, counters: counters, sink: bridge)
        if let error = source.start() { throw error }
        journal.withLock { $0 = source }
    }

    /// Where replays read what is older than history.
    private func keep(_ settings: Settings) {
        let path = demoDatabase ?? DatabasePath.path(of: settings.database.connection)
        let readsRequests = settings.sources.requestsEnabled
        hub.setArchive(
            SourceArchive(
                databasePath: readsRequests ? path : nil, journal: journalOptions(settings), published: published, names: names
            ) { [sampler, journal] in
                if readsRequests { sampler.settle() }
                journal.withLock { $0 }?.settle()
            })
    }
}

extension EnabledSources {
    init(_ settings: Settings, readsJournal: Bool) {
        self.init(
            stats: settings.sources.statsEnabled, requests: settings.sources.requestsEnabled, providers: settings.sources.providersEnabled,
            names: settings.sources.journal.enabled && readsJournal)
    }
}
