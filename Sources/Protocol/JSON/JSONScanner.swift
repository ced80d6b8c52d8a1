// JSON that is passed on rather than understood: validated, freed of insignificant white space, and cut at its members.

import Base

/// Works on JSON texts in place. Nothing here keeps state; all offsets count from the beginning of the input given.
public enum JSONScanner {
    /// Validates one value and appends it to `out` without insignificant white space; strings and numbers stay byte for byte.
    ///
    /// Strict RFC 8259, with UTF-8 checked. A lone surrogate escape (`"\ud800"`) is within the grammar and passes.
    /// - Parameters:
    ///   - offset: where to begin; white space before the value is allowed.
    ///   - depthMax: containers that may be open at once, up to 64.
    ///   - out: grows once, by the size of what is appended; untouched on error.
    /// - Returns: the offset behind the value; what follows is not looked at.
    /// - Complexity: O(bytes of the value).
    public static func compact(
        _ input: UnsafeRawBufferPointer, at offset: Int, depthMax: Int = 64, into out: inout [UInt8]
    ) throws(JSONError) -> Int {
        var cursor = JSONCursor(input, at: offset)
        cursor.skipWhitespace()
        cursor.blanks = 0
        let first = cursor.p
        try cursor.validateValue(depthMax: depthMax)
        let value = UnsafeBufferPointer(start: first, count: cursor.p - first)
        let start = out.count
        out.append(contentsOf: value)
        if cursor.blanks > 0 { strip(&out, from: start, blanks: cursor.blanks) }
        return cursor.offset
    }

    /// Validates one value as `compact` does, and copies nothing.
    /// - Returns: the offset behind the value.
    public static func validate(_ input: UnsafeRawBufferPointer, at offset: Int, depthMax: Int = 64) throws(JSONError) -> Int {
        var cursor = JSONCursor(input, at: offset)
        try cursor.validateValue(depthMax: depthMax)
        return cursor.offset
    }

    /// The offset of the first byte at or after `offset` that is not white space; at most `input.count`.
    public static func skipWhitespace(_ input: UnsafeRawBufferPointer, at offset: Int) -> Int {
        var cursor = JSONCursor(input, at: offset)
        cursor.skipWhitespace()
        return cursor.offset
    }

    /// Takes the white space out of the validated value that begins at `start`, moving the rest together.
    private static func strip(_ bytes: inout [UInt8], from start: Int, blanks: Int) {
        bytes.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            let end = UnsafePointer(base + buffer.count)
            var p = UnsafePointer(base + start)
            var target = base + start
            while p < end {
                let byte = p.pointee
                if byte == UInt8(ascii: "\"") {
                    let behind = skipString(p, end)
                    target.update(from: p, count: behind - p)
                    target += behind - p
                    p = behind
                } else {
                    // White space is overwritten by what follows: no branch that could be guessed wrong.
                    target.pointee = byte
                    target += byte > 0x20 ? 1 : 0
                    p += 1
                }
            }
        }
        bytes.removeLast(blanks)
    }

    // MARK: members and elements

    /// Calls `body` for each member of an object, in order.
    ///
    /// - Parameters:
    ///   - object: a whole object, validated and compact; anything else is memory-safe but yields nonsense.
    ///   - body: ranges in `object`: the name without its quotes (still escaped), and the value.
    public static func members(of object: UnsafeRawBufferPointer, _ body: (Range<Int>, Range<Int>) -> Void) {
        guard object.count > 2, let base = object.baseAddress else { return }
        let start = base.assumingMemoryBound(to: UInt8.self)
        let end = start + object.count - 1
        var p = start + 1
        while p < end, p.pointee == UInt8(ascii: "\"") {
            let behindKey = skipString(p, end)
            let value = behindKey + 1
            guard value < end else { return }
            let behind = skipValue(value, end)
            body((p - start + 1)..<(behindKey - start - 1), (value - start)..<(behind - start))
            p = behind + 1
        }
    }

    /// Calls `body` with the range of each element of an array, in order. What is said of `members` holds here as well.
    public static func elements(of array: UnsafeRawBufferPointer, _ body: (Range<Int>) -> Void) {
        guard array.count > 2, let base = array.baseAddress else { return }
        let start = base.assumingMemoryBound(to: UInt8.self)
        let end = start + array.count - 1
        var p = start + 1
        while p < end {
            let behind = skipValue(p, end)
            body((p - start)..<(behind - start))
            p = behind + 1
        }
    }

    /// The value of the first member of this name in a validated, compact object. Names that are written with escapes match too.
    public static func member(_ name: StaticString, of object: UnsafeRawBufferPointer) -> Range<Int>? {
        var found: Range<Int>?
        members(of: object) { key, value in
            if found == nil, isKey(UnsafeRawBufferPointer(rebasing: object[key]), name) { found = value }
        }
        return found
    }

    /// Whether a member's name, as `members` gives it, is this one.
    public static func isKey(_ key: UnsafeRawBufferPointer, _ name: StaticString) -> Bool {
        if key.equals(name) { return true }
        // An escape is longer than what it stands for.
        guard key.count > name.utf8CodeUnitCount, key.contains(UInt8(ascii: "\\")) else { return false }
        return name.withUTF8Buffer { unescapeContent(key).elementsEqual($0) }
    }

    /// Behind the string whose opening quote is at `p`; at most `end`.
    @inline(__always)
    static func skipString(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
        var p = start + 1
        while true {
            p = JSONCursor.skipPlain(p, end)
            guard p < end else { return end }
            let byte = p.pointee
            if byte == UInt8(ascii: "\"") { return p + 1 }
            if byte == UInt8(ascii: "\\") {
                guard end - p >= 2 else { return end }
                p += 2
            } else {
                p += 1
            }
        }
    }

    /// Behind the value that begins at `p`: a string, a container, or what reaches to the next `,`.
    @inline(__always)
    private static func skipValue(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
        var p = start
        var depth = 0
        while p < end {
            switch p.pointee {
            case UInt8(ascii: "\""):
                p = skipString(p, end)
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: ",") where depth == 0: return p
            default: break
            }
            p += 1
        }
        return end
    }

    // MARK: text

    /// The text of a validated string literal (with its quotes), as UTF-8. A lone surrogate becomes U+FFFD.
    public static func unescape(_ literal: UnsafeRawBufferPointer) -> [UInt8] {
        guard literal.count >= 2 else { return [] }
        return unescapeContent(UnsafeRawBufferPointer(rebasing: literal[1..<(literal.count - 1)]))
    }

    /// The text of what stands between the quotes of a validated string literal, such as the key ranges of `members`.
    public static func unescapeContent(_ content: UnsafeRawBufferPointer) -> [UInt8] {
        guard let base = content.baseAddress else { return [] }
        var p = base.assumingMemoryBound(to: UInt8.self)
        let end = p + content.count
        var text: [UInt8] = []
        // No escape is shorter than its text.
        text.reserveCapacity(content.count)
        while p < end {
            let run = p
            while p < end, p.pointee != UInt8(ascii: "\\") { p += 1 }
            text.append(contentsOf: UnsafeBufferPointer(start: run, count: p - run))
            guard end - p >= 2 else { break }
            let escape = p[1]
            p += 2
            switch escape {
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "u"): appendScalar(&p, end, to: &text)
            default: text.append(escape)
            }
        }
        return text
    }

    /// Takes the digits behind `\u`, and a second escape where the two are a surrogate pair (RFC 8259 §7).
    private static func appendScalar(_ p: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, to text: inout [UInt8]) {
        guard let unit = JSONCursor.hex4(p, end) else { return }
        p += 4
        var value = unit
        if unit & 0xFC00 == 0xD800, end - p >= 6, p[0] == UInt8(ascii: "\\"), p[1] == UInt8(ascii: "u"),
            let low = JSONCursor.hex4(p + 2, end), low & 0xFC00 == 0xDC00
        {
            p += 6
            value = 0x10000 + (unit & 0x3FF) << 10 + low & 0x3FF
        }
        let scalar = Unicode.Scalar(value) ?? "\u{FFFD}"
        if let bytes = UTF8.encode(scalar) { text.append(contentsOf: bytes) }
    }
}
