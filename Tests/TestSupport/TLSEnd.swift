// The client's side of TLS, apart from any socket: bytes in, bytes out, so that a test decides what arrives when.

import COpenSSL

/// One end of a TLS connection, as a client. One thread at a time.
public final class TLSEnd {
    public struct Options {
        public var lowest = TLS1_2_VERSION
        public var highest = TLS1_3_VERSION
        /// Paths of a certificate and its key.
        public var certificate: (String, String)?
        public var protocols: [String] = []
        public var session: TLSSession?
        /// TLS 1.2: the longest record as a code of RFC 6066 (1: 512 bytes).
        public var fragmentCode: UInt8 = 0
        public init() {}
    }

    private let context: OpaquePointer
    private let ssl: OpaquePointer
    private let input: OpaquePointer
    private let outputMemory: OpaquePointer
    /// The peer has said goodbye.
    public private(set) var isClosed = false

    public init(_ options: Options = Options()) throws {
        guard let context = SSL_CTX_new(TLS_client_method()), let input = BIO_new(BIO_s_mem()), let output = BIO_new(BIO_s_mem()) else {
            throw TestFailure("OpenSSL")
        }
        (self.context, self.input, outputMemory) = (context, input, output)
        // Old versions must be offered for a server to refuse them.
        if options.lowest < TLS1_2_VERSION { SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0") }
        _ = copenssl_set_versions(context, options.lowest, options.highest)
        if let (certificate, key) = options.certificate {
            guard SSL_CTX_use_certificate_chain_file(context, certificate) == 1,
                SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1
            else { throw TestFailure("the client's certificate \(certificate)") }
        }
        if options.fragmentCode > 0 { SSL_CTX_set_tlsext_max_fragment_length(context, options.fragmentCode) }
        guard let ssl = SSL_new(context) else { throw TestFailure("SSL_new") }
        self.ssl = ssl
        SSL_set_bio(ssl, input, output)
        SSL_set_connect_state(ssl)
        let list = options.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !list.isEmpty { SSL_set_alpn_protos(ssl, list, UInt32(list.count)) }
        if let session = options.session { SSL_set_session(ssl, session.pointer) }
    }

    deinit {
        // Else a session would count as broken, and could not be resumed a second time.
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        SSL_free(ssl)
        SSL_CTX_free(context)
    }

    /// What is to go to the peer.
    public func output() -> [UInt8] {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 20_000)
        while case let count = BIO_read(outputMemory, &part, Int32(part.count)), count > 0 { bytes += part[..<Int(count)] }
        return bytes
    }

    /// Takes what has come from the peer.
    public func feed(_ bytes: [UInt8]) { if !bytes.isEmpty { BIO_write(input, bytes, Int32(bytes.count)) } }

    private func check(_ result: Int32, _ what: String) throws {
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return
        case SSL_ERROR_ZERO_RETURN: isClosed = true
        default:
            let text = ERR_reason_error_string(ERR_peek_error()).map { String(cString: $0) } ?? "?"
            throw TestFailure("\(what): \(text)")
        }
    }

    /// - Returns: whether the handshake is over.
    public func handshake() throws -> Bool {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 { return true }
        try check(result, "handshake")
        return false
    }

    /// Payload that has arrived whole.
    public func read() throws -> [UInt8] {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 20_000)
        while !isClosed {
            ERR_clear_error()
            let count = SSL_read(ssl, &part, Int32(part.count))
            if count > 0 { bytes += part[..<Int(count)] } else {
                try check(count, "read")
                break
            }
        }
        return bytes
    }

    public func write(_ bytes: [UInt8]) throws {
        ERR_clear_error()
        let count = SSL_write(ssl, bytes, Int32(bytes.count))
        if count <= 0 { try check(count, "write") }
    }

    /// Says goodbye.
    public func close() { SSL_shutdown(ssl) }

    /// TLS 1.3: new keys for both sides (RFC 8446 §4.6.3).
    public func changeKeys() throws {
        guard SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1, SSL_do_handshake(ssl) == 1 else { throw TestFailure("no change of keys") }
    }

    /// Asks for a new handshake on the same connection (TLS 1.2).
    public func renegotiate() throws {
        guard SSL_renegotiate(ssl) == 1 else { throw TestFailure("no renegotiation") }
        _ = SSL_do_handshake(ssl)
    }

    public var isResumed: Bool { SSL_session_reused(ssl) == 1 }
    public var version: Int32 { SSL_version(ssl) }
    /// The protocol that the server chose; empty for none.
    public var chosenProtocol: String {
        var text: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(ssl, &text, &count)
        return String(decoding: UnsafeBufferPointer(start: text, count: Int(count)), as: UTF8.self)
    }
    /// What the next connection may resume.
    public var session: TLSSession? { SSL_get1_session(ssl).map(TLSSession.init) }
    /// The serial number of the server's certificate, to tell one from another.
    public var serverSerial: Int {
        guard let certificate = SSL_get1_peer_certificate(ssl) else { return 0 }
        defer { X509_free(certificate) }
        return ASN1_INTEGER_get(X509_get0_serialNumber(certificate))
    }
}

/// What a client keeps of a connection to resume it.
public final class TLSSession {
    let pointer: OpaquePointer
    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { SSL_SESSION_free(pointer) }
}
