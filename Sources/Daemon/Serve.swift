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
        let service = try makeService(options)
        try service.start()
        service.obey(signals)
    } catch {
        let code = (error as? StartError)?.exitCode ?? ExitCode.failed
        Log.error("\(error)", code == ExitCode.configuration ? .configurationInvalid : .cannotStart)
        Log.finish()
        exit(code)
    }
}

/// The descriptors that systemd has handed over are taken while there is no other thread, since that changes the environment; and when
/// this returns, nobody but the acceptors holds them.
private func makeService(_ options: ServeOptions) throws -> Service {
    let manager = ServiceManager()
    let inherited = try InheritedSocket.all(from: manager)
    Log.start()
    return try Service(options, manager, inherited: inherited)
}

/// Why the daemon cannot start, as a sentence.
struct StartError: Error, CustomStringConvertible {
    let description: String
    var exitCode = ExitCode.failed
}

/// The running daemon. Made and started on the main thread, which then waits for signals; what they ask for runs on `control`.
final class Service: @unchecked Sendable {  // Sendable because mutable state is used on `control` only, once started.
    /// What was last read, and what is in force: they differ where a change waits for a restart, or the machine does not allow it. Confined
    /// to `control`.
    var settings: Settings
    var running: Settings
    var reloading = Reloading()
    /// Reads the configuration.
    let load: @Sendable () throws(ConfigErrors) -> Settings.Loaded
    let hub: Hub
    let router: Router
    let shards: [Shard]
    let sources: GatewaySources
    let access = GatewayAccess()
    let heartbeat: Heartbeat
    let statusLine: StatusLine
    let acceptors: AcceptorPool
    let addresses: [ListenAddress]
    /// Those of them that speak TLS.
    let tlsAddresses: [ListenAddress]
    /// Nil without TLS.
    let certificates: CertificateWatch?
    let publishing: PublishSocket?
    let demo: DemoRun?
    let control = DispatchQueue(label: "control")
    static let draining = Atomic<Bool>(false)

    init(_ options: ServeOptions, _ manager: ServiceManager, inherited: [InheritedSocket]) throws {
        load = options.load
        settings = options.settings
        running = Service.fitting(options.settings)
        demo = try options.demo.map { try DemoRun($0) }
        hub = Hub(limits: Limits(running), clock: SystemClock())
        hub.redaction.apply(isEnabled: running.redact.enabled, fields: running.redact.fields)
        let bridge = SourceBridge(hub: hub)
        let sources = try GatewaySources(running, hub: hub, bridge: bridge, demoDatabase: demo?.databasePath)
        self.sources = sources
        var routing = RouterOptions(
            build: Build(
                name: Version.name, version: Version.number, commit: Version.commit, swift: Version.swift),
            sources: { sources.status().map(SourceReport.init) }, isDraining: { Service.draining.load(ordering: .relaxed) })
        routing.sourceCounters = { sources.counts }
        routing.sourceNumbers = { sources.numbers }
        let certificates = try CertificateWatch(running.server.tls, hub: hub)
        self.certificates = certificates
        if let certificates {
            routing.certificateDaysLeft = { certificates.daysLeft }
            routing.certificateExpiry = { certificates.certificate.notAfter }
        }
        let router = Router(hub: hub, options: routing, rules: RouterRules(running, try access.apply(running, databasePath: sources.databasePath(running))))
        self.router = router
        let count = running.server.shards > 0 ? running.server.shards : Socket.affinityCount
        var shards: [Shard] = []
        for number in 0..<count { shards.append(try Shard(number: number, hub: hub, delegate: router)) }
        self.shards = shards
        hub.attach(shards)
        let sockets = try ListeningSockets(running, inherited: inherited, manager: manager)
        (addresses, tlsAddresses, publishing) = (sockets.addresses, sockets.tls, sockets.publishing)
        acceptors = try Service.accept(from: sockets, shards, through: hub.gate)
        statusLine = StatusLine(hub: hub, sources: { sources.status() })
        heartbeat = Service.heartbeat(hub, bridge, sources, router, statusLine)
    }

    private static func heartbeat(
        _ hub: Hub, _ bridge: SourceBridge, _ sources: GatewaySources, _ router: Router, _ statusLine: StatusLine
    ) -> Heartbeat {
        let manager = ServiceManager()
        // The control side of the sampler: the sampler itself may sit in a read of a disk that hangs, which is no fault of ours.
        let sampler = Heartbeat.Part(name: "sampler", ask: { bridge.askSampler($0) }, answered: { bridge.samplerAnswered })
        return Heartbeat(
            clock: hub.clock, parts: Heartbeat.parts(of: hub) + [sampler], allAnswered: { manager.watchdog() },
            everySecond: {
                hub.expire()
                sources.check()
                router.recheckIfDue()
                Log.reportSuppressed()
                if !Service.draining.load(ordering: .relaxed), let news = statusLine.news() { manager.status(news) }
            })
    }

    func start() throws {
        for shard in shards { shard.start() }
        try sources.start(running)
        try demo?.start(publish: { [hub] in hub.publish([$0]) })
        certificates?.start()
        try acceptors.start(threads: 2)
        for address in addresses { Log.info("listening on \(tlsAddresses.contains(address) ? "https" : "http")://\(address)") }
        if let publishing { Log.info("publishers on this machine reach it at \(publishing.path)") }
        Log.info("goleapai-ws \(Version.number) serves at most \(running.websocket.maxClients) clients on \(shards.count) shards", .ready)
        let manager = ServiceManager()
        manager.ready(status: statusLine.news())
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
            case SIGHUP: control.async { [self] in reload() }
            default: stop()
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
        bytesPerSecond = settings.limits.bytesPerSecond
        connectionsPerAddress = settings.limits.connectionsPerAddress
        handshakesPerSecond = settings.limits.handshakesPerSecond
        trustedProxies = settings.server.trustedProxies.compactMap { IPNetwork($0) }
        messageBytesMax = settings.websocket.maxMessageBytes
        heartbeatInterval = settings.websocket.heartbeatInterval
        clientTimeout = settings.websocket.clientTimeout
        disconnectsSlowConsumers = settings.websocket.slowConsumer == .disconnect
        statsInterval = max(1, Int(settings.websocket.statsUpdateInterval.components.seconds))
        compression.isEnabled = settings.compression.enabled
        compression.thresholdBytes = settings.compression.thresholdBytes
        compression.keepsContext = settings.compression.contextTakeover
        compression.contextWindow = settings.compression.windowBits
        compression.contextMemoryLevel = settings.compression.memoryLevel
        compression.contextBytesMax = settings.compression.contextMaxBytes
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
