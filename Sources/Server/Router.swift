// Addresses: which path and method does what.

import Base
import Fanout
import Host
import Protocol
import Synchronization

/// What `/version` tells.
public struct Build: Sendable {
    public var name: String
    public var version: String
    public var commit: String
    public var swift: String

    public init(name: String, version: String, commit: String, swift: String) {
        self.name = name
        self.version = version
        self.commit = commit
        self.swift = swift
    }
}

/// A source as `/ready` shows it.
public struct SourceReport: Sendable {
    public var name: String
    public var isWorking: Bool
    public var state: String
    public var lagMilliseconds: Int64
    public var why: String

    public init(name: String, isWorking: Bool, state: String, lagMilliseconds: Int64, why: String) {
        self.name = name
        self.isWorking = isWorking
        self.state = state
        self.lagMilliseconds = lagMilliseconds
        self.why = why
    }
}

/// What may change while the router serves.
public struct RouterRules: Sendable {
    public var publicURL = ""
    public var allowedOrigins: [String] = []
    /// False: health, metrics and admin only; no streams either.
    public var servesWebSockets = true
    public var servesMetrics = true
    public var broadcast: BroadcastLimits
    public var authentication = AuthenticationRules()

    public init(broadcast: BroadcastLimits) { self.broadcast = broadcast }
}

/// What the router is made with.
public struct RouterOptions: Sendable {
    public var build: Build
    /// The sources as they are now; called for each `/ready`, on a shard's queue.
    public var sources: @Sendable () -> [SourceReport]
    public var isDraining: @Sendable () -> Bool
    /// What the sources count besides, for /admin/ws/stats.
    public var sourceCounters: @Sendable () -> [(name: String, count: Int64)] = { [] }
    /// What they count for /metrics.
    public var sourceNumbers: @Sendable () -> SourceNumbers = { SourceNumbers() }
    /// When our certificate expires; nil without TLS.
    public var certificateExpiry: (@Sendable () -> Instant)?
    /// Whole days until our certificate expires; nil without TLS.
    public var certificateDaysLeft: (@Sendable () -> Int)?

    public init(
        build: Build, sources: @escaping @Sendable () -> [SourceReport],
        isDraining: @escaping @Sendable () -> Bool
    ) {
        self.build = build
        self.sources = sources
        self.isDraining = isDraining
    }
}

/// Routes requests. Called on the shards' queues; everything in it is constant or has its own lock.
public final class Router: ConnectionDelegate {
    let hub: Hub
    let options: RouterOptions
    let started: Instant
    private struct Rules {
        var access: Access
        var servesWebSockets: Bool
        var servesMetrics: Bool
        var authentication: AuthenticationRules

        init(_ rules: RouterRules) {
            access = Access(publicURL: rules.publicURL, allowedOrigins: rules.allowedOrigins, checksHost: rules.authentication.checker == nil)
            servesWebSockets = rules.servesWebSockets
            servesMetrics = rules.servesMetrics
            authentication = rules.authentication
        }
    }
    private let rules: Locked<Rules>
    let broadcast: Broadcast
    /// Bodies beyond this are read on a queue of their own, so that a large batch does not hold up a shard.
    private static let inlineBodyBytesMax = 65_536
    private let ingest = IngestQueue()
    /// Where the metrics page is written: beside the shards, too.
    let scrapes = ScrapeQueue()
    let tickets: Tickets
    let confirmations = Confirmations()
    /// When those who are connected were looked at last. The heartbeat loop's.
    let rechecked = Atomic<UInt64>(0)
    /// Clients of each user.
    let userConnections = ConnectionCounter<String>()

    public init(hub: Hub, options: RouterOptions, rules: RouterRules) {
        self.hub = hub
        self.options = options
        started = hub.clock.now()
        self.rules = Locked(Rules(rules))
        broadcast = Broadcast(hub: hub, limits: rules.broadcast)
        tickets = Tickets(clock: hub.clock)
    }

    /// Other rules, for requests that come from now on. Any thread.
    public func apply(_ wanted: RouterRules) {
        rules.withLock { $0 = Rules(wanted) }
        broadcast.apply(wanted.broadcast)
    }

    var access: Access { rules.withLock { $0.access } }
    var authentication: AuthenticationRules { rules.withLock { $0.authentication } }
    private var servesWebSockets: Bool { rules.withLock { $0.servesWebSockets } }
    private var servesMetrics: Bool { rules.withLock { $0.servesMetrics } }

    enum Endpoint {
        case webSocket(ChannelSet, isOpen: Bool)
        case eventStream(ChannelSet, isOpen: Bool)
        case ticket
        case broadcast, adminStats, clients, client(UInt64)
        case health, ready, version
        /// A file of the web page, or this protocol for machines.
        case page(DashboardFile)
        /// Free for this machine, else for admins.
        case metrics

        var methods: [String] {
            switch self {
            case .broadcast, .ticket: ["POST"]
            case .client: ["DELETE"]
            default: ["GET", "HEAD"]
            }
        }
        var isAdmin: Bool {
            switch self {
            case .broadcast, .adminStats, .clients, .client, .metrics: true
            default: false
            }
        }
        /// Whether it is for users only.
        var isForUsers: Bool {
            switch self {
            case .webSocket, .eventStream, .ticket: true
            default: isAdmin
            }
        }
        /// How, beside the Authorization header, a request may say who it is.
        var credentialWays: Presented.Ways {
            switch self {
            case .webSocket: .webSocket
            case .eventStream: .address
            default: .header
            }
        }
    }

    func endpoint(_ path: String) -> Endpoint? {
        switch path {
        case "/admin/ws/broadcast": return .broadcast
        case "/admin/ws/stats": return .adminStats
        case "/admin/ws/clients": return .clients
        case "/health": return .health
        case "/ready": return .ready
        case "/ws/ticket": return .ticket
        case "/version": return .version
        case "/metrics": return servesMetrics ? .metrics : nil
        case "/ws": return servesWebSockets ? .webSocket([], isOpen: true) : nil
        case "/sse": return servesWebSockets ? .eventStream([], isOpen: true) : nil
        default: break
        }
        // It shows what comes by WebSocket.
        if servesWebSockets, let file = DashboardFile.all[path] { return .page(file) }
        if path.hasPrefix("/ws/"), servesWebSockets, let channel = Channel(name: path.dropFirst(4)) {
            return .webSocket(ChannelSet(channel), isOpen: false)
        }
        if path.hasPrefix("/sse/"), servesWebSockets, let channel = Channel(name: path.dropFirst(5)) {
            return .eventStream(ChannelSet(channel), isOpen: false)
        }
        let prefix = "/admin/ws/clients/"
        if path.hasPrefix(prefix), let id = UInt64(path.dropFirst(prefix.count)) { return .client(id) }
        return nil
    }

    public func respond(to request: Request, later: @escaping @Sendable (Response) -> Void) -> Response? {
        guard let endpoint = endpoint(request.head.path) else { return .error(404, "no such address") }
        let isForAll = request.peer.isLocal || isFreeMetrics(endpoint, request.head, request.peer)
        if endpoint.isForUsers, !isForAll, let refusal = refusal(of: request.principal, endpoint, from: request.peer) { return refusal }
        var response: Response?
        switch endpoint {
        case .broadcast:
            if request.body.count > Router.inlineBodyBytesMax {
                ingest.run { [broadcast] in later(broadcast.publish(request)) }
                return nil
            }
            response = broadcast.publish(request)
        case .adminStats: adminStats(later)
        case .clients: listClients(later)
        case .client(let id): disconnect(id, later)
        case .health: response = Response(status: 200, json: #"{"status":"ok"}"#)
        case .ready: response = ready(request.head)
        case .version: response = version()
        case .page(let file): response = file.answer(to: request.head)
        case .metrics: metrics(later)
        case .ticket: response = ticket(for: request.principal)
        // These become clients before any body is read.
        case .webSocket, .eventStream: response = .error(404, "no such address")
        }
        if !endpoint.isAdmin, !request.peer.isLocal { response?.fields.append(contentsOf: access.crossOriginFields(for: request.head)) }
        return response
    }

    func preflight(_ endpoint: Endpoint, _ cors: [(String, String)]) -> Response {
        Response(
            status: 204,
            fields: cors + [
                ("Access-Control-Allow-Methods", endpoint.methods.joined(separator: ", ")),
                ("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID"), ("Access-Control-Max-Age", "600"),
            ])
    }

    // MARK: upgrade

    /// - Parameter principal: nil where that is said by the first message.
    func upgrade(_ head: RequestHead, _ channels: ChannelSet, isOpen: Bool, _ principal: Principal?, _ cors: [(String, String)]) -> Route {
        if options.isDraining() { return stopping(cors) }
        do throws(HTTPError) {
            try Handshake.check(head)
            // A credential among them is none of ours either: browsers take no answer that names none of what they offered.
            let offered = head.list("sec-websocket-protocol")
            let chosen = offered.lazy.compactMap { name in Router.subprotocols.first { $0.name == name } }.first
            if !offered.isEmpty, chosen == nil {
                let ours = Router.subprotocols.map(\.name).joined(separator: " and ")
                throw HTTPError(400, "none of the offered subprotocols is spoken here; ours are \(ours)")
            }
            var upgrade = Upgrade(
                encoding: Encoding(chosen?.form ?? .text), subprotocol: chosen?.name, subscription: Subscription(channels: channels, statsInterval: hub.limits.statsInterval),
                principal: principal ?? .unknown)
            upgrade.awaitsAuthentication = principal == nil
            try subscribe(&upgrade, to: head.query, isOpen: isOpen, principal)
            if let agreed = try hub.agreeOnCompression(head) { upgrade.compress(agreed) }
            return .upgrade(upgrade)
        } catch {
            return answer(error, cors)
        }
    }

    func stopping(_ cors: [(String, String)]) -> Route {
        var response = Response.stopping
        response.fields.append(contentsOf: cors)
        return .answer(response)
    }

    func answer(_ error: HTTPError, _ cors: [(String, String)]) -> Route {
        var response = error.response
        response.fields.append(contentsOf: cors)
        return .answer(response)
    }

    /// Gives a client that begins what its address asks for.
    /// - Parameters:
    ///   - isOpen: the query may name channels.
    ///   - principal: nil where that is said by the first message.
    func subscribe(
        _ upgrade: inout Upgrade, to query: [(name: String, value: String)], isOpen: Bool, _ principal: Principal?
    ) throws(HTTPError) {
        // What the address asks for is read as if everything were allowed, and then compared.
        upgrade.subscription.rights = .everything
        try apply(query, to: &upgrade, isOpen: isOpen)
        upgrade.subscription.rights = upgrade.principal.rights
        if let principal, let forbidden = upgrade.subscription.channels.channels.first(where: { !principal.rights.allows($0) }) {
            hub.refusals.add(.channel)
            throw HTTPError(403, "channel \(forbidden.name) is not allowed to you")
        }
    }

    /// Of those that a client offers, the first one of ours is spoken.
    private static let subprotocols: [(name: String, form: MessageForm)] = [("goleapai.v1.json", .text), ("goleapai.v1.msgpack", .messagePack)]

    /// Reads the query of a client's address: options of the connection, and filters of its channels.
    private func apply(_ query: [(name: String, value: String)], to upgrade: inout Upgrade, isOpen: Bool) throws(HTTPError) {
        var seen: Set<String> = []
        for (name, _) in query where !seen.insert(name).inserted {
            throw HTTPError(400, "the parameter '\(ForeignText.shown(name, to: 80))' stands twice")
        }
        // Channels first: they decide which filters there are.
        for (name, value) in query where name == "channels" && isOpen {
            for part in value.split(separator: ",", omittingEmptySubsequences: false) {
                guard let channel = Channel(name: part) else {
                    throw HTTPError(400, "invalid channel '\(ForeignText.shown(part, to: 80))'; there are logs, stats, providers, requests, all")
                }
                upgrade.subscription.channels.insert(ChannelSet(channel))
            }
        }
        for (name, value) in query {
            switch name {
            case "channels" where isOpen: continue
            case "auth":
                if upgrade.encoding.spoken == .eventStream { throw Presented.noMessages }
                guard value == "message" else { throw HTTPError(400, "auth is not 'message'") }
            // Looked at already; without authentication they are as good as any.
            case let name where Presented.parameters.contains(name): continue
            case "welcome": upgrade.welcomes = try flag(name, value)
            case "heartbeat":
                let other = upgrade.encoding.spoken == .webSocket ? "ping" : "comment"
                guard value == "json" || value == other else {
                    throw HTTPError(400, "heartbeat '\(ForeignText.shown(value, to: 80))' is not json or \(other)")
                }
                upgrade.heartbeatIsJSON = value == "json"
            case "since":
                guard let since = ReplayRequest.since(value) else { throw HTTPError(400, ReplayRequest.sinceError(value)) }
                try replay(name, &upgrade) { $0.since = since }
            case "history":
                guard let last = ReplayRequest.last(value) else { throw HTTPError(400, ReplayRequest.lastError(value)) }
                try replay(name, &upgrade) { $0.last = last }
            default: try filter(name, value, &upgrade)
            }
        }
    }

    private func replay(_ name: String, _ upgrade: inout Upgrade, _ set: (inout ReplayRequest) -> Void) throws(HTTPError) {
        guard !upgrade.subscription.channels.isEmpty else { throw HTTPError(400, "\(name) needs channels to begin with") }
        var request = upgrade.replay ?? ReplayRequest()
        set(&request)
        upgrade.replay = request
    }

    private func filter(_ name: String, _ value: String, _ upgrade: inout Upgrade) throws(HTTPError) {
        let channels = upgrade.subscription.channels.effective.channels.filter { Filters.parameters[$0, default: []].contains(name) }
        guard !channels.isEmpty else {
            let known = Set(upgrade.subscription.channels.effective.channels.flatMap { Filters.parameters[$0, default: []] }).sorted()
            throw HTTPError(
                400, "unknown parameter '\(ForeignText.shown(name, to: 80))'; known here are \((["welcome", "heartbeat", "since", "history"] + known).joined(separator: ", "))")
        }
        for channel in channels {
            do throws(FilterError) {
                try upgrade.subscription.filters.set(name, to: value, on: channel)
            } catch {
                throw HTTPError(400, error.description)
            }
        }
    }

    private func flag(_ name: String, _ value: String) throws(HTTPError) -> Bool {
        guard value == "true" || value == "false" else { throw HTTPError(400, "\(name) '\(ForeignText.shown(value, to: 80))' is not true or false") }
        return value == "true"
    }
}
