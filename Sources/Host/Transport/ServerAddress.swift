// Where connections to a server go to, and where they come from.

import Base
import CLinux
import Glibc

/// One address that a server's name stands for, as connect(2) takes it.
public struct ServerAddress: Sendable {
    private let storage: sockaddr_storage
    private let length: socklen_t
    private var family: Int32 { Int32(storage.ss_family) }
    /// In numbers, without the port; the path of a Unix socket.
    public let text: String

    /// Why a name has no address, in the resolver's words.
    public struct Unknown: Error, Equatable, Sendable {
        public let why: String
    }

    /// All addresses of a host, in the resolver's order; at least one. Blocks (getaddrinfo(3)).
    public static func all(host: String, port: Int) throws(Unknown) -> [ServerAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(host, "\(port)", &hints, &list)
        guard result == 0 else { throw Unknown(why: String(cString: gai_strerror(result))) }
        defer { freeaddrinfo(list) }
        var addresses: [ServerAddress] = []
        var entry = list
        while let info = entry?.pointee {
            entry = info.ai_next
            var storage = sockaddr_storage()
            guard let address = info.ai_addr, Int(info.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size else { continue }
            withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(info.ai_addrlen))) }
            var text = [CChar](repeating: 0, count: 128)
            guard getnameinfo(address, info.ai_addrlen, &text, 128, nil, 0, NI_NUMERICHOST) == 0 else { continue }
            let name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            addresses.append(ServerAddress(storage: storage, length: info.ai_addrlen, text: name))
        }
        guard !addresses.isEmpty else { throw Unknown(why: "it has no address") }
        return addresses
    }

    /// All addresses that a URL stands for; of a Unix socket its path. Blocks.
    public static func all(of url: ServerURL) throws(Unknown) -> [ServerAddress] {
        if let path = url.socketPath { return [unix(path)] }
        return try all(host: url.host, port: url.port)
    }

    private static func unix(_ path: String) -> ServerAddress {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // `ServerURL` lets no longer one through; the rest stays zero.
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) { room in withUnsafeBytes(of: address) { room.copyMemory(from: $0) } }
        return ServerAddress(storage: storage, length: socklen_t(MemoryLayout<sockaddr_un>.size), text: path)
    }

    public var isLoopback: Bool { IPAddress(text)?.isLoopback ?? false }

    /// Begins a connection.
    /// - Parameters:
    ///   - source: where it comes from, one of the addresses of 127.0.0.0/8, as a number from 0; only towards such an address.
    /// - Returns: a non-blocking socket that connects: once it can be written to, `failure(of:)` tells whether it has.
    public func connect(from source: Int? = nil) throws(SystemError) -> FileDescriptor {
        let number = clinux_stream_socket(family)
        guard number >= 0 else { throw SystemError("socket") }
        let descriptor = FileDescriptor(owning: number)
        var on: Int32 = 1
        if family != AF_UNIX { setsockopt(number, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size)) }
        if let source, family == AF_INET {
            // ip(7): the port is chosen by connect(2), for this pair of addresses, so that each source has a range of ports of its own.
            setsockopt(number, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, &on, socklen_t(MemoryLayout<Int32>.size))
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = (0x7F00_0001 + UInt32(truncatingIfNeeded: source) << 8).bigEndian
            let result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
            guard result == 0 else { throw SystemError("bind") }
        }
        var copy = storage
        let result = withUnsafePointer(to: &copy) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(number, $0, length) }
        }
        guard result == 0 || errno == EINPROGRESS else { throw SystemError("connect") }
        return descriptor
    }

    /// Why a connection that was begun has failed, by errno; 0 where it has not. Only once the socket is writable.
    public static func failure(of number: Int32) -> Int32 {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(number, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno
    }

    /// Connects, and waits for it.
    /// - Returns: a non-blocking socket.
    /// - Throws: also `ETIMEDOUT`.
    public func connect(within milliseconds: Int32) throws(SystemError) -> FileDescriptor {
        let descriptor = try connect()
        var waiting = pollfd(fd: descriptor.number, events: Int16(POLLOUT), revents: 0)
        while true {
            let count = poll(&waiting, 1, milliseconds)
            if count < 0, errno == EINTR { continue }
            let code = count == 0 ? ETIMEDOUT : ServerAddress.failure(of: descriptor.number)
            guard code == 0 else { throw SystemError("connect", code) }
            return descriptor
        }
    }
}
