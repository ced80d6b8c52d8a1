// TLS as a client speaks it, over a non-blocking socket: steps that never wait.

import Base
import COpenSSL
import Glibc

/// What the TLS connections of a client command have in common: whom they trust. Any thread.
public final class TLSClientContext: @unchecked Sendable {  // Sendable because OpenSSL counts references to a context atomically, and it is not changed.
    fileprivate let pointer: OpaquePointer
    fileprivate let trustsEverybody: Bool

    /// Whose certificates are taken.
    public enum Trust: Equatable, Sendable {
        /// Those of the authorities that this machine trusts.
        case system
        /// Those of the authorities (or the very certificates) in a PEM file.
        case file(String)
        case everybody
    }

    /// Reads the authorities. Blocks on the disk.
    public init(_ trust: Trust) throws(TLSFailure) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw TLSFailure(.other, "no memory for TLS") }
        pointer = context
        trustsEverybody = trust == .everybody
        _ = copenssl_set_versions(context, TLS1_2_VERSION, TLS1_3_VERSION)
        _ = copenssl_set_mode(context, Int(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS))
        // One read(2) for the header and the payload of a record.
        copenssl_set_read_ahead(context, 1)
        SSL_CTX_set_verify(context, trustsEverybody ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nil)
        switch trust {
        case .everybody: break
        case .system: SSL_CTX_set_default_verify_paths(context)
        case .file(let path):
            guard SSL_CTX_load_verify_locations(context, path, nil) == 1 else {
                throw TLSFailure(.other, "\(path): no certificate in PEM form could be read (\(TLSFailure.text(of: ERR_peek_error())))")
            }
        }
    }

    deinit { SSL_CTX_free(pointer) }
}

/// The TLS side of one connection of a client. Owner: one thread. Closes nothing: the socket stays its owner's.
public final class TLSClient {
    private let ssl: OpaquePointer
    private let context: TLSClientContext

    /// How a step has ended.
    public enum Step {
        /// Of reading and writing: so many bytes, at least one.
        case done(Int)
        case wantsRead
        case wantsWrite
        /// The server has ended the connection.
        case closed
        case failed(TLSFailure)
    }

    /// - Parameters:
    ///   - descriptor: of a non-blocking socket that outlives this.
    ///   - host: whose certificate is expected: a name or an IP address.
    /// - Returns: nil without memory.
    public init?(_ descriptor: Int32, _ context: TLSClientContext, host: String) {
        ERR_clear_error()
        guard let ssl = SSL_new(context.pointer) else { return nil }
        self.ssl = ssl
        self.context = context
        guard SSL_set_fd(ssl, descriptor) == 1 else { return nil }
        let offered: [UInt8] = [8] + Array("http/1.1".utf8)
        SSL_set_alpn_protos(ssl, offered, UInt32(offered.count))
        if IPAddress(host) != nil {
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host)
        } else {
            _ = copenssl_set_name(ssl, host)
            SSL_set1_host(ssl, host)
        }
        SSL_set_connect_state(ssl)
    }

    deinit { SSL_free(ssl) }

    /// Goes on with the handshake; `done(0)` when it is over.
    public func handshake() -> Step {
        ERR_clear_error()
        errno = 0
        let result = SSL_do_handshake(ssl)
        return result == 1 ? .done(0) : outcome(result)
    }

    /// Reads what one record has, at most.
    public func read(into room: UnsafeMutableRawBufferPointer) -> Step {
        ERR_clear_error()
        errno = 0
        let count = SSL_read(ssl, room.baseAddress, Int32(clamping: room.count))
        return count > 0 ? .done(Int(count)) : outcome(count)
    }

    /// Writes a part; what is not taken must be given again.
    public func write(_ bytes: UnsafeRawBufferPointer) -> Step {
        ERR_clear_error()
        errno = 0
        let count = SSL_write(ssl, bytes.baseAddress, Int32(clamping: bytes.count))
        return count > 0 ? .done(Int(count)) : outcome(count)
    }

    private func outcome(_ result: Int32) -> Step {
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN: return .closed
        default:
            let verdict = SSL_get_verify_result(ssl)
            if !context.trustsEverybody, verdict != Int(X509_V_OK), let why = X509_verify_cert_error_string(verdict) {
                return .failed(TLSFailure(.other, "the server's certificate: \(String(cString: why))"))
            }
            return .failed(TLSFailure.ofLastCall(on: ssl))
        }
    }

    /// What the server has shown, whether it is trusted or not; nil before it did.
    public var certificate: TLSContext.Certificate? {
        guard let shown = SSL_get1_peer_certificate(ssl) else { return nil }
        defer { X509_free(shown) }
        return TLSContext.certificate(shown)
    }

    /// `TLS 1.3`.
    public var version: String { TLSConnection.version(of: ssl) }
}
