// Bytes that nobody is to see: not in a log, not in a description, not in memory that was given back.

/// A secret: a key, a token, a password. Immutable, so any thread may read it; its memory is overwritten when the last owner goes.
///
/// It shows itself nowhere: descriptions, reflection and `dump` say only that it is there.
///
/// `@unchecked Sendable` because the buffer is written in `init` and `deinit` only.
public final class Secret: @unchecked Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let buffer: UnsafeMutableRawBufferPointer

    public init(_ bytes: UnsafeRawBufferPointer) {
        buffer = Secret.copy(bytes)
        count = bytes.count
    }

    public init(_ bytes: [UInt8]) {
        buffer = bytes.withUnsafeBytes(Secret.copy)
        count = bytes.count
    }

    public init(_ text: String) {
        var text = text
        buffer = text.withUTF8 { Secret.copy(UnsafeRawBufferPointer($0)) }
        count = text.utf8.count
    }

    private static func copy(_ bytes: UnsafeRawBufferPointer) -> UnsafeMutableRawBufferPointer {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 8)
        buffer.copyMemory(from: bytes)
        return buffer
    }

    deinit {
        OpenSSL.cleanse(buffer)
        buffer.deallocate()
    }

    public let count: Int
    public var isEmpty: Bool { count == 0 }

    /// The bytes, for the length of the call only.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }

    /// Takes the same time wherever the two differ; their lengths are no secret.
    public func isEqual(to other: Secret) -> Bool { withBytes { a in other.withBytes { b in OpenSSL.areEqual(a, b) } } }

    public var description: String { "(secret)" }
    public var debugDescription: String { "(secret)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Bytes from libcrypto's generator.
public enum RandomBytes {
    /// - Returns: nil where the system gives no randomness; going on without is never right.
    public static func make(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: max(count, 0))
        return bytes.withUnsafeMutableBytes { OpenSSL.fill($0) } ? bytes : nil
    }
}
