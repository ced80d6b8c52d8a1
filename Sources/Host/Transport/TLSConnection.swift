// One TLS connection over a non-blocking socket: steps that never wait, and say what they would have waited for.

import COpenSSL
import Glibc

/// The TLS side of a connection. Owner: the shard that owns the socket; used on its queue only. Closes nothing: the socket stays its owner's.
///
/// What `write` has taken is on its way, as with a socket: of a record that the socket does not take whole, OpenSSL wants the same bytes
/// again, so these are copied and kept here (`held`). Whoever gave them may free them, and nothing that is begun is torn.
public final class TLSConnection {
    private let ssl: OpaquePointer
    /// Its callbacks run during our calls.
    private let context: TLSContext
    private var held: [UInt8] = []
    /// `close_notify` (RFC 8446 §6.1).
    private enum Goodbye { case unsaid, begun, said }
    private var goodbye = Goodbye.unsaid
    /// A failed connection must not be used any more.
    private var isBroken = false

    /// How far a handshake has come.
    public enum Handshake {
        case done
        case wantsRead
        case wantsWrite
        case failed(TLSFailure)
    }

    /// What there is to read.
    public enum Input {
        case bytes(Int)
        /// Nothing at present; the socket's next edge brings more.
        case wantsRead
        /// Nothing, before the socket takes something (a change of keys).
        case wantsWrite
        /// The peer has said that no more will come.
        case closed
        /// The peer's side has ended without saying so, or the connection is broken.
        case failed(TLSFailure)
    }

    /// What became of bytes that were to be sent.
    public enum Output {
        /// The socket has all of them.
        case taken
        /// The socket is full; call `flush` when it is writable, and `write` nothing before.
        case held
        case failed(TLSFailure)
    }

    /// - Parameter descriptor: of a connected, non-blocking socket that outlives this.
    /// - Returns: nil without memory.
    public init?(_ descriptor: Int32, _ context: TLSContext) {
        ERR_clear_error()
        guard let ssl = SSL_new(context.pointer) else { return nil }
        self.ssl = ssl
        self.context = context
        guard SSL_set_fd(ssl, descriptor) == 1 else { return nil }
        SSL_set_accept_state(ssl)
    }

    deinit { SSL_free(ssl) }

    // MARK: handshake

    /// Goes on with the handshake as far as the socket allows. Costs up to a millisecond of computing.
    public func handshake() -> Handshake {
        ERR_clear_error()
        errno = 0
        let result = SSL_do_handshake(ssl)
        if result == 1 { return .done }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        default: return .failed(fail())
        }
    }

    private func fail() -> TLSFailure {
        isBroken = true
        return TLSFailure.ofLastCall(on: ssl)
    }

    /// `TLS 1.3`.
    public var version: String { TLSConnection.version(of: ssl) }

    static func version(of ssl: OpaquePointer) -> String {
        switch SSL_version(ssl) {
        case TLS1_3_VERSION: "TLS 1.3"
        case TLS1_2_VERSION: "TLS 1.2"
        default: "TLS"
        }
    }

    /// Whether a ticket has spared the costly part.
    public var isResumed: Bool { SSL_session_reused(ssl) == 1 }

    /// The common name in the client's certificate; nil where it has shown none.
    public var clientName: String? {
        guard let certificate = SSL_get1_peer_certificate(ssl) else { return nil }
        defer { X509_free(certificate) }
        return TLSContext.commonName(of: certificate)
    }

    // MARK: reading

    /// Reads what one record has, at most.
    public func read(into room: UnsafeMutableRawBufferPointer) -> Input {
        if isBroken { return .failed(TLSFailure(.other, "broken before")) }
        ERR_clear_error()
        errno = 0
        let count = SSL_read(ssl, room.baseAddress, Int32(clamping: room.count))
        if count > 0 { return .bytes(Int(count)) }
        switch SSL_get_error(ssl, count) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN: return .closed
        default: return .failed(fail())
        }
    }

    // MARK: writing

    /// The most that goes into one record.
    public static let recordBytesMax = Int(SSL3_RT_MAX_PLAIN_LENGTH)

    /// Sends bytes. Only while nothing is held.
    public func write(_ bytes: UnsafeRawBufferPointer) -> Output {
        precondition(held.isEmpty)
        // Whoever asks for something after our goodbye gets no answer any more.
        if goodbye != .unsaid { return .failed(TLSFailure(.other, "closed before")) }
        var offset = 0
        let output = push(bytes, &offset)
        if case .held = output { held = Array(bytes[offset...]) }
        return output
    }

    /// Goes on with what is held.
    public func flush() -> Output {
        if !held.isEmpty {
            var offset = 0
            let output = held.withUnsafeBytes { push($0, &offset) }
            switch output {
            case .taken: held = []
            case .held:
                // A client may have agreed to records that are shorter than ours, so that several were held.
                if offset > 0 { held.removeFirst(offset) }
                return output
            case .failed: return output
            }
        }
        return goodbye == .begun ? close() : .taken
    }

    private func push(_ bytes: UnsafeRawBufferPointer, _ offset: inout Int) -> Output {
        if isBroken { return .failed(TLSFailure(.other, "broken before")) }
        while offset < bytes.count {
            ERR_clear_error()
            errno = 0
            let count = SSL_write(ssl, bytes.baseAddress.map { $0 + offset }, Int32(clamping: bytes.count - offset))
            if count > 0 {
                offset += Int(count)
                continue
            }
            switch SSL_get_error(ssl, count) {
            // Without renegotiation writing never waits for reading; if it should, the next edge of either kind goes on with it.
            case SSL_ERROR_WANT_WRITE, SSL_ERROR_WANT_READ: return .held
            default: return .failed(fail())
            }
        }
        return .taken
    }

    /// Says that no more will come: nothing can be written any more. Only while nothing is held.
    public func close() -> Output {
        if goodbye == .said { return .taken }
        if isBroken || SSL_is_init_finished(ssl) == 0 { return .failed(TLSFailure(.other, "broken before")) }
        goodbye = .begun
        ERR_clear_error()
        errno = 0
        let result = SSL_shutdown(ssl)
        if result >= 0 {
            goodbye = .said
            return .taken
        }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_WRITE, SSL_ERROR_WANT_READ: return .held
        default: return .failed(fail())
        }
    }

    /// For a connection that is ended as it stands: says goodbye if that is possible at once.
    public func closeIfPossible() {
        if held.isEmpty, goodbye != .said, !isBroken { _ = close() }
    }
}
