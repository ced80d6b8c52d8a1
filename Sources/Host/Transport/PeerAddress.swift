// Where a connection comes from, as its socket tells, or a proxy whose word counts.

import Base
import CLinux
import Glibc

/// Where a connection comes from.
public enum PeerAddress: Sendable, Hashable, CustomStringConvertible {
    /// By TCP, as its socket says or a trusted proxy. `host` is without brackets: `127.0.0.1`, `::1`. An IPv4 address mapped into IPv6 is shown as IPv4.
    case network(host: String, port: UInt16, isLoopback: Bool)
    /// By a Unix socket.
    case local(LocalPeer)

    public init(host: String, port: UInt16, isLoopback: Bool) { self = .network(host: host, port: port, isLoopback: isLoopback) }

    /// Without port; `unix` for a Unix socket.
    public var host: String {
        switch self {
        case .network(let host, _, _): host
        case .local: "unix"
        }
    }

    /// Of TCP; nil for a Unix socket.
    public var address: IPAddress? { if case .network(let host, _, _) = self { IPAddress(host) } else { nil } }

    /// Whether it has come by a Unix socket.
    public var isLocal: Bool { if case .local = self { true } else { false } }

    /// Whether it is on this machine.
    public var isLoopback: Bool {
        switch self {
        case .network(_, _, let isLoopback): isLoopback
        case .local: true
        }
    }

    /// `127.0.0.1:50000`, `[::1]:50000`, `unix:uid=998,pid=812`; without a port where none is known (0).
    public var description: String {
        switch self {
        case .network(let host, 0, _): host
        case .network(let host, let port, _): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .local(let peer): "unix:uid=\(peer.user),pid=\(peer.process)"
        }
    }
}

/// Who is at the other end of a Unix socket (unix(7), SO_PEERCRED): as of when it connected, in our namespaces.
public struct LocalPeer: Sendable, Hashable {
    /// 0 where it is in a pid namespace that we do not see.
    public let process: Int32
    public let user: UInt32
    /// Its primary group.
    public let group: UInt32
    /// Whether it is one of those whom `LocalPeer.isTrusted` lets in.
    public let isTrusted: Bool

    public init(process: Int32, user: UInt32, group: UInt32, isTrusted: Bool) {
        self.process = process
        self.user = user
        self.group = group
        self.isTrusted = isTrusted
    }

    /// Asks a connected Unix socket.
    /// - Returns: nobody, who is not trusted, where the kernel does not tell.
    static func of(_ number: Int32) -> LocalPeer {
        var process: Int32 = 0
        var user = UInt32.max
        var group = UInt32.max
        guard clinux_peer(number, &process, &user, &group) == 0 else {
            return LocalPeer(process: 0, user: .max, group: .max, isTrusted: false)
        }
        let isTrusted = isTrusted(
            user: user, groups: [group] + groups(of: number), ownUser: geteuid(), ownGroup: getegid())
        return LocalPeer(process: process, user: user, group: group, isTrusted: isTrusted)
    }

    /// Who may speak to us: root, our own user, and members of our own group.
    /// - Parameter groups: the primary and the supplementary ones.
    static func isTrusted(user: UInt32, groups: [UInt32], ownUser: UInt32, ownGroup: UInt32) -> Bool {
        if user == 0 { return true }
        if user == ownUser, isSomebody(user) { return true }
        return isSomebody(ownGroup) && groups.contains(ownGroup)
    }

    /// Ids that have no place in our user namespace all appear as the overflow id (user_namespaces(7)), so that one says nothing.
    private static func isSomebody(_ id: UInt32) -> Bool { id != 65_534 && id != .max }

    /// The supplementary groups.
    private static func groups(of number: Int32) -> [UInt32] {
        var groups = [UInt32](repeating: 0, count: 64)
        var count = clinux_peer_groups(number, &groups, Int32(groups.count))
        if count > Int32(groups.count) {
            groups = [UInt32](repeating: 0, count: Int(count))
            count = clinux_peer_groups(number, &groups, count)
        }
        return count > 0 && Int(count) <= groups.count ? Array(groups.prefix(Int(count))) : []
    }
}
