// From JSON to MessagePack in one pass. A container's count stands before its elements, and is known behind them: one byte is left for it,
// which is enough up to 15, and beyond that the elements are moved.

import Glibc

/// A place in a JSON text and in what has been made of it. Lives as long as one call.
struct MessagePackWriter {
    private var p: UnsafePointer<UInt8>
    private let end: UnsafePointer<UInt8>
    private let target: UnsafeMutablePointer<UInt8>
    private var out: UnsafeMutablePointer<UInt8>
    private let limit: UnsafeMutablePointer<UInt8>

    init(_ json: UnsafeRawBufferPointer, _ target: UnsafeMutableRawPointer, room: Int) {
        self.target = target.assumingMemoryBound(to: UInt8.self)
        out = self.target
        limit = out + room
        let cursor = JSONCursor(json, at: 0)
        p = cursor.p
        end = cursor.end
    }

    mutating func write() -> Int {
        value()
        return out - target
    }

    /// One value. As deep as the text is, which whoever validated it has bounded.
    private mutating func value() {
        guard p < end else { return put(MessagePackFormat.null) }
        switch p.pointee {
        case UInt8(ascii: "\""): string()
        case UInt8(ascii: "{"): container(isMap: true)
        case UInt8(ascii: "["): container(isMap: false)
        case UInt8(ascii: "t"): literal(4, MessagePackFormat.yes)
        case UInt8(ascii: "f"): literal(5, MessagePackFormat.no)
        case UInt8(ascii: "n"): literal(4, MessagePackFormat.null)
        default: number()
        }
    }

    private mutating func literal(_ characters: Int, _ format: UInt8) {
        pass(characters)
        put(format)
    }

    /// Goes on behind so many characters.
    private mutating func pass(_ characters: Int) { p = end - p > characters ? p + characters : end }

    // MARK: containers

    private mutating func container(isMap: Bool) {
        let head = out
        let close = isMap ? UInt8(ascii: "}") : UInt8(ascii: "]")
        var count = 0
        put(0)
        pass(1)
        while p < end, p.pointee != close {
            if p.pointee == UInt8(ascii: ",") { pass(1) }
            if isMap {
                string()
                // The colon.
                pass(1)
            }
            value()
            count += 1
        }
        pass(1)
        if count <= 15 {
            head.pointee = (isMap ? MessagePackFormat.map15 : MessagePackFormat.array15) | UInt8(truncatingIfNeeded: count)
            return
        }
        let form16 = isMap ? MessagePackFormat.map16 : MessagePackFormat.array16
        let countBytes = count <= 0xFFFF ? 2 : 4
        reserve(countBytes)
        (head + 1 + countBytes).update(from: head + 1, count: out - head - 1)
        out += countBytes
        head.pointee = countBytes == 2 ? form16 : form16 + 1
        store(UInt64(count), bytes: countBytes, at: head + 1)
    }

    // MARK: scalars

    private mutating func string() {
        let behind = JSONScanner.skipString(p, end)
        let first = p + 1
        let count = max(0, behind - first - 1)
        p = behind
        let content = UnsafeRawBufferPointer(start: first, count: count)
        // Of most strings, the text is what stands between the quotes.
        if memchr(first, Int32(UInt8(ascii: "\\")), count) == nil { return text(content) }
        JSONScanner.unescapeContent(content).withUnsafeBytes { text($0) }
    }

    private mutating func text(_ text: UnsafeRawBufferPointer) {
        let count = text.count
        if count <= 31 {
            put(MessagePackFormat.string31 | UInt8(truncatingIfNeeded: count))
        } else {
            let lengthBytes = count <= 0xFF ? 1 : count <= 0xFFFF ? 2 : 4
            put(MessagePackFormat.string8 + UInt8(truncatingIfNeeded: lengthBytes.trailingZeroBitCount), UInt64(count), bytes: lengthBytes)
        }
        guard let base = text.baseAddress else { return }
        reserve(count)
        UnsafeMutableRawPointer(out).copyMemory(from: base, byteCount: count)
        out += count
    }

    private mutating func number() {
        let start = p
        var isInteger = true
        scan: while p < end {
            switch p.pointee {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"): break
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): isInteger = false
            default: break scan
            }
            p += 1
        }
        let text = UnsafeBufferPointer(start: start, count: p - start)
        // No number at all can only be what was never validated.
        if text.isEmpty { return literal(1, MessagePackFormat.null) }
        if isInteger, integer(text) { return }
        put(MessagePackFormat.float64, (Double(String(decoding: text, as: UTF8.self)) ?? 0).bitPattern, bytes: 8)
    }

    /// Writes an integer in its shortest form.
    /// - Returns: false where 64 bits are not enough for it.
    private mutating func integer(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        let isNegative = text[0] == UInt8(ascii: "-")
        var magnitude: UInt64 = 0
        for byte in text[(isNegative ? 1 : 0)...] {
            let (product, isTooLarge) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, isTooLargeNow) = product.addingReportingOverflow(UInt64(byte &- UInt8(ascii: "0")))
            if isTooLarge || isTooLargeNow { return false }
            magnitude = sum
        }
        if !isNegative || magnitude == 0 {
            switch magnitude {
            case ...0x7F: put(UInt8(truncatingIfNeeded: magnitude))
            case ...0xFF: put(MessagePackFormat.unsigned8, magnitude, bytes: 1)
            case ...0xFFFF: put(MessagePackFormat.unsigned8 + 1, magnitude, bytes: 2)
            case ...0xFFFF_FFFF: put(MessagePackFormat.unsigned8 + 2, magnitude, bytes: 4)
            default: put(MessagePackFormat.unsigned8 + 3, magnitude, bytes: 8)
            }
            return true
        }
        guard magnitude <= 1 << 63 else { return false }
        let bits = 0 &- magnitude
        switch magnitude {
        case ...32: put(UInt8(truncatingIfNeeded: bits))
        case ...(1 << 7): put(MessagePackFormat.signed8, bits, bytes: 1)
        case ...(1 << 15): put(MessagePackFormat.signed8 + 1, bits, bytes: 2)
        case ...(1 << 31): put(MessagePackFormat.signed8 + 2, bits, bytes: 4)
        default: put(MessagePackFormat.signed8 + 3, bits, bytes: 8)
        }
        return true
    }

    // MARK: bytes

    /// `MessagePack.bytesMax` is room enough for every text that was validated; one that was not ends here rather than beyond.
    private func reserve(_ bytes: Int) { precondition(limit - out >= bytes, "more MessagePack than its JSON can make") }

    private mutating func put(_ byte: UInt8) {
        reserve(1)
        out.pointee = byte
        out += 1
    }

    /// A format and the low bytes of a number.
    private mutating func put(_ format: UInt8, _ value: UInt64, bytes: Int) {
        reserve(1 + bytes)
        out.pointee = format
        store(value, bytes: bytes, at: out + 1)
        out += 1 + bytes
    }

    /// The highest byte first.
    private func store(_ value: UInt64, bytes: Int, at place: UnsafeMutablePointer<UInt8>) {
        for i in 0..<bytes { place[i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (bytes - 1 - i))) }
    }
}
