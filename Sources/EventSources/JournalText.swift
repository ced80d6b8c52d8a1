// Text of a log line as it is fit to be shown: without what only a terminal understands, and valid UTF-8.

import Protocol

/// Work on the bytes of a line. Pure.
enum JournalText {
    /// The line without escape sequences and a carriage return at its end; invalid UTF-8 replaced.
    /// - Complexity: O(line.count).
    static func plain(_ line: [UInt8]) -> [UInt8] {
        var text = line.contains(0x1B) ? withoutEscapes(line) : line
        while text.last == UInt8(ascii: "\r") { text.removeLast() }
        return text.withUnsafeBytes { UTF8Validator.isValid($0) } ? text : Array(String(decoding: text, as: UTF8.self).utf8)
    }

    /// Takes out escape sequences (ECMA-48): CSI with their parameters, strings such as OSC up to their terminator, and the short
    /// ones. Of one that is not finished only its beginning goes, so that no text is lost.
    private static func withoutEscapes(_ line: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(line.count)
        var rest = line[...]
        while let escape = rest.firstIndex(of: 0x1B) {
            text.append(contentsOf: rest[..<escape])
            rest = line[behind(sequence: line[escape...])...]
        }
        text.append(contentsOf: rest)
        return text
    }

    /// The index behind the escape sequence at the beginning of `bytes`.
    private static func behind(sequence bytes: ArraySlice<UInt8>) -> Int {
        let body = bytes.dropFirst()
        guard let kind = body.first else { return bytes.endIndex }
        switch kind {
        case UInt8(ascii: "["):
            let final = body.dropFirst().drop { (0x20...0x3F).contains($0) }
            guard let last = final.first else { return bytes.endIndex }
            return (0x40...0x7E).contains(last) ? final.startIndex + 1 : final.startIndex
        case UInt8(ascii: "]"), UInt8(ascii: "P"), UInt8(ascii: "X"), UInt8(ascii: "^"), UInt8(ascii: "_"):
            // OSC, DCS, SOS, PM, APC. Looked through up to the next escape only, so all of them together are one pass.
            let content = body.dropFirst()
            guard let end = content.firstIndex(where: { $0 == 0x07 || $0 == 0x1B }) else { return content.startIndex }
            if bytes[end] == 0x07 { return end + 1 }
            return bytes[end...].dropFirst().first == UInt8(ascii: "\\") ? end + 2 : content.startIndex
        case 0x20...0x2F:
            let final = body.drop { (0x20...0x2F).contains($0) }
            guard let last = final.first else { return bytes.endIndex }
            return (0x30...0x7E).contains(last) ? final.startIndex + 1 : final.startIndex
        case 0x30...0x7E: return body.startIndex + 1
        default: return body.startIndex
        }
    }

    // MARK: cutting

    /// Bytes that a JSON string needs for this text between its quotes.
    static func escapedCount(_ text: [UInt8]) -> Int { text.reduce(0) { $0 &+ escapedCount($1) } }

    private static func escapedCount(_ byte: UInt8) -> Int {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), 0x08, 0x09, 0x0A, 0x0C, 0x0D: 2
        case ..<0x20: 6
        default: 1
        }
    }

    /// The longest beginning of a text (valid UTF-8) that, with `…` behind it, needs at most so many bytes in a JSON string; the
    /// text itself where it fits whole, nothing where there is no room.
    static func cut(_ text: [UInt8], toEscaped bytesMax: Int) -> [UInt8] {
        let mark = Array("…".utf8)
        var count = 0
        var end = 0
        for (index, byte) in text.enumerated() {
            // Before a byte that does not go on with a character.
            if byte & 0xC0 != 0x80, count + mark.count <= bytesMax { end = index }
            count += escapedCount(byte)
            if count > bytesMax { return mark.count <= bytesMax ? text[..<end] + mark : [] }
        }
        return text
    }
}
