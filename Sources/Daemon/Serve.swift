// `goleapai-ws serve`: puts the parts together and runs them until a signal.

import Base
import Dispatch
import EventSources
import Fanout
import Glibc
import Host
import Protocol
import Server
import Storage
import Synchronization

/// Runs the daemon; ends the process.
func runServe(_ options: ServeOptions) -> Never {
    signal(SIGPIPE, SIG_IGN)
    // Before there is a second thread: every thread inherits that these are blocked.
    let signals = SignalSet([SIGTERM, SIGINT, SIGHUP])
    signals.block()
    Log.start()
    do {
        let service = try Service(options)
        try service.start()
        service.obey(signals)
    } catch {
        Log.error("\(error)", .cannotStart)
        Log.finish()
        exit(1)
    }
}

/// Why the daemon cannot start, as a sentence.
struct StartError: Error, CustomStringConvertible {
    let description: String
}

/// The running daemon. Made and started on the main thread, which then waits for signals; what they ask for runs on `control`.
final class Service: @unchecked Sendable {  // Sendable because mutable state is used on `control` only, once started.
    let settings: Settings
    let hub: Hub
    let router: Router
    let shards: [Shard]
    let sampler: Sampler
    let bridge: SourceBridge
    let journal: JournalSource?
    let heartbeat: Heartbeat
    let acceptors: AcceptorPool
    let addresses: [ListenAddress]
    let demo: DemoRun?
    let control = DispatchQueue(label: "control")
    var isStopping = false
    static let draining = Atomic<Bool>(false)

    init(_ options: ServeOptions) throws {
        var settings = options.settings
        let descriptors = Socket.raiseDescriptorLimit()
        if settings.websocket.maxClients + 64 > descriptors {
            let possible = max(1, descriptors - 64)
            Log.warn("websocket.max_clients \(settings.websocket.maxClients) does not fit the limit of \(descriptors) open files; going on with \(possible)", .limitLowered)
            settings.websocket.maxClients = possible
        }
        demo = try options.demo.map { try DemoRun($0) }
        self.settings = settings
        hub = Hub(limits: Limits(settings), clock: SystemClock())
        bridge = SourceBridge(hub: hub)
        let connection = settings.database.connection
        guard let databasePath = demo?.databasePath ?? DatabasePath.path(of: connection) else {
            throw StartError(description: "database.connection '\(connection)' names no file; give a path or file:PATH")
        }
        let published = PublishedPlaces()
        let names = ProviderNames()
        // The demo's gateway has no unit: its lines come straight from it.
        let readsJournal = settings.sources.journal.enabled && demo == nil
        sampler = Sampler(
            path: databasePath,
            enabled: EnabledSources(
                stats: settings.sources.statsEnabled, requests: settings.sources.requestsEnabled,
                providers: settings.sources.providersEnabled, names: readsJournal), sink: bridge, published: published, names: names)
        bridge.sampler.withLock { [sampler] in $0 = sampler }
        hub.setStatsSource(bridge)
        let journalOptions = readsJournal
            ? JournalOptions(units: settings.sources.journal.units, own: .present(), bytesMax: settings.broadcast.maxEventBytes) : nil
        journal = journalOptions.map { [bridge] in JournalSource($0, names: names, published: published, sink: bridge) }
        hub.setArchive(
            SourceArchive(
                databasePath: settings.sources.requestsEnabled ? databasePath : nil, journal: journalOptions, published: published,
                names: names
            ) { [sampler, journal, settings] in
                if settings.sources.requestsEnabled { sampler.settle() }
                journal?.settle()
            })
        let sources = { @Sendable [sampler, journal] in sampler.status() + (journal.map { [$0.status()] } ?? []) }
        var routing = RouterOptions(
            identity: Identity(
                name: "goleapai-ws", version: Version.number, commit: Version.commit, swift: Version.swift),
            broadcast: BroadcastLimits(
                eventsPerSecond: settings.broadcast.eventsPerSecond, burst: settings.broadcast.burst,
                eventBytesMax: settings.broadcast.maxEventBytes, batchBytesMax: settings.broadcast.maxBatchBytes),
            sources: { sources().map(SourceReport.init) }, isDraining: { Service.draining.load(ordering: .relaxed) })
        if let counters = journal?.counters { routing.sourceCounters = { counters.all } }
        routing.publicURL = settings.server.publicURL
        routing.allowedOrigins = settings.server.allowedOrigins
        routing.servesWebSockets = settings.websocket.enabled
        let router = Router(hub: hub, options: routing)
        self.router = router
        let count = settings.server.shards > 0 ? settings.server.shards : Socket.affinityCount
        var shards: [Shard] = []
        for number in 0..<count { shards.append(try Shard(number: number, hub: hub, delegate: router)) }
        self.shards = shards
        hub.attach(shards)
        (acceptors, addresses) = try Service.listen(settings, shards)
        heartbeat = Service.heartbeat(hub, bridge, journal, statusLine: StatusLine(hub: hub, sources: sources))
    }

    private static func heartbeat(_ hub: Hub, _ bridge: SourceBridge, _ journal: JournalSource?, statusLine: StatusLine) -> Heartbeat {
        let manager = ServiceManager()
        // The control side of the sampler: the sampler itself may sit in a read of a disk that hangs, which is no fault of ours.
        let sampler = Heartbeat.Part(name: "sampler", ask: { bridge.askSampler($0) }, answered: { bridge.samplerAnswered })
        return Heartbeat(
            clock: hub.clock, parts: Heartbeat.parts(of: hub) + [sampler], allAnswered: { manager.watchdog() },
            everySecond: {
                hub.expire()
                journal?.check()
                Log.reportSuppressed()
                if !Service.draining.load(ordering: .relaxed), let news = statusLine.news() { manager.status(news) }
            })
    }

    func start() throws {
        for shard in shards { shard.start() }
        sampler.start()
        if let error = journal?.start() { throw error }
        try demo?.start(publish: { [hub] in hub.publish([$0]) })
        try acceptors.start(threads: 2)
        for address in addresses { Log.info("listening on http://\(address)") }
        Log.info("goleapai-ws \(Version.number) serves at most \(settings.websocket.maxClients) clients on \(shards.count) shards", .ready)
        let manager = ServiceManager()
        manager.ready()
        heartbeat.start(watchdog: manager.watchdogInterval)
        if let port = addresses.first?.port, demo != nil { print(demoBanner(port: port)) }
        fflush(nil)
    }

    /// Waits for signals on the calling thread, for ever.
    ///
    /// Not by Dispatch's signal sources: they take hold some time after they were activated, and a signal in between is lost.
    /// Not beside `dispatchMain` either: it parks the main thread with every signal open. A blocked signal stays pending until
    /// it is fetched here, however early it came.
    func obey(_ signals: SignalSet) -> Never {
        while true {
            switch signals.wait() {
            case SIGHUP: Log.warn("SIGHUP: this version reads its configuration at start only; restart it to apply changes")
            default: control.async { [self] in stop() }
            }
        }
    }
}

extension Limits {
    init(_ settings: Settings) {
        self.init()
        clientsMax = settings.websocket.maxClients
        ringSpansMax = settings.websocket.bufferSize
        messagesPerSecond = settings.limits.messagesPerSecond
        messageBytesMax = settings.websocket.maxMessageBytes
        heartbeatInterval = settings.websocket.heartbeatInterval
        clientTimeout = settings.websocket.clientTimeout
        disconnectsSlowConsumers = settings.websocket.slowConsumer == .disconnect
        statsInterval = max(1, Int(settings.websocket.statsUpdateInterval.components.seconds))
        historyEventsMax = settings.history.maxEvents
        historyBytesMax = settings.history.maxBytes
        historyAgeMax = settings.history.maxAge
        replayEventsMax = settings.replay.maxEvents
        replayTime = .seconds(settings.replay.maxSeconds)
        replaysMax = settings.replay.concurrent
    }
}

extension SourceReport {
    init(_ status: SourceStatus) {
        self.init(
            name: status.name, isWorking: status.state == .working, state: status.state.rawValue, lagMilliseconds: status.lagMilliseconds,
            why: status.why)
    }
}
