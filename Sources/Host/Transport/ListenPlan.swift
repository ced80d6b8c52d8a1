// What becomes of inherited sockets, and what is still to be bound. Decides only; pure.

/// A plan for the addresses to listen on, made from what a process inherits and what its configuration names.
///
/// Three kinds are inherited, told apart by name: those that a former process has stored (`listen-…`), the one for publishers
/// (`publish`, not dealt with here), and those of a socket unit (any other name). Which address one serves, the socket itself says.
public struct ListenPlan: Sendable, Equatable {
    /// An address to serve, in the order of the configuration or of the unit.
    public enum Step: Sendable, Equatable {
        /// With the inherited socket at this position.
        case serve(Int, ListenAddress)
        /// With a socket to be bound; port 0 means that of the others, or any.
        case bind(ListenAddress)
    }

    /// Why an inherited socket is closed.
    public enum Reason: Sendable, Equatable {
        /// Neither listens on TCP, nor is the publishers' Unix socket; in words.
        case foreign(String)
        /// Stored, but the configuration does not name its address any more.
        case notConfigured(ListenAddress)
        /// Stored, but a socket unit says where to listen.
        case besideUnit(ListenAddress)
    }

    /// An inherited socket that is not served.
    public struct Closing: Sendable, Equatable {
        public let position: Int
        public let reason: Reason
    }

    public private(set) var steps: [Step] = []
    public private(set) var closed: [Closing] = []
    /// Positions of sockets for publishers.
    public private(set) var publishers: [Int] = []
    /// A socket unit says where to listen, and the configuration does not count.
    public private(set) var isActivated = false
    /// It does, and both name the same addresses.
    public private(set) var agrees = true

    public static let publishName = "publish"

    /// Where TLS is spoken.
    public enum TLSPort: Sendable, Equatable {
        case none
        /// On all addresses.
        case shared
        /// On this port, beside the other one; not 0.
        case own(Int)
    }

    public let tlsPort: TLSPort

    /// Whether an address speaks TLS. Of a socket unit's, the name may decide (`https`, `http`; FileDescriptorName=); else the port does.
    public func speaksTLS(_ address: ListenAddress, name: String) -> Bool {
        switch tlsPort {
        case .none: false
        case .shared: !isActivated || name != "http"
        case .own(let port): address.port == port || isActivated && name == "https"
        }
    }

    /// - Parameters:
    ///   - inherited: names and kinds, as they were handed over.
    ///   - hosts: addresses in normal form, without brackets.
    ///   - port: 0: any, also that of an inherited socket.
    ///   - tlsPort: where TLS is spoken.
    public init(inherited: [(name: String, kind: InheritedSocket.Kind)], hosts: [String], port: Int, tlsPort: TLSPort = .none) {
        self.tlsPort = tlsPort
        var stored: [(position: Int, address: ListenAddress)] = []
        var activated: [(position: Int, address: ListenAddress, isDualStack: Bool)] = []
        for (position, (name, kind)) in inherited.enumerated() {
            switch kind {
            case .other(let words): closed.append(Closing(position: position, reason: .foreign(words)))
            case .local(_) where name == ListenPlan.publishName: publishers.append(position)
            case .local(let path): closed.append(Closing(position: position, reason: .foreign("a Unix socket, \(path.isEmpty ? "unnamed" : path)")))
            case .network(let address, _) where name == ListenPlan.publishName:
                closed.append(Closing(position: position, reason: .foreign("no Unix socket, but a TCP one on \(address)")))
            case .network(let address, _) where name.hasPrefix(ListenAddress.storePrefix): stored.append((position, address))
            case .network(let address, let isDualStack): activated.append((position, address, isDualStack))
            }
        }
        isActivated = !activated.isEmpty
        if isActivated {
            for (position, address, _) in activated { steps.append(.serve(position, address)) }
            for (position, address) in stored { closed.append(Closing(position: position, reason: .besideUnit(address))) }
            if case .own(let own) = tlsPort {
                let speaking = activated.map { speaksTLS($0.address, name: inherited[$0.position].name) }
                func unit(_ speaksTLS: Bool) -> [(ListenAddress, Bool)] {
                    zip(activated, speaking).filter { $0.1 == speaksTLS }.map { ($0.0.address, $0.0.isDualStack) }
                }
                agrees = ListenPlan.agree(unit(false), hosts, port) && ListenPlan.agree(unit(true), hosts, own)
            } else {
                agrees = ListenPlan.agree(activated.map { ($0.address, $0.isDualStack) }, hosts, port)
            }
            return
        }
        // With any port, one that is spoken for is not it.
        let own: Int? = if case .own(let port) = tlsPort { port } else { nil }
        for port in [port] + (own.map { [$0] } ?? []) {
            for host in hosts {
                let fitting = stored.filter { $0.address.host == host && (port == 0 ? $0.address.port != own : $0.address.port == port) }
                for (position, address) in fitting { steps.append(.serve(position, address)) }
                if fitting.isEmpty { steps.append(.bind(ListenAddress(host: host, port: port))) }
                stored.removeAll { one in fitting.contains { $0.position == one.position } }
            }
        }
        for (position, address) in stored { closed.append(Closing(position: position, reason: .notConfigured(address))) }
    }

    /// Whether a unit's addresses are those of the configuration.
    private static func agree(_ unit: [(address: ListenAddress, isDualStack: Bool)], _ hosts: [String], _ port: Int) -> Bool {
        guard port == 0 || unit.allSatisfy({ $0.address.port == port }) else { return false }
        var named = Set(unit.map(\.address.host))
        // `ListenStream=8080` is one socket for both families.
        if unit.contains(where: { $0.isDualStack && $0.address.host == "::" }) { named.insert("0.0.0.0") }
        return named == Set(hosts)
    }
}
