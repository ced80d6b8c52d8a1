// System calls on sockets, each in one place, with typed failures.

import Base
import CLinux
import Glibc

/// A connection that was just taken.
public struct AcceptedSocket: ~Copyable, Sendable {
    public let descriptor: FileDescriptor
    public let peer: PeerAddress
    /// Counts it for its address, where that is limited.
    public var admission: AddressGate.Admission?
    /// Whether it has come to a port that speaks TLS.
    public var speaksTLS = false

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
            if number >= 0 { return AcceptedSocket(descriptor: FileDescriptor(owning: number), peer: peer(of: storage, number)) }
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

    /// Bytes given to the kernel that the peer's kernel has not taken; 0 where that is not known. A local socket (AF_UNIX) counts its
    /// memory instead, which is more.
    public static func unsentBytes(_ number: Int32) -> Int { Int(clinux_unsent(number)) }

    private static func peer(of storage: sockaddr_storage, _ number: Int32) -> PeerAddress {
        if Int32(storage.ss_family) == AF_UNIX { return .local(.of(number)) }
        let (host, port) = end(of: storage, unmapping: true)
        return .network(host: host, port: port, isLoopback: host == "::1" || host.hasPrefix("127."))
    }

    /// The numbers of an IPv4 or IPv6 address; nothing for other families.
    /// - Parameter unmapping: show an IPv4 address that is mapped into IPv6 as IPv4.
    static func end(of storage: sockaddr_storage, unmapping: Bool) -> (host: String, port: UInt16) {
        var copy = storage
        return withUnsafeBytes(of: &copy) { raw -> (String, UInt16) in
            guard let base = raw.baseAddress else { return ("", 0) }
            var text = [CChar](repeating: 0, count: 64)
            if Int32(storage.ss_family) == AF_INET6 {
                var address = base.assumingMemoryBound(to: sockaddr_in6.self).pointee
                inet_ntop(AF_INET6, &address.sin6_addr, &text, 64)
                var host = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                if unmapping, host.hasPrefix("::ffff:"), host.contains(".") { host.removeFirst(7) }
                return (host, in_port_t(bigEndian: address.sin6_port))
            }
            guard Int32(storage.ss_family) == AF_INET else { return ("", 0) }
            var address = base.assumingMemoryBound(to: sockaddr_in.self).pointee
            inet_ntop(AF_INET, &address.sin_addr, &text, 64)
            let host = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return (host, in_port_t(bigEndian: address.sin_port))
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
