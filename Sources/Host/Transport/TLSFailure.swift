// Why a TLS connection does not come about, or breaks: OpenSSL's queue of errors as a value.

import Base
import COpenSSL
import Glibc

/// A failure of a handshake or of a connection, as it is counted and logged.
public struct TLSFailure: Error, Sendable, Equatable {
    /// What is counted. The raw value is the name in counters.
    public enum Kind: String, Sendable, CaseIterable {
        /// The handshake was not over in time.
        case timeout
        /// A request without TLS.
        case plainHTTP = "plain_http"
        /// Neither TLS nor a request.
        case notTLS = "not_tls"
        /// Only versions before TLS 1.2 were offered.
        case version
        /// Nothing in common: cipher, group, signature, or ALPN without http/1.1.
        case parameters
        /// None where one is asked for, or one that is not accepted.
        case clientCertificate = "client_certificate"
        /// The peer refused, most often our certificate.
        case refusedByPeer = "refused_by_peer"
        /// The peer ended the connection during the handshake.
        case ended
        /// Too many handshakes at once, of which this one was the oldest.
        case crowded
        case other
    }

    public let kind: Kind
    /// For the log, without anything that the peer could choose freely.
    public let reason: String

    public init(_ kind: Kind, _ reason: String) {
        self.kind = kind
        self.reason = reason
    }

    /// Reads the calling thread's queue of errors.
    /// - Parameter connection: whose call has just failed.
    static func ofLastCall(on connection: OpaquePointer) -> TLSFailure {
        let code = ERR_peek_error()
        if code == 0 {
            return TLSFailure(.ended, errno == 0 ? "the peer ended the connection" : "the connection broke: \(SystemError.text(of: errno))")
        }
        let text = TLSFailure.text(of: code)
        guard ERR_GET_LIB(code) == ERR_LIB_SSL else { return TLSFailure(.other, text) }
        switch ERR_GET_REASON(code) {
        case SSL_R_UNEXPECTED_EOF_WHILE_READING: return TLSFailure(.ended, "the peer ended the connection")
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_UNKNOWN_PROTOCOL: return TLSFailure(.version, text)
        case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SHARED_GROUPS, SSL_R_NO_SUITABLE_GROUPS,
            SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_APPLICATION_PROTOCOL:
            return TLSFailure(.parameters, text)
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return TLSFailure(.clientCertificate, text)
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
            let why = X509_verify_cert_error_string(SSL_get_verify_result(connection)).map { String(cString: $0) } ?? text
            return TLSFailure(.clientCertificate, "the client's certificate: \(why)")
        case SSL_R_HTTP_REQUEST: return TLSFailure(.plainHTTP, text)
        case SSL_R_WRONG_VERSION_NUMBER: return TLSFailure(.notTLS, text)
        // A peer's alert has a reason of its own: 1000 and its number (RFC 8446 §6).
        case let reason where reason >= SSL_AD_REASON_OFFSET: return TLSFailure(.refusedByPeer, text)
        default: return TLSFailure(.other, text)
        }
    }

    /// OpenSSL's words for an error.
    static func text(of code: UInt) -> String {
        ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(String(code, radix: 16))"
    }
}
