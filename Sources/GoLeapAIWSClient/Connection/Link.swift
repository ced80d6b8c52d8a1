// One connection to the daemon, plain or TLS: reading and writing that never wait.

import Base
import Glibc
import Host

/// A non-blocking socket and its TLS, if any; closed with the last reference.
///
/// `@unchecked Sendable` because one thread at a time has it: the one that opens the connection, then the client's own.
final class Link: @unchecked Sendable {
    let descriptor: FileDescriptor
    private var tls: TLSClient?

    enum Outcome {
        case bytes(Int)
        /// Nothing at present.
        case wait
        /// Nothing before the socket can be written to.
        case waitToWrite
        case closed
        case failed(String)
    }

    init(owning descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// From here on through TLS.
    /// - Returns: false without memory.
    func secure(_ context: TLSClientContext, host: String) -> Bool {
        tls = TLSClient(descriptor.number, context, host: host)
        return tls != nil
    }

    var tlsVersion: String? { tls?.version }

    /// Goes on with a TLS handshake; `bytes(0)` when it is over.
    func handshake() -> Outcome { tls.map { Link.outcome(of: $0.handshake()) } ?? .bytes(0) }

    func read(into room: UnsafeMutableRawBufferPointer) -> Outcome {
        if let tls { return Link.outcome(of: tls.read(into: room)) }
        while true {
            let count = recv(descriptor.number, room.baseAddress, room.count, 0)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .closed }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wait
            default: return .failed(SystemError.text(of: errno))
            }
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        if let tls { return Link.outcome(of: tls.write(bytes)) }
        while true {
            let count = send(descriptor.number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
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
