// UTF-8 as it arrives: in pieces cut anywhere, and refused at the first byte that cannot be right (RFC 6455 §8.1, RFC 3629).

/// Validates a text piece by piece. Three bytes of state; knows no end of its own.
public struct UTF8Validator: Sendable {
    /// Continuation bytes still to come of the character begun.
    private var missing: UInt8 = 0
    /// Range of the next continuation byte: narrower than 80...BF after E0, ED, F0 and F4, which keeps out overlong forms,
    /// surrogates and what lies beyond U+10FFFF.
    private var low: UInt8 = 0x80
    private var high: UInt8 = 0xBF

    public init() {}

    /// Whether the text may end here: no character is half received.
    public var isComplete: Bool { missing == 0 }

    /// Takes the next bytes of the text.
    /// - Returns: false as soon as no continuation could make the text valid; the validator is then of no more use.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        var p = base.assumingMemoryBound(to: UInt8.self)
        let end = p + bytes.count
        while p < end {
            if missing == 0 {
                p = UTF8Validator.skipASCII(p, end)
                if p == end { return true }
                guard begin(p.pointee) else { return false }
            } else {
                guard p.pointee >= low, p.pointee <= high else { return false }
                missing -= 1
                low = 0x80
                high = 0xBF
            }
            p += 1
        }
        return true
    }

    /// Whether these bytes are a whole valid text.
    public static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var validator = UTF8Validator()
        return validator.feed(bytes) && validator.isComplete
    }

    /// Takes the first byte of a character that is not ASCII.
    private mutating func begin(_ byte: UInt8) -> Bool {
        switch byte {
        case 0xC2...0xDF: missing = 1
        case 0xE0: (missing, low) = (2, 0xA0)
        case 0xE1...0xEC, 0xEE, 0xEF: missing = 2
        case 0xED: (missing, high) = (2, 0x9F)
        case 0xF0: (missing, low) = (3, 0x90)
        case 0xF1...0xF3: missing = 3
        case 0xF4: (missing, high) = (3, 0x8F)
        default: return false
        }
        return true
    }

    /// The first byte at or after `start` that is not ASCII, or `end`.
    @inline(__always)
    static func skipASCII(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
        var p = start
        while end - p >= 8 {
            let bits = UInt64(littleEndian: UnsafeRawPointer(p).loadUnaligned(as: UInt64.self)) & 0x8080_8080_8080_8080
            if bits != 0 { return p + (bits.trailingZeroBitCount >> 3) }
            p += 8
        }
        while p < end, p.pointee < 0x80 { p += 1 }
        return p
    }

    /// Bytes of the valid character at `p` (2, 3 or 4; it is not ASCII), or 0 where it is none or cut off by `end`.
    @inline(__always)
    static func sequence(_ p: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Int {
        let available = end - p
        guard available >= 2 else { return 0 }
        let first = p[0]
        let second = p[1]
        if first < 0xE0 { return first >= 0xC2 && second & 0xC0 == 0x80 ? 2 : 0 }
        guard available >= 3, second & 0xC0 == 0x80, p[2] & 0xC0 == 0x80 else { return 0 }
        if first < 0xF0 {
            if first == 0xE0 && second < 0xA0 || first == 0xED && second > 0x9F { return 0 }
            return 3
        }
        guard available >= 4, p[3] & 0xC0 == 0x80, first <= 0xF4 else { return 0 }
        if first == 0xF0 && second < 0x90 || first == 0xF4 && second > 0x8F { return 0 }
        return 4
    }
}
