// When a token is to be replaced by a fresh one.

import Base
import Protocol

/// Reads a token's own end (`exp` of RFC 7519 §4.1.4) and counts down to it. What is no such token never expires here.
struct TokenClock: Sendable {
    /// A fresh one is asked for so long before the end, or at half of what is left where that is less.
    static let margin: UInt64 = 60_000_000_000
    /// Asked again after a failure, and at the earliest after a token that is not much fresher.
    static let retryTime: UInt64 = 5_000_000_000

    /// By the monotonic clock, in nanoseconds; nil: never.
    private(set) var deadline: UInt64?

    /// Counts for another token from now on.
    mutating func begin(_ token: String?, at clock: any Clock) {
        deadline = nil
        guard let token, let end = TokenClock.end(of: token) else { return }
        let left = UInt64(clamping: (end &- clock.now().milliseconds)).multipliedReportingOverflow(by: 1_000_000)
        guard !left.overflow else { return }
        let wait = left.partialValue > 2 * TokenClock.margin ? left.partialValue - TokenClock.margin : left.partialValue / 2
        deadline = clock.monotonic() &+ max(TokenClock.retryTime, wait)
    }

    /// A fresh one was asked for, and is on its way.
    mutating func asked() { deadline = nil }

    /// It could not be had.
    mutating func failed(at clock: any Clock) { deadline = clock.monotonic() &+ TokenClock.retryTime }

    /// The token's end in milliseconds since 1970; nil where it tells none.
    static func end(of token: String) -> Int64? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let payload = base64URL(parts[1]), let seconds = (try? JSON(parsing: payload))?["exp"]?.double else { return nil }
        return Int64(exactly: (seconds * 1000).rounded())
    }

    /// RFC 4648 §5, without padding.
    static func base64URL(_ text: Substring) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var count: UInt32 = 0
        for byte in text.utf8 {
            let value: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte - UInt8(ascii: "0") + 52
            case UInt8(ascii: "-"): value = 62
            case UInt8(ascii: "_"): value = 63
            default: return nil
            }
            bits = (bits << 6 | UInt32(value)) & 0xFFFF
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> count))
            }
        }
        return bytes
    }
}
