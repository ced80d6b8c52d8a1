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

/// Owner: one thread.
final class ServerConnection {
    private let descriptor: FileDescriptor
    private let tls: TLSClient?
    /// For each step of the network.
    private let seconds: Int

    /// Connects to the first address that lets it, and does the TLS handshake where the address asks for one.
    static func open(_ url: ServerURL, trusting trust: TLSClientContext?, seconds: Int) throws(ConnectionFailure) -> ServerConnection {
        var failure = ConnectionFailure.name("it has no address")
        for address in try addresses(of: url) {
            let descriptor: FileDescriptor
            do throws(SystemError) {
                descriptor = try address.connect(within: Int32(seconds) * 1000)
            } catch {
                failure = .connect(error.code)
                continue
            }
            return try ServerConnection(descriptor, url, trusting: trust, seconds: seconds)
        }
        throw failure
    }

    static func addresses(of url: ServerURL) throws(ConnectionFailure) -> [ServerAddress] {
        do throws(ServerAddress.Unknown) {
            return try ServerAddress.all(of: url)
        } catch {
            throw .name(error.why)
        }
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
    private static func wait(for events: Int32, on number: Int32, seconds: Int) throws(ConnectionFailure) -> Bool {
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
