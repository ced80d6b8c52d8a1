// SHA-256 and HMAC-SHA-256 as values.

/// The 32 bytes of a SHA-256 digest or code. Equality here is for tables; codes are compared by `isEqual`.
public struct Digest: Hashable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    public static let byteCount = 32

    /// All zeros, to be filled.
    init() {}

    /// SHA-256 (RFC 6234).
    /// - Returns: nil only where libcrypto itself fails.
    public static func sha256(_ bytes: UnsafeRawBufferPointer) -> Digest? { OpenSSL.sha256(bytes) }
    public static func sha256(_ bytes: [UInt8]) -> Digest? { bytes.withUnsafeBytes { OpenSSL.sha256($0) } }
    public static func sha256(_ text: String) -> Digest? {
        var copy = text
        return copy.withUTF8 { OpenSSL.sha256(UnsafeRawBufferPointer($0)) }
    }

    /// HMAC with SHA-256 (RFC 2104).
    /// - Parameter key: any length; an empty one is a key like others, so callers that want a secret check for it.
    /// - Returns: nil only where libcrypto itself fails.
    public static func hmacSHA256(_ bytes: UnsafeRawBufferPointer, key: Secret) -> Digest? {
        key.withBytes { OpenSSL.hmacSHA256(bytes, key: $0) }
    }

    /// Whether the digest is these bytes; takes the same time wherever they differ. False for another length.
    public func isEqual(to bytes: UnsafeRawBufferPointer) -> Bool { withBytes { OpenSSL.areEqual($0, bytes) } }
    public func isEqual(to bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { isEqual(to: $0) } }

    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: words) { body($0) }
    }

    mutating func withUnsafeMutableBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        Swift.withUnsafeMutableBytes(of: &words) { body($0) }
    }

    /// 64 lower-case digits.
    public var hex: String {
        withBytes { bytes in
            String(unsafeUninitializedCapacity: 2 * bytes.count) { text in
                for (index, byte) in bytes.enumerated() {
                    text[2 * index] = Digest.digit(byte >> 4)
                    text[2 * index + 1] = Digest.digit(byte & 15)
                }
                return 2 * bytes.count
            }
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 87 + value }

    public static func == (a: Digest, b: Digest) -> Bool { a.words == b.words }
    public func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(words.2)
        hasher.combine(words.3)
    }
}
