// One connection to the server, plain or TLS: reading and writing that never wait.

import Base
import Glibc
import Host

/// A socket and its TLS, if any. A value, so that thousands lie in one array; `close` ends it, once.
struct Link {
    let descriptor: Int32
    private let tls: Unmanaged<TLSClient>?

    enum Outcome {
        case bytes(Int)
        /// Nothing at present.
        case wait
        /// Nothing before the socket can be written to.
        case waitToWrite
        case closed
        case failed(String)
    }

    /// Takes over a descriptor.
    /// - Parameter tls: of the same descriptor.
    init(owning descriptor: Int32, tls: TLSClient?) {
        self.descriptor = descriptor
        self.tls = tls.map { Unmanaged.passRetained($0) }
    }

    var isSecure: Bool { tls != nil }

    func close() {
        tls?.release()
        _ = Glibc.close(descriptor)
    }

    /// Goes on with a TLS handshake; `bytes(0)` when it is over.
    func handshake() -> Outcome {
        guard let tls else { return .bytes(0) }
        return Link.outcome(of: tls._withUnsafeGuaranteedRef { $0.handshake() })
    }

    @inline(__always)
    func read(into room: UnsafeMutableRawBufferPointer) -> Outcome {
        if let tls { return readRecords(tls, room) }
        while true {
            let count = recv(descriptor, room.baseAddress, room.count, 0)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .closed }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wait
            default: return .failed(SystemError.text(of: errno))
            }
        }
    }

    /// Reads records until there is nothing, or no room for a whole one: what OpenSSL has read ahead would wake nobody.
    private func readRecords(_ tls: Unmanaged<TLSClient>, _ room: UnsafeMutableRawBufferPointer) -> Outcome {
        var count = 0
        while room.count - count > 0 {
            let rest = UnsafeMutableRawBufferPointer(rebasing: room[count...])
            let outcome = Link.outcome(of: tls._withUnsafeGuaranteedRef { $0.read(into: rest) })
            guard case .bytes(let more) = outcome else { return count > 0 ? .bytes(count) : outcome }
            count += more
        }
        return .bytes(count)
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        if let tls { return Link.outcome(of: tls._withUnsafeGuaranteedRef { $0.write(bytes) }) }
        while true {
            let count = send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            if count >= 0 { return .bytes(count) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .waitToWrite
            default: return .failed(SystemError.text(of: errno))
            }
        }
    }

    private static func outcome(of step: TLSClient.Step) -> Outcome {
        switch step {
        case .done(let count): .bytes(count)
        case .wantsRead: .wait
        case .wantsWrite: .waitToWrite
        case .closed: .closed
        case .failed(let failure): .failed(failure.reason)
        }
    }
}
