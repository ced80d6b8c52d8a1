// Which sockets the daemon listens with: inherited ones as far as they fit, new ones for the rest.

import Base
import Glibc
import Host

/// The sockets of one life of the daemon. Made on the main thread, at the start; not kept, since they close when the last reference
/// goes, and that is to be the acceptors'.
///
/// What we bind, systemd keeps a copy of from that moment on. So an address is listened on without a break from one process to the
/// next, and whoever connects in between waits in the socket's queue.
struct ListeningSockets {
    /// All of them, also the publishers' one.
    private(set) var all: [ListeningSocket] = []
    /// TCP, in the order of the configuration or of the socket unit.
    private(set) var addresses: [ListenAddress] = []
    /// Those of them that speak TLS.
    private(set) var tls: [ListenAddress] = []
    private(set) var publishing: PublishSocket?

    /// Takes over what is inherited, and binds what is missing.
    init(_ settings: Settings, inherited: [InheritedSocket], manager: ServiceManager) throws {
        let plan = ListenPlan(
            inherited: inherited.map { ($0.name, $0.kind) }, hosts: settings.server.host, port: settings.server.port,
            tlsPort: !settings.server.tls.enabled ? .none : settings.server.tls.port == 0 ? .shared : .own(settings.server.tls.port))
        try ListeningSockets.check(plan, inherited, settings)
        var store = SocketStore(manager: manager, inherited: inherited)
        for closing in plan.closed {
            let name = inherited[closing.position].name
            switch closing.reason {
            case .foreign(let words): Log.warn("closing the inherited descriptor '\(clip(name))', which is \(words): nothing that can be served")
            case .notConfigured(let address): Log.info("no longer listening on \(address), which server.host, server.port and server.tls.port do not name any more")
            case .besideUnit(let address): Log.info("closing the socket of \(address) that a former process has left: the socket unit says where to listen")
            }
            store.drop(closing.position)
        }
        try open(plan, inherited.map(\.name), &store, settings)
        if let opened = try PublishSocket.open(settings.broadcast.socket, inherited: plan.publishers, &store) {
            publishing = opened.publishing
            all.append(opened.socket)
        }
    }

    private mutating func open(_ plan: ListenPlan, _ names: [String], _ store: inout SocketStore, _ settings: Settings) throws {
        // With port 0 the addresses share one port.
        var shared = settings.server.port
        for case .serve(let position, let address) in plan.steps where shared == 0 {
            if plan.tlsPort == .shared || !plan.speaksTLS(address, name: names[position]) { shared = address.port }
        }
        for step in plan.steps {
            switch step {
            case .serve(let position, let address):
                guard let socket = store.socket(position) else { continue }
                all.append(socket)
                addresses.append(address)
                if plan.speaksTLS(address, name: names[position]) { tls.append(address) }
            case .bind(let wanted):
                let isShared = wanted.port == settings.server.port
                let wanted = ListenAddress(host: wanted.host, port: isShared ? shared : wanted.port)
                do throws(SystemError) {
                    let socket = try ListeningSockets.bind(wanted, patiently: store.hasDropped)
                    let address = socket.address ?? wanted
                    if isShared { shared = address.port }
                    if plan.speaksTLS(address, name: "") { tls.append(address) }
                    store.keep(socket, as: address.storeName)
                    all.append(socket)
                    addresses.append(address)
                } catch {
                    // A machine without IPv6 is no reason not to serve IPv4, as long as one address works.
                    if error.code == EAFNOSUPPORT || error.code == EADDRNOTAVAIL, settings.server.host.count > 1 {
                        Log.warn("cannot listen on \(error.subject): \(SystemError.text(of: error.code)); going on with the other addresses", .addressUnavailable)
                        continue
                    }
                    throw ListeningSockets.sentence(error, port: wanted.port, key: isShared ? "server.port" : "server.tls.port")
                }
            }
        }
        if addresses.isEmpty { throw StartError(description: "none of the addresses of server.host can be listened on") }
    }

    /// What a socket unit says counts, but neither unnoticed nor against a promise of the configuration.
    private static func check(_ plan: ListenPlan, _ inherited: [InheritedSocket], _ settings: Settings) throws {
        guard plan.isActivated else { return }
        let unit = plan.steps.compactMap { step -> (name: String, address: ListenAddress)? in
            if case .serve(let position, let address) = step { (inherited[position].name, address) } else { nil }
        }
        if settings.auth.mode == .none, !settings.auth.allowAnonymous,
            let (name, address) = unit.first(where: { !IPLiteral.isLoopback($0.address.host) })
        {
            throw StartError(
                description: "the socket unit (\(clip(name))) listens on \(address), which is no loopback address, and auth.mode none would serve everybody who reaches it; "
                    + "set ListenStream=127.0.0.1:\(address.port) there", exitCode: ExitCode.configuration)
        }
        if plan.agrees { return }
        let port = settings.server.port == 0 ? "any port" : "port \(settings.server.port)"
        Log.warn(
            "listening on \(unit.map(\.address.description).joined(separator: ", ")), as ListenStream= of the socket unit (\(clip(unit.first?.name ?? ""))) says; "
                + "server.host and server.port (\(settings.server.host.joined(separator: ", ")), \(port)) do not count beside it", .addressDiffers)
    }

    /// - Parameter patiently: systemd may still be about to close a socket in the way that it was told to forget.
    private static func bind(_ address: ListenAddress, patiently: Bool) throws(SystemError) -> ListeningSocket {
        var attempts = patiently ? 100 : 1
        while true {
            do throws(SystemError) { return try ListeningSocket(address) } catch {
                attempts -= 1
                if error.code != EADDRINUSE || attempts == 0 { throw error }
                usleep(20_000)
            }
        }
    }

    private static func sentence(_ error: SystemError, port: Int, key: String) -> StartError {
        let advice =
            switch error.code {
            case EADDRINUSE:
                "\(PortHolder.name(port: port).map { "\($0) holds it; " } ?? "")stop it or set \(key)\(key == "server.port" ? " (the gateway's own default is 8080 too)" : "")"
            case EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; set \(key)"
            default: "set server.host and \(key)"
            }
        return StartError(description: "cannot listen on \(error.subject): \(SystemError.text(of: error.code)); \(advice)")
    }
}

/// What systemd holds for us, seen from here: sockets that were handed over, kept or given up, each by its name.
struct SocketStore {
    let manager: ServiceManager
    private(set) var inherited: [InheritedSocket?]
    /// Something was given up.
    private(set) var hasDropped = false

    init(manager: ServiceManager, inherited: [InheritedSocket]) {
        self.manager = manager
        self.inherited = inherited
    }

    func socket(_ position: Int) -> ListeningSocket? { inherited[position]?.socket }

    func path(_ position: Int) -> String? {
        if case .local(let path)? = inherited[position]?.kind { path } else { nil }
    }

    /// Closes an inherited socket, and has systemd close its copy.
    mutating func drop(_ position: Int) {
        guard let gone = inherited[position] else { return }
        inherited[position] = nil
        hasDropped = true
        // A socket unit's descriptors are in no store, so there a removal finds nothing.
        guard ServiceManager.isName(gone.name) else { return }
        if let error = manager.remove(gone.name) { Log.warn("cannot tell systemd to forget a socket: \(error)") }
        // A name may be that of others too.
        for other in inherited {
            if let other, other.name == gone.name, other.isOurs, let socket = other.socket { keep(socket, as: other.name) }
        }
    }

    /// Gives systemd a copy for the next process.
    func keep(_ socket: ListeningSocket, as name: String) {
        if let error = manager.store(socket.descriptor, name: name) {
            Log.warn("systemd does not keep a socket: \(error); who connects during a restart will be refused")
        }
    }
}

extension InheritedSocket {
    /// Whether it has the name of one that a former process of ours has stored.
    var isOurs: Bool { name == ListenPlan.publishName || name.hasPrefix(ListenAddress.storePrefix) }
}
