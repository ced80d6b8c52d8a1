// Descriptors that this process was started with, and what they turn out to be.

import Base
import CLinux
import Glibc

/// A descriptor from the service manager: of a socket unit, or stored by a former process of ours.
public struct InheritedSocket: Sendable {
    /// What it is, whatever its name says.
    public enum Kind: Sendable, Equatable {
        /// A listening TCP socket.
        case network(ListenAddress, isDualStack: Bool)
        /// A listening Unix stream socket.
        case local(path: String)
        /// Something that cannot be served, in words: `a UDP socket on 127.0.0.1:53`.
        case other(String)
    }

    /// In the store or in the socket unit; several may have the same.
    public let name: String
    public let kind: Kind
    /// Nil for `other`, which is closed already.
    public let socket: ListeningSocket?

    /// Looks at a descriptor; makes it non-blocking.
    init(_ descriptor: consuming FileDescriptor, name: String) {
        self.name = name
        kind = InheritedSocket.kind(of: descriptor.number)
        switch kind {
        case .network(let address, _): socket = ListeningSocket(owning: descriptor, address: address)
        case .local: socket = ListeningSocket(owning: descriptor, address: nil)
        case .other: socket = nil
        }
        if let socket {
            let number = socket.descriptor.number
            _ = fcntl(number, F_SETFL, fcntl(number, F_GETFL) | O_NONBLOCK)
        }
    }

    /// All that the manager has handed over: call once, at the start, while there is no other thread.
    /// - Throws: where the environment contradicts itself.
    public static func all(from manager: ServiceManager) throws(SystemError) -> [InheritedSocket] {
        var found: [InheritedSocket] = []
        if let error = manager.takeDescriptors({ found.append(InheritedSocket($0, name: $1)) }) { throw error }
        return found
    }

    private static func kind(of number: Int32) -> Kind {
        let kind = clinux_socket_kind(number)
        let isStream = kind.type == Int32(SOCK_STREAM.rawValue)
        guard kind.domain >= 0, let name = SocketName.of(number) else { return .other("no socket: \(target(of: number))") }
        switch name {
        case .network(let address, let isDualStack):
            let isTCP = isStream && (kind.protocol == Int32(IPPROTO_TCP) || kind.protocol == multipathTCP)
            if isTCP, kind.listens == 1 { return .network(address, isDualStack: isDualStack) }
            let what = isTCP ? "a TCP socket that does not listen" : kind.protocol == Int32(IPPROTO_UDP) ? "a UDP socket" : "no TCP socket"
            return .other("\(what), on \(address)")
        case .local(let path):
            if isStream, kind.listens == 1 { return .local(path: path) }
            return .other("a Unix \(isStream ? "socket that does not listen" : "socket that is no stream"), \(name)")
        case .other(let family): return .other("a socket of address family \(family)")
        }
    }

    /// IPPROTO_MPTCP: what a unit with SocketProtocol=mptcp has; a listening socket like any other.
    private static let multipathTCP: Int32 = 262

    private static func target(of number: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        let count = readlink("/proc/self/fd/\(number)", &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : "descriptor \(number)"
    }
}
