// A connection of a command to a server: plain, over TLS, or to a Unix socket. Every call blocks, for a bounded time.

import Base
import Glibc
import Host

/// Why a connection does not come about, or breaks.
enum ConnectionFailure: Error, Equatable, CustomStringConvertible {
    /// The host is not found, in the resolver's words.
    case name(String)
    /// No address could be connected to; errno of the last.
    case connect(Int32)
    case tls(TLSFailure)
    case broken(Int32)
    /// Nothing came or went within so many seconds.
    case late(Int)
    /// What came makes no sense.
    case answer(String)

    var description: String {
        switch self {
        case .name(let why): "the name is not found: \(why)"
        case .connect(let code): "cannot connect: \(SystemError.text(of: code))"
        case .tls(let failure): "TLS: \(failure.reason)"
        case .broken(let code): SystemError.text(of: code)
        case .late(let seconds): "no answer within \(seconds) s"
        case .answer(let what): what
        }
    }
}

/// One address that a name stands for.
struct ResolvedAddress {
    /// In numbers, without the port.
    let text: String
    fileprivate let storage: sockaddr_storage
    fileprivate let length: socklen_t

    /// All addresses of a host, in the resolver's order. Blocks.
    static func all(of url: ServerURL) throws(ConnectionFailure) -> [ResolvedAddress] {
        if let path = url.socketPath { return [unix(path)] }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(url.host, "\(url.port)", &hints, &list)
        guard result == 0 else { throw .name(String(cString: gai_strerror(result))) }
        defer { freeaddrinfo(list) }
        var found: [ResolvedAddress] = []
        var entry = list
        while let info = entry?.pointee {
            entry = info.ai_next
            var storage = sockaddr_storage()
            guard let address = info.ai_addr, Int(info.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size else { continue }
            withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(info.ai_addrlen))) }
            var text = [CChar](repeating: 0, count: 128)
            guard getnameinfo(address, info.ai_addrlen, &text, 128, nil, 0, NI_NUMERICHOST) == 0 else { continue }
            let name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            found.append(ResolvedAddress(text: name, storage: storage, length: info.ai_addrlen))
        }
        guard !found.isEmpty else { throw .name("it has no address") }
        return found
    }

    private static func unix(_ path: String) -> ResolvedAddress {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // `ServerURL` lets no longer one through; the rest stays zero.
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) { room in withUnsafeBytes(of: address) { room.copyMemory(from: $0) } }
        return ResolvedAddress(text: path, storage: storage, length: socklen_t(MemoryLayout<sockaddr_un>.size))
    }

    /// Connects, and waits for it.
    /// - Returns: a non-blocking socket.
    func connect(within seconds: Int) throws(ConnectionFailure) -> FileDescriptor {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let number = socket(Int32(storage.ss_family), kind, 0)
        guard number >= 0 else { throw .connect(errno) }
        let descriptor = FileDescriptor(owning: number)
        var copy = storage
        let result = withUnsafePointer(to: &copy) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(number, $0, length) }
        }
        if result == 0 { return descriptor }
        guard errno == EINPROGRESS else { throw .connect(errno) }
        guard try ServerConnection.wait(for: POLLOUT, on: number, seconds: seconds) else { throw .connect(ETIMEDOUT) }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(number, SOL_SOCKET, SO_ERROR, &code, &size) == 0, code == 0 else { throw .connect(code == 0 ? errno : code) }
        return descriptor
    }
}

/// Owner: one thread.
final class ServerConnection {
    private let descriptor: FileDescriptor
    private let tls: TLSClient?
    /// For each step of the network.
    private let seconds: Int

    /// Connects to the first address that lets it, and does the TLS handshake where the address asks for one.
    static func open(_ url: ServerURL, trusting trust: TLSClientContext?, seconds: Int) throws(ConnectionFailure) -> ServerConnection {
        var failure = ConnectionFailure.name("it has no address")
        for address in try ResolvedAddress.all(of: url) {
            do throws(ConnectionFailure) {
                return try ServerConnection(address.connect(within: seconds), url, trusting: trust, seconds: seconds)
            } catch {
                failure = error
                if case .connect = error { continue }
                throw error
            }
        }
        throw failure
    }

    /// - Parameters:
    ///   - descriptor: a connected, non-blocking socket.
    ///   - trust: nil for no TLS, whatever the address says.
    init(_ descriptor: consuming FileDescriptor, _ url: ServerURL, trusting trust: TLSClientContext?, seconds: Int) throws(ConnectionFailure) {
        self.descriptor = descriptor
        self.seconds = seconds
        guard url.isSecure, let trust else {
            tls = nil
            return
        }
        guard let tls = TLSClient(self.descriptor.number, trust, host: url.host) else { throw .tls(TLSFailure(.other, "no memory for TLS")) }
        self.tls = tls
        _ = try step { tls.handshake() }
    }

    /// `TLS 1.3`; nil without TLS.
    var tlsVersion: String? { tls?.version }

    /// The server's certificate.
    var certificate: TLSContext.Certificate? { tls?.certificate }

    func send(_ bytes: [UInt8]) throws(ConnectionFailure) {
        var sent = 0
        while sent < bytes.count {
            if let tls {
                let part = Array(bytes[sent...].prefix(16_384))
                sent += try step { part.withUnsafeBytes { tls.write($0) } }
                continue
            }
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(descriptor.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count > 0 {
                sent += count
            } else if errno == EAGAIN {
                guard try ServerConnection.wait(for: POLLOUT, on: descriptor.number, seconds: seconds) else { throw .late(seconds) }
            } else if errno != EINTR {
                throw .broken(errno)
            }
        }
    }

    /// What has come, at least a byte; none at the end of the stream.
    func receive() throws(ConnectionFailure) -> [UInt8] {
        var part = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count: Int
            if let tls {
                count = try step { part.withUnsafeMutableBytes { tls.read(into: $0) } }
            } else {
                count = recv(descriptor.number, &part, part.count, 0)
                if count < 0, errno == EINTR { continue }
                if count < 0, errno == EAGAIN {
                    guard try ServerConnection.wait(for: POLLIN, on: descriptor.number, seconds: seconds) else { throw .late(seconds) }
                    continue
                }
                guard count >= 0 else { throw .broken(errno) }
            }
            return Array(part[..<count])
        }
    }

    /// Repeats a step of TLS until it is done.
    /// - Returns: how many bytes; 0 also at the end of the stream.
    private func step(_ body: () -> TLSClient.Step) throws(ConnectionFailure) -> Int {
        while true {
            let isWriting: Bool
            switch body() {
            case .done(let count): return count
            case .closed: return 0
            case .failed(let failure): throw .tls(failure)
            case .wantsRead: isWriting = false
            case .wantsWrite: isWriting = true
            }
            guard try ServerConnection.wait(for: isWriting ? POLLOUT : POLLIN, on: descriptor.number, seconds: seconds) else { throw .late(seconds) }
        }
    }

    /// - Returns: false when the time is over.
    fileprivate static func wait(for events: Int32, on number: Int32, seconds: Int) throws(ConnectionFailure) -> Bool {
        let clock = SystemClock()
        let end = clock.monotonic() + UInt64(seconds) * 1_000_000_000
        while true {
            let now = clock.monotonic()
            var waiting = pollfd(fd: number, events: Int16(events), revents: 0)
            let count = poll(&waiting, 1, now < end ? Int32(clamping: (end - now) / 1_000_000 + 1) : 0)
            if count > 0 { return true }
            if count == 0 { return false }
            guard errno == EINTR else { throw .broken(errno) }
        }
    }
}
