// One connection to the daemon, plain or TLS: reading and writing that never wait.

import Base
import Host

/// A non-blocking socket and its TLS, if any; closed with the last reference.
///
/// `@unchecked Sendable` because one thread at a time has it: the one that opens the connection, then the client's own.
final class Link: @unchecked Sendable {
    let descriptor: FileDescriptor
    private var tls: TLSClient?

    init(owning descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// From here on through TLS.
    /// - Returns: false without memory.
    func secure(_ context: TLSClientContext, host: String) -> Bool {
        tls = TLSClient(descriptor.number, context, host: host)
        return tls != nil
    }

    var tlsVersion: String? { tls?.version }

    /// Goes on with a TLS handshake; `bytes(0)` when it is over.
    func handshake() -> Transfer { tls.map { Transfer($0.handshake()) } ?? .bytes(0) }

    func read(into room: UnsafeMutableRawBufferPointer) -> Transfer {
        if let tls { return Transfer(tls.read(into: room)) }
        return .receive(from: descriptor.number, into: room)
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        if let tls { return Transfer(tls.write(bytes)) }
        return .send(bytes, to: descriptor.number)
    }
}
