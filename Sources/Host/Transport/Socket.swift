// System calls on sockets, each in one place, with typed failures.

import Base
import CLinux
import Glibc

/// Where a connection comes from, as far as its own socket tells.
public struct PeerAddress: Sendable, Hashable, CustomStringConvertible {
    /// Without brackets, without port: `127.0.0.1`, `::1`. An IPv4 address mapped into IPv6 is shown as IPv4.
    public let host: String
    public let port: Int
    public let isLoopback: Bool

    public init(host: String, port: Int, isLoopback: Bool) {
        self.host = host
        self.port = port
        self.isLoopback = isLoopback
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// An address to listen on, in numbers; names are not resolved, but for `localhost`.
public struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    public let host: String
    public let port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// A listening TCP socket.
public struct ListeningSocket: ~Copyable, Sendable {
    public let descriptor: FileDescriptor
    /// As bound: the port is the real one also where 0 was asked for.
    public let address: ListenAddress

    /// Gives the descriptor's number away; the receiver closes it.
    public consuming func release() -> Int32 { descriptor.release() }

    /// Binds and listens, non-blocking.
    /// - Throws: `SystemError` naming the call and the address; `EADDRINUSE` where the port is taken.
    public init(_ wanted: ListenAddress, backlog: Int32 = 4096) throws(SystemError) {
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
        let number = clinux_tcp_socket(family)
        guard number >= 0 else { throw SystemError("socket", on: wanted.description) }
        clinux_prepare_listener(number, family)
        let bound = withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, length) }
        }
        guard bound == 0, listen(number, backlog) == 0 else {
            let failure = SystemError(bound == 0 ? "listen" : "bind", on: wanted.description)
            close(number)
            throw failure
        }
        descriptor = FileDescriptor(owning: number)
        address = ListenAddress(host: wanted.host, port: Socket.localPort(number) ?? wanted.port)
    }
}

/// A connection that was just taken.
public struct AcceptedSocket: ~Copyable, Sendable {
    public let descriptor: FileDescriptor
    public let peer: PeerAddress

    /// Gives the descriptor's number away; the receiver closes it.
    public consuming func release() -> Int32 { descriptor.release() }
}

/// Calls on connected sockets.
public enum Socket {
    /// Takes the next connection from a listening socket; non-blocking, with close-on-exec.
    /// - Returns: nil when there is none (or it went away before it was taken).
    public static func accept(_ listening: Int32) throws(SystemError) -> AcceptedSocket? {
        while true {
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let number = withUnsafeMutablePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    clinux_accept(listening, $0, &length)
                }
            }
            if number >= 0 { return AcceptedSocket(descriptor: FileDescriptor(owning: number), peer: peer(of: storage)) }
            switch errno {
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH: continue
            case EAGAIN: return nil
            default: throw SystemError("accept4")
            }
        }
    }

    /// Sets what a connection of ours wants: no delay, and a send buffer that bounds what the kernel keeps for a slow reader.
    public static func prepare(_ number: Int32, sendBufferBytes: Int32) {
        clinux_prepare(number, sendBufferBytes)
    }

    static func localPort(_ number: Int32) -> Int? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(number, $0, &length) }
        }
        return result == 0 ? peer(of: storage).port : nil
    }

    static func peer(of storage: sockaddr_storage) -> PeerAddress {
        var copy = storage
        return withUnsafeBytes(of: &copy) { raw -> PeerAddress in
            guard let base = raw.baseAddress else { return PeerAddress(host: "", port: 0, isLoopback: false) }
            var text = [CChar](repeating: 0, count: 64)
            if Int32(storage.ss_family) == AF_INET6 {
                var address = base.assumingMemoryBound(to: sockaddr_in6.self).pointee
                inet_ntop(AF_INET6, &address.sin6_addr, &text, 64)
                var host = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                if host.hasPrefix("::ffff:"), host.contains(".") { host.removeFirst(7) }
                return PeerAddress(
                    host: host, port: Int(in_port_t(bigEndian: address.sin6_port)), isLoopback: host == "::1" || host.hasPrefix("127."))
            }
            var address = base.assumingMemoryBound(to: sockaddr_in.self).pointee
            inet_ntop(AF_INET, &address.sin_addr, &text, 64)
            let host = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return PeerAddress(host: host, port: Int(in_port_t(bigEndian: address.sin_port)), isLoopback: host.hasPrefix("127."))
        }
    }

    /// Cores that this process may run on.
    public static var affinityCount: Int { Int(clinux_affinity_count()) }

    /// Raises the limit of open descriptors to the hard one (getrlimit(2)).
    /// - Returns: the limit in force.
    public static func raiseDescriptorLimit() -> Int {
        Int(clamping: clinux_raise_descriptor_limit())
    }
}
