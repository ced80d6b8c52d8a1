// The addresses of a host.

import Base
import CLinux
import Glibc

/// One address of a server, as connect(2) takes it.
struct Address: Sendable {
    private let storage: sockaddr_storage
    private let length: socklen_t
    private let family: Int32

    /// All addresses of a host, in the resolver's order. Blocks.
    static func all(host: String, port: Int) throws(OptionsError) -> [Address] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(host, "\(port)", &hints, &list)
        guard result == 0 else { throw OptionsError(description: "cannot find \(host): \(String(cString: gai_strerror(result)))") }
        defer { freeaddrinfo(list) }
        var addresses: [Address] = []
        var entry = list
        while let info = entry?.pointee {
            entry = info.ai_next
            var storage = sockaddr_storage()
            guard let address = info.ai_addr, Int(info.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size else { continue }
            withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(info.ai_addrlen))) }
            addresses.append(Address(storage: storage, length: info.ai_addrlen, family: info.ai_family))
        }
        return addresses
    }

    /// Begins a connection.
    /// - Returns: a non-blocking socket, which is connected or has failed once it can be written to.
    func connect() throws(SystemError) -> FileDescriptor {
        let number = clinux_tcp_socket(family)
        guard number >= 0 else { throw SystemError("socket") }
        let descriptor = FileDescriptor(owning: number)
        var on: Int32 = 1
        setsockopt(number, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        var copy = storage
        let result = withUnsafePointer(to: &copy) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(number, $0, length) }
        }
        guard result == 0 || errno == EINPROGRESS else { throw SystemError("connect") }
        return descriptor
    }
}
