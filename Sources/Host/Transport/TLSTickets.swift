// Keys of session tickets (RFC 5077, RFC 8446 §4.6.1): made here, never written anywhere, changed every hour.

import Base
import COpenSSL

/// The keys that session tickets are sealed with. Any thread.
///
/// A ticket is good for as long as its key is known: up to two hours, until a restart, or until `forget`. One key for the life of the
/// process, as OpenSSL has it by itself, would open everything that was ever resumed under TLS 1.2 to whoever gets hold of it.
public final class TLSTickets: Sendable {
    private struct Key {
        let name: [UInt8]
        let cipher: [UInt8]
        let mac: [UInt8]
        let made: UInt64
    }

    /// A key seals new tickets for so long, and opens old ones for as long again.
    public static let lifetime = Duration.seconds(3600)
    private static let lifetimeNanoseconds: UInt64 = 3_600_000_000_000
    private static let nameBytes = 16

    /// Newest first, two at most.
    private let keys = Locked<[Key]>([])
    private let clock: any Clock

    public init(clock: any Clock = SystemClock()) { self.clock = clock }

    /// No ticket of before opens any more.
    public func forget() { keys.withLock { $0 = [] } }

    /// The key for new tickets; nil where there is no randomness, and then there are no tickets.
    private func present() -> Key? {
        let now = clock.monotonic()
        return keys.withLock { keys in
            keys.removeAll { now &- $0.made >= 2 * TLSTickets.lifetimeNanoseconds }
            if let newest = keys.first, now &- newest.made < TLSTickets.lifetimeNanoseconds { return newest }
            var random = [UInt8](repeating: 0, count: TLSTickets.nameBytes + 64)
            guard RAND_bytes(&random, Int32(random.count)) == 1 else { return nil }
            let key = Key(name: Array(random[..<16]), cipher: Array(random[16..<48]), mac: Array(random[48...]), made: now)
            keys = [key] + keys.prefix(1)
            return key
        }
    }

    private func find(_ name: UnsafeMutablePointer<UInt8>) -> (key: Key, isNewest: Bool)? {
        _ = present()
        return keys.withLock { keys in
            for (position, key) in keys.enumerated() where key.name.elementsEqual(UnsafeBufferPointer(start: name, count: TLSTickets.nameBytes)) {
                return (key, position == 0)
            }
            return nil
        }
    }

    /// Makes the tickets of a context with these keys. They must live as long as the context.
    func serve(_ context: OpaquePointer) {
        SSL_CTX_set_ex_data(context, 0, Unmanaged.passUnretained(self).toOpaque())
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context) { connection, name, iv, cipher, mac, seals in
            guard let connection, let name, let iv, let found = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), 0) else { return -1 }
            let tickets = Unmanaged<TLSTickets>.fromOpaque(found).takeUnretainedValue()
            return tickets.use(name, iv, cipher, mac, seals: seals != 0)
        }
    }

    /// - Returns: 1: done; 2: done, and the ticket should be replaced; 0: no ticket; -1: failed.
    private func use(
        _ name: UnsafeMutablePointer<UInt8>, _ iv: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer?, _ mac: OpaquePointer?, seals: Bool
    ) -> Int32 {
        if seals {
            guard let key = present() else { return 0 }
            for (position, byte) in key.name.enumerated() { name[position] = byte }
            guard RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1,
                EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.cipher, iv) == 1, TLSTickets.set(key.mac, mac)
            else { return -1 }
            return 1
        }
        guard let (key, isNewest) = find(name) else { return 0 }
        guard TLSTickets.set(key.mac, mac), EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.cipher, iv) == 1 else { return -1 }
        return isNewest ? 1 : 2
    }

    private static func set(_ key: [UInt8], _ mac: OpaquePointer?) -> Bool {
        var key = key
        // Parameters keep pointers to their names.
        return key.withUnsafeMutableBytes { key in
            OSSL_MAC_PARAM_KEY.withCString { keyName in
                OSSL_MAC_PARAM_DIGEST.withCString { digestName in
                    var digest = Array("SHA256".utf8CString)
                    return digest.withUnsafeMutableBufferPointer { digest in
                        let parameters = [
                            OSSL_PARAM_construct_octet_string(keyName, key.baseAddress, key.count),
                            OSSL_PARAM_construct_utf8_string(digestName, digest.baseAddress, 0), OSSL_PARAM_construct_end(),
                        ]
                        return EVP_MAC_CTX_set_params(mac, parameters) == 1
                    }
                }
            }
        }
    }
}
