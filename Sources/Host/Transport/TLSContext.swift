// What the TLS connections of the daemon have in common: certificate, key, what is spoken. Made anew when the files change.

import Base
import COpenSSL
import Glibc

/// What is wrong with a file of `server.tls`, as a sentence for the operator.
public struct TLSFileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Of the configuration: `server.tls.cert`.
    public let key: String
    /// With the file's name, and what would be right.
    public let message: String
    public var description: String { "\(key): \(message)" }
}

/// A certificate and its key, ready to serve; never changed. Any thread.
///
/// TLS 1.2 and 1.3; only key exchange with forward secrecy and ciphers with authenticated encryption; no renegotiation, no compression; ALPN
/// `http/1.1` and nothing else. The name that a client asks for (SNI) does not matter: there is one certificate.
public final class TLSContext: @unchecked Sendable {  // Sendable because OpenSSL counts references to a context atomically, and it is not changed.
    /// What operators are told of the certificate.
    public struct Certificate: Sendable, Equatable {
        /// Its common name; empty where it has none.
        public let name: String
        public let notBefore: Instant
        public let notAfter: Instant

        /// Whole days until it expires, rounded down; negative afterwards.
        public func daysLeft(at now: Instant) -> Int {
            let (milliseconds, day) = (notAfter.milliseconds &- now.milliseconds, Int64(86_400_000))
            return Int(milliseconds >= 0 ? milliseconds / day : -((day - 1 &- milliseconds) / day))
        }

        /// Why clients will not take it; nil where its dates are fine.
        public func fault(at now: Instant) -> String? {
            if now >= notAfter { return "has expired on \(notAfter.rfc3339); clients refuse it: renew it" }
            if now < notBefore { return "is valid only from \(notBefore.rfc3339) on; clients refuse it until then: is the clock right?" }
            return nil
        }
    }

    /// Frees it also where `init` throws half-way.
    private final class Owner {
        let pointer: OpaquePointer
        init(_ pointer: OpaquePointer) { self.pointer = pointer }
        deinit { SSL_CTX_free(pointer) }
    }

    private let owner: Owner
    var pointer: OpaquePointer { owner.pointer }
    /// Kept, because the callback of `pointer` uses them.
    private let tickets: TLSTickets
    public let certificate: Certificate

    private static let ciphers =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
        + ":ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    private static let groups = "X25519:P-256:P-384"
    private static let signatures =
        "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512"

    /// Reads the files and checks that they fit. Blocks on the disk.
    /// - Parameters:
    ///   - settings: paths of certificate chain, key and, if not empty, of the authorities whose clients are let in.
    ///   - tickets: may be shared by contexts, also one after the other.
    public init(_ settings: Settings.TLS, tickets: TLSTickets) throws(TLSFileError) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_server_method()) else { throw TLSContext.unusable("no memory") }
        owner = Owner(context)
        self.tickets = tickets
        let chain = try PEMFile(settings.certificate, "server.tls.cert")
        let key = try PEMFile(settings.key, "server.tls.key")
        certificate = try TLSContext.use(chain, key, in: context)
        var identity = chain.bytes
        if !settings.clientCA.isEmpty {
            let authorities = try PEMFile(settings.clientCA, "server.tls.client_ca")
            try TLSContext.ask(for: authorities, in: context)
            identity += authorities.bytes
        }
        try setUp(identity)
    }

    /// - Parameter identity: a ticket is good only where this is the same, so that neither an exchanged certificate nor other client
    ///   authorities can be passed by.
    private func setUp(_ identity: [UInt8]) throws(TLSFileError) {
        SSL_CTX_set_options(pointer, copenssl_server_options)
        // Moving: the bytes of a record that waits are copied. Buffers of a connection that is idle are given back.
        _ = copenssl_set_mode(
            pointer,
            Int(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN))
        // One read(2) for the header and the payload of a record.
        copenssl_set_read_ahead(pointer, 1)
        guard copenssl_set_versions(pointer, TLS1_2_VERSION, TLS1_3_VERSION) == 1, SSL_CTX_set_cipher_list(pointer, TLSContext.ciphers) == 1,
            copenssl_set_groups(pointer, TLSContext.groups) == 1, copenssl_set_signatures(pointer, TLSContext.signatures) == 1
        else { throw TLSContext.unusable(TLSFailure.text(of: ERR_peek_error())) }
        // Sessions are kept by the clients, in tickets, and cost nothing here.
        _ = copenssl_set_cache_mode(pointer, Int(SSL_SESS_CACHE_OFF))
        SSL_CTX_set_num_tickets(pointer, 1)
        SSL_CTX_set_timeout(pointer, Int(TLSTickets.lifetime.components.seconds))
        tickets.serve(pointer)
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        SHA256(identity, identity.count, &digest)
        guard SSL_CTX_set_session_id_context(pointer, digest, UInt32(digest.count)) == 1 else { throw TLSContext.unusable("no session context") }
        SSL_CTX_set_alpn_select_cb(pointer, { _, chosen, length, offered, count, _ in
            TLSContext.selectProtocol(chosen, length, offered, Int(count))
        }, nil)
    }

    /// RFC 7301: a client that offers protocols and not ours is refused; one that offers none is welcome.
    private static func selectProtocol(
        _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ length: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?, _ count: Int
    ) -> Int32 {
        let ours = Array("http/1.1".utf8)
        var position = 0
        while let offered, position < count {
            let size = Int(offered[position])
            guard position + 1 + size <= count else { break }
            if UnsafeBufferPointer(start: offered + position + 1, count: size).elementsEqual(ours) {
                chosen?.pointee = offered + position + 1
                length?.pointee = UInt8(size)
                return SSL_TLSEXT_ERR_OK
            }
            position += 1 + size
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }

    private static func unusable(_ why: String) -> TLSFileError {
        TLSFileError(key: "server.tls.enabled", message: "OpenSSL cannot be used: \(why)")
    }

    // MARK: files

    private static func use(_ file: PEMFile, _ keyFile: PEMFile, in context: OpaquePointer) throws(TLSFileError) -> Certificate {
        let chain = try file.certificates()
        let key = try keyFile.privateKey()
        // Pointers into them are used to the end.
        defer { withExtendedLifetime((chain, key)) {} }
        guard let leaf = chain.all.first else { throw file.error("holds no certificate") }
        guard X509_check_private_key(leaf, key.pointer) == 1 else {
            let belongsToOther = chain.all.dropFirst().contains { X509_check_private_key($0, key.pointer) == 1 }
            throw keyFile.error(
                belongsToOther
                    ? "belongs to a certificate of \(quoted(file.path)) that is not the first there; the server's own certificate must come first"
                    : "does not fit the certificate in \(quoted(file.path)) (server.tls.cert); name the key that the certificate was made for")
        }
        guard SSL_CTX_use_certificate(context, leaf) == 1 else {
            throw file.error("cannot be used: \(TLSFailure.text(of: ERR_peek_error())); a key of 2048 bits (RSA) or 256 bits (ECDSA) or more is needed")
        }
        for other in chain.all.dropFirst() where copenssl_add_chain(context, other) != 1 {
            throw file.error("cannot be used: \(TLSFailure.text(of: ERR_peek_error()))")
        }
        guard SSL_CTX_use_PrivateKey(context, key.pointer) == 1 else {
            throw keyFile.error("cannot be used: \(TLSFailure.text(of: ERR_peek_error()))")
        }
        guard let certificate = certificate(leaf) else { throw file.error("holds a certificate without dates") }
        return certificate
    }

    /// - Returns: nil for one without dates.
    static func certificate(_ certificate: OpaquePointer) -> Certificate? {
        guard let notBefore = instant(X509_get0_notBefore(certificate)), let notAfter = instant(X509_get0_notAfter(certificate)) else { return nil }
        return Certificate(name: commonName(of: certificate), notBefore: notBefore, notAfter: notAfter)
    }

    /// Lets in only clients with a certificate of these authorities.
    private static func ask(for file: PEMFile, in context: OpaquePointer) throws(TLSFileError) {
        let store = SSL_CTX_get_cert_store(context)
        let authorities = try file.certificates()
        defer { withExtendedLifetime(authorities) {} }
        for certificate in authorities.all {
            guard X509_STORE_add_cert(store, certificate) == 1, SSL_CTX_add_client_CA(context, certificate) == 1 else {
                throw file.error("cannot be used: \(TLSFailure.text(of: ERR_peek_error()))")
            }
        }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    }

    private static func instant(_ time: UnsafePointer<ASN1_TIME>?) -> Instant? {
        var parts = tm()
        guard ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
        return Instant(milliseconds: Int64(timegm(&parts)) &* 1000)
    }

    static func commonName(of certificate: OpaquePointer) -> String {
        var text = [CChar](repeating: 0, count: 128)
        let count = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, &text, Int32(text.count))
        guard count > 0 else { return "" }
        return clip(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self), to: 80)
    }
}

/// A file with PEM blocks (RFC 7468), read whole.
private struct PEMFile {
    let path: String
    let key: String
    let bytes: [UInt8]

    init(_ path: String, _ key: String) throws(TLSFileError) {
        self.path = path
        self.key = key
        guard !path.isEmpty else {
            throw TLSFileError(key: key, message: "is empty; server.tls.enabled: true needs the path of a PEM file here")
        }
        do throws(ConfigError) {
            bytes = try ConfigFile.read(path)
        } catch {
            throw TLSFileError(
                key: key, message: "\(quoted(path)) \(error.message); name a PEM file that the daemon's user can read")
        }
    }

    func error(_ what: String) -> TLSFileError { TLSFileError(key: key, message: "\(quoted(path)) \(what)") }

    private func reading<Result>(_ body: (OpaquePointer?) throws(TLSFileError) -> Result) throws(TLSFileError) -> Result {
        ERR_clear_error()
        defer { ERR_clear_error() }
        let memory = bytes.withUnsafeBytes { bytes in
            let memory = BIO_new(BIO_s_mem())
            _ = BIO_write(memory, bytes.baseAddress, Int32(clamping: bytes.count))
            return memory
        }
        defer { BIO_free(memory) }
        return try body(memory)
    }

    /// All certificates, in the order of the file; at least one.
    func certificates() throws(TLSFileError) -> Certificates {
        try reading { memory throws(TLSFileError) in
            let found = Certificates()
            while let certificate = PEM_read_bio_X509(memory, nil, nil, nil) { found.all.append(certificate) }
            let code = ERR_peek_last_error()
            guard ERR_GET_LIB(code) == ERR_LIB_PEM, ERR_GET_REASON(code) == PEM_R_NO_START_LINE else {
                throw error("holds a damaged certificate (\(TLSFailure.text(of: ERR_peek_error())), number \(found.all.count + 1) of the file)")
            }
            if found.all.isEmpty { throw error("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)") }
            return found
        }
    }

    func privateKey() throws(TLSFileError) -> PrivateKey {
        try reading { memory throws(TLSFileError) in
            // Nobody is there to be asked for a pass phrase.
            if let key = PEM_read_bio_PrivateKey(memory, nil, { _, _, _, _ in -1 }, nil) { return PrivateKey(key) }
            let code = ERR_peek_last_error()
            let text = String(decoding: bytes, as: UTF8.self)
            let isMissing = !text.contains("PRIVATE KEY-----")
            if text.contains("ENCRYPTED") {
                throw error("holds a key that is locked by a pass phrase; store it without one (openssl pkey -in … -out …), readable for the daemon only")
            }
            throw error(isMissing ? "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)" : "holds a damaged private key (\(TLSFailure.text(of: code)))")
        }
    }
}

/// Certificates in OpenSSL's form; freed with the last reference.
private final class Certificates {
    var all: [OpaquePointer] = []
    deinit { for certificate in all { X509_free(certificate) } }
}

/// A key in OpenSSL's form; freed with the last reference.
private final class PrivateKey {
    let pointer: OpaquePointer
    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { EVP_PKEY_free(pointer) }
}
