// One connection to the server, plain or TLS: reading and writing that never wait.

import Base
import Glibc
import Host

/// A socket and its TLS, if any. A value, so that thousands lie in one array; `close` ends it, once.
struct Link {
    let descriptor: Int32
    private let tls: Unmanaged<TLSClient>?

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
    func handshake() -> Transfer {
        guard let tls else { return .bytes(0) }
        return Transfer(tls._withUnsafeGuaranteedRef { $0.handshake() })
    }

    @inline(__always)
    func read(into room: UnsafeMutableRawBufferPointer) -> Transfer {
        if let tls { return readRecords(tls, room) }
        return .receive(from: descriptor, into: room)
    }

    /// Reads records until there is nothing, or no room for a whole one: what OpenSSL has read ahead would wake nobody.
    private func readRecords(_ tls: Unmanaged<TLSClient>, _ room: UnsafeMutableRawBufferPointer) -> Transfer {
        var count = 0
        while room.count - count > 0 {
            let rest = UnsafeMutableRawBufferPointer(rebasing: room[count...])
            let outcome = Transfer(tls._withUnsafeGuaranteedRef { $0.read(into: rest) })
            guard case .bytes(let more) = outcome else { return count > 0 ? .bytes(count) : outcome }
            count += more
        }
        return .bytes(count)
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        if let tls { return Transfer(tls._withUnsafeGuaranteedRef { $0.write(bytes) }) }
        return .send(bytes, to: descriptor)
    }
}
