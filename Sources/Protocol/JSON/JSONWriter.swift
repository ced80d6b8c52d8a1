// JSON put together from values, compact, into one growing array.

/// Writes a JSON text piece by piece; commas are its business, balance and names the caller's.
public struct JSONWriter: Sendable {
    /// What has been written. May be taken, or emptied between texts.
    public var bytes: [UInt8]
    /// Whether something stands before in the same container.
    private var needsComma = false

    public init(reserving capacity: Int = 0) {
        bytes = []
        if capacity > 0 { bytes.reserveCapacity(capacity) }
    }

    public mutating func beginObject() { open(UInt8(ascii: "{")) }
    public mutating func endObject() { close(UInt8(ascii: "}")) }
    public mutating func beginArray() { open(UInt8(ascii: "[")) }
    public mutating func endArray() { close(UInt8(ascii: "]")) }

    /// The name of the member whose value comes next. A literal of ours: without quotes, backslashes and control characters in it.
    public mutating func key(_ name: StaticString) {
        name.withUTF8Buffer { name in
            assert(name.allSatisfy { $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") })
            if needsComma { bytes.append(UInt8(ascii: ",")) }
            needsComma = false
            bytes.append(UInt8(ascii: "\""))
            bytes.append(contentsOf: name)
            bytes.append(UInt8(ascii: "\""))
            bytes.append(UInt8(ascii: ":"))
        }
    }

    @_disfavoredOverload
    public mutating func key(_ name: String) {
        var copy = name
        copy.withUTF8 { quote(UnsafeRawBufferPointer($0), isKey: true) }
    }

    /// A name given as valid UTF-8.
    mutating func key(utf8 name: UnsafeRawBufferPointer) { quote(name, isKey: true) }

    public mutating func string(_ text: String) {
        var copy = text
        copy.withUTF8 { quote(UnsafeRawBufferPointer($0), isKey: false) }
    }

    /// A string given as UTF-8; what is not valid becomes U+FFFD.
    public mutating func string(utf8 text: UnsafeRawBufferPointer) {
        guard UTF8Validator.isValid(text) else { return string(String(decoding: text, as: UTF8.self)) }
        quote(text, isKey: false)
    }

    public mutating func string(utf8 text: [UInt8]) { text.withUnsafeBytes { string(utf8: $0) } }

    // Not generic: a generic function of another module is not specialised, and took some 80 ns longer per call.
    public mutating func int(_ value: Int64) {
        separate()
        decimal(value.magnitude, isNegative: value < 0)
    }

    public mutating func int(_ value: Int) { int(Int64(value)) }

    public mutating func int(_ value: UInt64) {
        separate()
        decimal(value, isNegative: false)
    }

    /// The shortest text that reads back as the same number; whole numbers have no fraction, and exponents stand where
    /// Go's encoding/json puts them (below 1e-6, from 1e21). What JSON cannot say, NaN and the infinities, is 0.
    public mutating func double(_ value: Double) {
        separate()
        guard value.isFinite else { return bytes.append(UInt8(ascii: "0")) }
        if value.magnitude < 9_007_199_254_740_992, let whole = Int64(exactly: value), whole != 0 || value.sign == .plus {
            return decimal(whole.magnitude, isNegative: whole < 0)
        }
        let (digits, exponent) = JSONWriter.shortestDigits(value.magnitude)
        if value.sign == .minus { bytes.append(UInt8(ascii: "-")) }
        if value.magnitude != 0 && (value.magnitude < 1e-6 || value.magnitude >= 1e21) {
            bytes.append(contentsOf: digits.prefix(1))
            if digits.count > 1 {
                bytes.append(UInt8(ascii: "."))
                bytes.append(contentsOf: digits.dropFirst())
            }
            bytes.append(UInt8(ascii: "e"))
            bytes.append(exponent > 0 ? UInt8(ascii: "+") : UInt8(ascii: "-"))
            decimal(UInt64((exponent - 1).magnitude), isNegative: false)
        } else if exponent <= 0 {
            bytes.append(contentsOf: "0.".utf8)
            bytes.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: -exponent))
            bytes.append(contentsOf: digits)
        } else {
            bytes.append(contentsOf: digits.prefix(exponent))
            if digits.count <= exponent {
                bytes.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: exponent - digits.count))
            } else {
                bytes.append(UInt8(ascii: "."))
                bytes.append(contentsOf: digits.dropFirst(exponent))
            }
        }
    }

    public mutating func bool(_ value: Bool) {
        separate()
        bytes.append(contentsOf: value ? "true".utf8 : "false".utf8)
    }

    public mutating func null() {
        separate()
        bytes.append(contentsOf: "null".utf8)
    }

    /// A value that is JSON already.
    public mutating func raw(_ json: [UInt8]) {
        separate()
        bytes.append(contentsOf: json)
    }

    /// A value that is JSON already.
    public mutating func raw(_ json: UnsafeRawBufferPointer) {
        separate()
        bytes.append(contentsOf: json)
    }

    /// A value that is JSON already.
    public mutating func raw(_ json: String) {
        separate()
        bytes.append(contentsOf: json.utf8)
    }

    /// What has been written, as text.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Forgets what has been written, and keeps the memory.
    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        needsComma = false
    }

    // MARK: pieces

    private mutating func open(_ bracket: UInt8) {
        separate()
        bytes.append(bracket)
        needsComma = false
    }

    private mutating func close(_ bracket: UInt8) {
        bytes.append(bracket)
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func decimal(_ value: UInt64, isNegative: Bool) {
        // 20 digits at most, and a sign.
        var digits = InlineArray<21, UInt8>(repeating: 0)
        var at = 21
        var rest = value
        repeat {
            at -= 1
            digits[at] = UInt8(truncatingIfNeeded: rest % 10) + UInt8(ascii: "0")
            rest /= 10
        } while rest > 0
        if isNegative {
            at -= 1
            digits[at] = UInt8(ascii: "-")
        }
        withUnsafeBytes(of: digits) { bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: $0[at...])) }
    }

    /// Writes a string with its quotes, a comma before it where one is due, and a colon behind it if it is a name; `text` is
    /// valid UTF-8.
    private mutating func quote(_ text: UnsafeRawBufferPointer, isKey: Bool) {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = !isKey
        bytes.append(UInt8(ascii: "\""))
        appendEscaped(text)
        bytes.append(UInt8(ascii: "\""))
        if isKey { bytes.append(UInt8(ascii: ":")) }
    }

    private mutating func appendEscaped(_ text: UnsafeRawBufferPointer) {
        guard let base = text.baseAddress else { return }
        var p = base.assumingMemoryBound(to: UInt8.self)
        let end = p + text.count
        var run = p
        while true {
            p = JSONCursor.skipPlain(p, end)
            while p < end, p.pointee >= 0x80 { p += 1 }
            guard p < end else { break }
            let byte = p.pointee
            guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
            bytes.append(contentsOf: UnsafeBufferPointer(start: run, count: p - run))
            escape(byte)
            p += 1
            run = p
        }
        bytes.append(contentsOf: UnsafeBufferPointer(start: run, count: end - run))
    }

    private mutating func escape(_ byte: UInt8) {
        bytes.append(UInt8(ascii: "\\"))
        switch byte {
        case 0x08: bytes.append(UInt8(ascii: "b"))
        case 0x09: bytes.append(UInt8(ascii: "t"))
        case 0x0A: bytes.append(UInt8(ascii: "n"))
        case 0x0C: bytes.append(UInt8(ascii: "f"))
        case 0x0D: bytes.append(UInt8(ascii: "r"))
        case 0x00..<0x20:
            bytes.append(contentsOf: "u00".utf8)
            bytes.append(UInt8(ascii: "0") + byte >> 4)
            bytes.append(byte & 0xF < 10 ? UInt8(ascii: "0") + byte & 0xF : UInt8(ascii: "a") + byte & 0xF - 10)
        default: bytes.append(byte)
        }
    }

    /// The digits of a positive finite number, without zeros at either end, and the place of the point: 0.DIGITS × 10^exponent.
    private static func shortestDigits(_ value: Double) -> (digits: [UInt8], exponent: Int) {
        // Swift's own text has the shortest digits, in one of two layouts: `12.5` or `1.25e-07`.
        var digits: [UInt8] = []
        var exponent = 0
        var seenPoint = false
        var text = value.description.utf8[...]
        while let byte = text.popFirst() {
            if byte == UInt8(ascii: "e") {
                exponent += Int(Substring(text)) ?? 0
                break
            }
            if byte == UInt8(ascii: ".") {
                seenPoint = true
            } else {
                digits.append(byte)
                if !seenPoint { exponent += 1 }
            }
        }
        while digits.last == UInt8(ascii: "0") { digits.removeLast() }
        let zeros = digits.prefix { $0 == UInt8(ascii: "0") }.count
        digits.removeFirst(zeros)
        return digits.isEmpty ? ([UInt8(ascii: "0")], 1) : (digits, exponent - zeros)
    }
}
