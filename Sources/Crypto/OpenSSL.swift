// The one file that speaks C with libcrypto. Addresses come in and go out as buffers that are borrowed for one call.

import COpenSSL

/// What is used of libcrypto. Any thread.
enum OpenSSL {
    /// Asked before each call that needs the library set up.
    ///
    /// Set up without libcrypto's exit handler: it would free what other threads, which do not end at exit(3), still use.
    private static let isReady = OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil) == 1

    /// - Returns: nil where the library fails, which it does only without memory or without the algorithm (FIPS providers).
    static func sha256(_ bytes: UnsafeRawBufferPointer) -> Digest? {
        guard isReady else { return nil }
        var digest = Digest()
        let isDone = digest.withUnsafeMutableBytes { out in
            EVP_Digest(bytes.baseAddress, bytes.count, out.assumingMemoryBound(to: UInt8.self).baseAddress, nil, EVP_sha256(), nil) == 1
        }
        return isDone ? digest : nil
    }

    /// HMAC with SHA-256 (RFC 2104, RFC 6234).
    /// - Returns: nil as `sha256`, and for a key that is longer than Int32 can say.
    static func hmacSHA256(_ bytes: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> Digest? {
        guard isReady, let keyBytes = Int32(exactly: key.count) else { return nil }
        var digest = Digest()
        let isDone = withUnsafeBytes(of: UInt8(0)) { empty in
            digest.withUnsafeMutableBytes { out in
                // A null key would mean the key of the call before.
                HMAC(
                    EVP_sha256(), key.baseAddress ?? empty.baseAddress, keyBytes,
                    (bytes.baseAddress ?? empty.baseAddress)?.assumingMemoryBound(to: UInt8.self), bytes.count,
                    out.assumingMemoryBound(to: UInt8.self).baseAddress, nil) != nil
            }
        }
        return isDone ? digest : nil
    }

    /// Whether two buffers of one length hold the same; takes the same time wherever they differ.
    static func areEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
        guard a.count == b.count, let left = a.baseAddress, let right = b.baseAddress else { return a.isEmpty && b.isEmpty }
        return CRYPTO_memcmp(left, right, a.count) == 0
    }

    /// Fills a buffer from the library's generator, which the kernel seeds.
    /// - Returns: false where it cannot; the buffer must not be used then.
    static func fill(_ buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard !buffer.isEmpty else { return true }
        guard isReady, let count = Int32(exactly: buffer.count) else { return false }
        return RAND_bytes(buffer.assumingMemoryBound(to: UInt8.self).baseAddress, count) == 1
    }

    /// Overwrites with zeros; unlike an ordinary loop it is not optimised away in front of a deallocation.
    static func cleanse(_ buffer: UnsafeMutableRawBufferPointer) {
        if let start = buffer.baseAddress { OPENSSL_cleanse(start, buffer.count) }
    }
}
