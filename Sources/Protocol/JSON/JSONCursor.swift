// The one reader of JSON's grammar (RFC 8259, strict). Everything a publisher sends goes through here once per byte, hence raw
// pointers and eight bytes at a time; every read is preceded by a check against `end`.

/// A place in a text that is being validated. Borrows the bytes; lives as long as one call.
struct JSONCursor {
    /// Nesting is kept in the bits of one word, so no text can be deeper than this.
    static let depthLimit = 64

    let start: UnsafePointer<UInt8>
    let end: UnsafePointer<UInt8>
    var p: UnsafePointer<UInt8>
    /// Insignificant white space passed so far, in bytes.
    var blanks = 0

    init(_ input: UnsafeRawBufferPointer, at offset: Int) {
        let base = input.baseAddress ?? UnsafeRawPointer(JSONCursor.nowhere)
        start = base.assumingMemoryBound(to: UInt8.self)
        end = start + (input.baseAddress == nil ? 0 : input.count)
        p = start + min(max(offset, 0), end - start)
    }

    /// What an empty buffer without an address points to; never read, never written, never freed.
    nonisolated(unsafe) private static let nowhere = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)

    var offset: Int { p - start }

    /// The error for the present place.
    @inline(never)
    func error(_ what: StaticString) -> JSONError { JSONError(offset: offset, what: p < end ? "\(what)" : "unexpected end") }

    @inline(__always)
    mutating func skipWhitespace() {
        while p < end {
            switch p.pointee {
            case 0x20, 0x09, 0x0A, 0x0D:
                p += 1
                blanks += 1
            default: return
            }
        }
    }

    /// Validates one value, leading white space included; ends behind it.
    mutating func validateValue(depthMax: Int) throws(JSONError) {
        let depthMax = min(depthMax, JSONCursor.depthLimit)
        var depth = 0
        // Lowest bit: whether the innermost open container is an object.
        var containers: UInt64 = 0
        value: while true {
            skipWhitespace()
            guard p < end else { throw error("unexpected end") }
            switch p.pointee {
            case UInt8(ascii: "\""): try validateString()
            case UInt8(ascii: "{"):
                guard depth < depthMax else { throw error("nested too deeply") }
                depth += 1
                containers = containers << 1 | 1
                p += 1
                skipWhitespace()
                if p < end, p.pointee == UInt8(ascii: "}") { break }
                try validateKey()
                continue value
            case UInt8(ascii: "["):
                guard depth < depthMax else { throw error("nested too deeply") }
                depth += 1
                containers <<= 1
                p += 1
                skipWhitespace()
                if p < end, p.pointee == UInt8(ascii: "]") { break }
                continue value
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try validateNumber()
            case UInt8(ascii: "t"): try validateLiteral("true")
            case UInt8(ascii: "f"): try validateLiteral("false")
            case UInt8(ascii: "n"): try validateLiteral("null")
            default: throw error("expected a value")
            }
            // Behind a value, or before the bracket of an empty container.
            while true {
                if depth == 0 { return }
                skipWhitespace()
                guard p < end else { throw error("unexpected end") }
                let byte = p.pointee
                if containers & 1 == 1 {
                    if byte == UInt8(ascii: ",") {
                        p += 1
                        skipWhitespace()
                        try validateKey()
                        continue value
                    }
                    guard byte == UInt8(ascii: "}") else { throw error("expected ',' or '}'") }
                } else {
                    if byte == UInt8(ascii: ",") {
                        p += 1
                        continue value
                    }
                    guard byte == UInt8(ascii: "]") else { throw error("expected ',' or ']'") }
                }
                p += 1
                depth -= 1
                containers >>= 1
            }
        }
    }

    /// Validates a member's name and its colon.
    @inline(__always)
    mutating func validateKey() throws(JSONError) {
        guard p < end, p.pointee == UInt8(ascii: "\"") else { throw error("expected a name in quotes") }
        try validateString()
        skipWhitespace()
        guard p < end, p.pointee == UInt8(ascii: ":") else { throw error("expected ':'") }
        p += 1
    }

    /// Validates a string from its opening quote on; ends behind the closing one.
    @inline(__always)
    mutating func validateString() throws(JSONError) {
        p += 1
        while true {
            p = JSONCursor.skipPlain(p, end)
            guard p < end else { throw error("unexpected end") }
            let byte = p.pointee
            if byte == UInt8(ascii: "\"") {
                p += 1
                return
            }
            if byte == UInt8(ascii: "\\") {
                try validateEscape()
            } else if byte >= 0x80 {
                let bytes = UTF8Validator.sequence(p, end)
                guard bytes > 0 else { throw error("invalid UTF-8") }
                p += bytes
            } else {
                throw error("control character in a string")
            }
        }
    }

    private mutating func validateEscape() throws(JSONError) {
        guard end - p >= 2 else {
            p = end
            throw error("unexpected end")
        }
        switch p[1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
            UInt8(ascii: "r"), UInt8(ascii: "t"):
            p += 2
        case UInt8(ascii: "u"):
            guard JSONCursor.hex4(p + 2, end) != nil else { throw error("malformed \\u escape") }
            p += 6
        default: throw error("unknown escape")
        }
    }

    @inline(__always)
    private mutating func validateNumber() throws(JSONError) {
        if p.pointee == UInt8(ascii: "-") { p += 1 }
        guard p < end, isDigit(p.pointee) else { throw error("expected a digit") }
        if p.pointee == UInt8(ascii: "0") {
            p += 1
            if p < end, isDigit(p.pointee) { throw error("leading zero") }
        } else {
            skipDigits()
        }
        if p < end, p.pointee == UInt8(ascii: ".") {
            p += 1
            guard p < end, isDigit(p.pointee) else { throw error("expected a digit") }
            skipDigits()
        }
        if p < end, p.pointee | 0x20 == UInt8(ascii: "e") {
            p += 1
            if p < end, p.pointee == UInt8(ascii: "+") || p.pointee == UInt8(ascii: "-") { p += 1 }
            guard p < end, isDigit(p.pointee) else { throw error("expected a digit") }
            skipDigits()
        }
    }

    @inline(__always)
    private func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 <= 9 }

    @inline(__always)
    private mutating func skipDigits() { while p < end, isDigit(p.pointee) { p += 1 } }

    @inline(__always)
    private mutating func validateLiteral(_ text: StaticString) throws(JSONError) {
        let count = text.utf8CodeUnitCount
        guard end - p >= count else { throw error("expected a value") }
        for i in 0..<count where p[i] != text.utf8Start[i] { throw error("expected a value") }
        p += count
    }

    /// The first byte at or after `start` that needs a look inside a string: quote, backslash, control, or not ASCII.
    @inline(__always)
    static func skipPlain(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
        var p = start
        while end - p >= 8 {
            let v = UInt64(littleEndian: UnsafeRawPointer(p).loadUnaligned(as: UInt64.self))
            // A byte's high bit is set by the borrow of a subtraction where it was below 0x20, or equal to the one sought.
            // Borrows reach only higher bytes than the first hit, and only the first is used.
            let quote = v ^ 0x2222_2222_2222_2222
            let backslash = v ^ 0x5C5C_5C5C_5C5C_5C5C
            let hits =
                ((v &- 0x2020_2020_2020_2020) | (quote &- 0x0101_0101_0101_0101) | (backslash &- 0x0101_0101_0101_0101) | v)
                & 0x8080_8080_8080_8080
            if hits != 0 { return p + (hits.trailingZeroBitCount >> 3) }
            p += 8
        }
        while p < end {
            let byte = p.pointee
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 || byte >= 0x80 { break }
            p += 1
        }
        return p
    }

    /// Four hexadecimal digits.
    static func hex4(_ p: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> UInt32? {
        guard end - p >= 4 else { return nil }
        var value: UInt32 = 0
        for i in 0..<4 {
            guard let digit = HTTPSyntax.hexDigit(p[i]) else { return nil }
            value = value << 4 | UInt32(digit)
        }
        return value
    }
}
