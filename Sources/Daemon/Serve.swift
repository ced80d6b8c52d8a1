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
    do {
        let service = try Service(options)
        try service.start()
        service.obey(signals)
    } catch {
        Log.error("\(error)")
        exit(1)
    }
}

/// Why the daemon cannot start, as a sentence.
struct StartError: Error, CustomStringConvertible {
    let description: String
}

/// The running daemon. Made and started on the main thread, which then waits for signals; what they ask for runs on `control`.
final class Service: @unchecked Sendable {  // Sendable because mutable state is used on `control` only, once started.
    private let settings: Settings
    private let hub: Hub
    private let router: Router
    private let shards: [Shard]
    private let sampler: Sampler
    private let bridge: SourceBridge
    private let journal: JournalSource?
    private let heartbeat: Heartbeat
    private let acceptors: AcceptorPool
    private let addresses: [ListenAddress]
    private let demo: DemoRun?
    private let control = DispatchQueue(label: "control")
    private var isStopping = false
    private static let draining = Atomic<Bool>(false)

    init(_ options: ServeOptions) throws {
        var settings = options.settings
        let descriptors = Socket.raiseDescriptorLimit()
        if settings.websocket.maxClients + 64 > descriptors {
            let possible = max(1, descriptors - 64)
            Log.warn("websocket.max_clients \(settings.websocket.maxClients) does not fit the limit of \(descriptors) open files; going on with \(possible)")
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
        var routing = RouterOptions(
            identity: Identity(
                name: "goleapai-ws", version: Version.number, commit: Version.commit, swift: Version.swift),
            broadcast: BroadcastLimits(
                eventsPerSecond: settings.broadcast.eventsPerSecond, burst: settings.broadcast.burst,
                eventBytesMax: settings.broadcast.maxEventBytes, batchBytesMax: settings.broadcast.maxBatchBytes),
            sources: { [sampler, journal] in (sampler.status() + (journal.map { [$0.status()] } ?? [])).map(SourceReport.init) }, isDraining: { Service.draining.load(ordering: .relaxed) })
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
        heartbeat = Heartbeat(
            hub: hub,
            isAlive: { [bridge, journal] in
                journal?.check()
                return bridge.samplerAnswered()
            })
    }

    private static func listen(_ settings: Settings, _ shards: [Shard]) throws -> (AcceptorPool, [ListenAddress]) {
        var addresses: [ListenAddress] = []
        var descriptors: [Int32] = []
        for host in settings.server.host {
            // With port 0 the addresses share the port that the first one was given.
            let port = settings.server.port == 0 ? addresses.first?.port ?? 0 : settings.server.port
            do throws(SystemError) {
                let socket = try ListeningSocket(ListenAddress(host: host, port: port))
                addresses.append(socket.address)
                descriptors.append(socket.release())
            } catch {
                // A machine without IPv6 is no reason not to serve IPv4, as long as one address works.
                if error.code == EAFNOSUPPORT || error.code == EADDRNOTAVAIL, settings.server.host.count > 1 {
                    Log.warn("cannot listen on \(error.subject): \(SystemError.text(of: error.code)); going on with the other addresses")
                    continue
                }
                let advice =
                    error.code == EADDRINUSE
                    ? "\(PortHolder.name(port: port).map { "\($0) holds it; " } ?? "")stop it or set server.port (the gateway's own default is 8080 too)"
                    : error.code == EACCES ? "ports below 1024 need CAP_NET_BIND_SERVICE; set server.port" : "set server.host and server.port"
                throw StartError(description: "cannot listen on \(error.subject): \(SystemError.text(of: error.code)); \(advice)")
            }
        }
        if addresses.isEmpty { throw StartError(description: "none of the addresses of server.host can be listened on") }
        let acceptors = try AcceptorPool(listening: descriptors) { accepted in
            let least = shards.min {
                $0.counters.connections.load(ordering: .relaxed) < $1.counters.connections.load(ordering: .relaxed)
            }
            least?.adopt(accepted)
        }
        return (acceptors, addresses)
    }

    func start() throws {
        for shard in shards { shard.start() }
        sampler.start()
        if let error = journal?.start() { throw error }
        try demo?.start(publish: { [hub] in hub.publish([$0]) })
        heartbeat.start()
        try acceptors.start(threads: 2)
        for address in addresses { Log.info("listening on http://\(address)") }
        Log.info("goleapai-ws \(Version.number) serves at most \(settings.websocket.maxClients) clients on \(shards.count) shards")
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

    /// Stops accepting, says goodbye to everyone, and ends. A second signal ends at once.
    private func stop() {
        dispatchPrecondition(condition: .onQueue(control))
        if isStopping { finish() }
        isStopping = true
        Service.draining.store(true, ordering: .relaxed)
        Log.info("stopping: \(hub.clientCount) clients are told to come back")
        acceptors.stop()
        for shard in shards { shard.post { $0.closeAll() } }
        waitForLast(until: hub.clock.monotonic() + 5_000_000_000)
    }

    private func waitForLast(until deadline: UInt64) {
        let left = shards.reduce(0) { $0 + $1.counters.connections.load(ordering: .relaxed) }
        if left == 0 || hub.clock.monotonic() > deadline { finish() }
        control.asyncAfter(deadline: .now() + .milliseconds(20)) { [self] in waitForLast(until: deadline) }
    }

    private func finish() -> Never {
        sampler.stop()
        journal?.stop()
        demo?.stop()
        hub.stopReplays()
        Log.info("stopped")
        exit(0)
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

/// Carries what the sampler says to the hub, and what the hub wants to the sampler.
final class SourceBridge: EventSink, StatsSource {
    private let hub: Hub
    /// The sampler, once there is one: it is made with this bridge.
    let sampler = Locked<Sampler?>(nil)
    private let beat = Atomic<UInt64>(0)

    init(hub: Hub) { self.hub = hub }

    func publish(_ events: [SourceEvent]) {
        for event in events where event.kind == .gap { hub.gaps.add(.sourceLost) }
        hub.publish(events.map { EventDraft($0) })
    }

    func gap(channel: SourceChannel, reason: SourceGap) {
        hub.gaps.add(reason == .lag ? .sourceLag : .sourceLost)
        let target: Channel =
            switch channel {
            case .stats: .stats
            case .providers: .providers
            case .requests: .requests
            case .logs: .logs
            }
        hub.publish([
            EventDraft(channel: target, type: "gap", timestamp: hub.clock.now(), data: reason.data(channel), passesFilters: true)
        ])
    }

    func providerStates(_ states: [(id: String, data: [UInt8])]) {
        let now = hub.clock.now()
        hub.updateProviders(states.map { (id: $0.id, timestamp: now, data: $0.data) })
    }

    func stats(window: StatsWindow, interval: Int, at instant: Instant, data: [UInt8]) {
        hub.updateStats(StatsGroup(window: window.rawValue, interval: interval), at: instant, data: data)
    }

    func watch(_ group: StatsGroup) {
        guard let window = StatsWindow(rawValue: group.window) else { return }
        sampler.withLock { $0 }?.watch(window: window, interval: group.interval)
    }

    func unwatch(_ group: StatsGroup) {
        guard let window = StatsWindow(rawValue: group.window) else { return }
        sampler.withLock { $0 }?.unwatch(window: window, interval: group.interval)
    }

    /// Whether the sampler's control side has answered the last beat; asks the next one. Called by the heartbeat loop only.
    func samplerAnswered() -> Bool {
        guard let sampler = sampler.withLock({ $0 }) else { return true }
        let last = beat.load(ordering: .relaxed)
        let answered = sampler.lastBeat >= last
        sampler.beat(last + 1)
        beat.store(last + 1, ordering: .relaxed)
        return answered
    }
}
