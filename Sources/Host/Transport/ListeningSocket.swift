// Sockets that listen: bound here, or inherited.

import Base
import CLinux
import Glibc

/// An address to listen on, in numbers; names are not resolved, but for `localhost`.
public struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    public let host: String
    public let port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Its socket's name in systemd's store, which takes no colons; names of other addresses differ.
    public var storeName: String { "\(ListenAddress.storePrefix)\(String(host.map { $0 == ":" ? "_" : $0 }))-\(port)" }
    public static let storePrefix = "listen-"
}

/// A listening socket, by TCP or Unix; non-blocking, with close-on-exec. Closes when the last reference goes, which is all that ever
/// happens to it: a shutdown(2) would end it for other holders too.
public final class ListeningSocket: Sendable {
    public let descriptor: FileDescriptor
    /// As bound: the port is the real one also where 0 was asked for. Nil for a Unix socket.
    public let address: ListenAddress?

    init(owning descriptor: consuming FileDescriptor, address: ListenAddress?) {
        self.descriptor = descriptor
        self.address = address
    }

    /// Binds and listens.
    /// - Throws: `SystemError` naming the call and the address; `EADDRINUSE` where the port is taken.
    public convenience init(_ wanted: ListenAddress, backlog: Int32 = ListeningSocket.backlog) throws(SystemError) {
        var storage = sockaddr_storage()
        var length = socklen_t(0)
        let isIPv6 = wanted.host.contains(":")
        let text = wanted.host == "localhost" ? "127.0.0.1" : wanted.host
        guard let port = in_port_t(exactly: wanted.port) else { throw SystemError("bind", EINVAL, on: wanted.description) }
        let parsed: Int32 = withUnsafeMutableBytes(of: &storage) { raw -> Int32 in
            guard let base = raw.baseAddress else { return 0 }
            if isIPv6 {
                let address = base.assumingMemoryBound(to: sockaddr_in6.self)
                address.pointee.sin6_family = sa_family_t(AF_INET6)
                address.pointee.sin6_port = port.bigEndian
                length = socklen_t(MemoryLayout<sockaddr_in6>.size)
                return inet_pton(AF_INET6, text, &address.pointee.sin6_addr)
            }
            let address = base.assumingMemoryBound(to: sockaddr_in.self)
            address.pointee.sin_family = sa_family_t(AF_INET)
            address.pointee.sin_port = port.bigEndian
            length = socklen_t(MemoryLayout<sockaddr_in>.size)
            return inet_pton(AF_INET, text, &address.pointee.sin_addr)
        }
        guard parsed == 1 else { throw SystemError("bind", EADDRNOTAVAIL, on: wanted.description) }
        let family = isIPv6 ? AF_INET6 : AF_INET
        let number = clinux_stream_socket(family)
        guard number >= 0 else { throw SystemError("socket", on: wanted.description) }
        let descriptor = FileDescriptor(owning: number)
        clinux_prepare_listener(number, family)
        let bound = withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, length) }
        }
        guard bound == 0, listen(number, backlog) == 0 else { throw SystemError(bound == 0 ? "listen" : "bind", on: wanted.description) }
        guard case .network(let address, _) = SocketName.of(number) else { throw SystemError("getsockname", on: wanted.description) }
        self.init(owning: descriptor, address: ListenAddress(host: wanted.host, port: address.port))
    }

    /// Connections that may wait to be accepted; the kernel takes net.core.somaxconn where that is less.
    public static let backlog: Int32 = 4096
}

/// What a socket is bound to (getsockname(2)).
public enum SocketName: Sendable, Hashable, CustomStringConvertible {
    /// `isDualStack`: an IPv6 socket that takes IPv4 as well.
    case network(ListenAddress, isDualStack: Bool)
    /// The path, `@` and a name in the abstract namespace, or nothing.
    case local(String)
    case other(family: Int32)

    public var description: String {
        switch self {
        case .network(let address, _): address.description
        case .local(let path): path.isEmpty ? "(unnamed)" : path
        case .other(let family): "(family \(family))"
        }
    }

    /// - Returns: nil where it is no socket.
    static func of(_ number: Int32) -> SocketName? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(number, $0, &length) }
        }
        guard result == 0 else { return nil }
        switch Int32(storage.ss_family) {
        case AF_INET, AF_INET6:
            let end = Socket.end(of: storage, unmapping: false)
            let isDualStack = Int32(storage.ss_family) == AF_INET6 && clinux_socket_kind(number).only_ipv6 == 0
            return .network(ListenAddress(host: end.host, port: Int(end.port)), isDualStack: isDualStack)
        case AF_UNIX:
            let path = withUnsafeBytes(of: &storage) {
                Array($0[min(MemoryLayout<sa_family_t>.size, Int(length))..<min(Int(length), $0.count)])
            }
            // An abstract name begins with a NUL; a path may or may not end in one.
            let isAbstract = path.first == 0 && path.count > 1
            let text = String(decoding: isAbstract ? path.dropFirst() : path.prefix { $0 != 0 }, as: UTF8.self)
            return .local(isAbstract ? "@\(text)" : text)
        case let family: return .other(family: family)
        }
    }
}
