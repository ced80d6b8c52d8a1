// The little that masking has to know of JSON's form: where the string and the value around a place begin and end.

extension SecretText {
    /// Escapes that Go's encoder makes of `<`, `>`, `&` and `'` in every text: no reason to decode it.
    func isCommonEscape(_ at: Int) -> Bool {
        guard at + 6 <= count, let value = JSONCursor.hex4(bytes + at + 2, bytes + count) else { return false }
        return value == 0x3C || value == 0x3E || value == 0x26 || value == 0x27
    }

    /// The first byte of the content of the string that a place lies in.
    func stringStart(before place: Int) -> Int {
        var at = place
        while at > 0 {
            at -= 1
            if bytes[at] == UInt8(ascii: "\"") {
                var first = at
                while first > 0, bytes[first - 1] == UInt8(ascii: "\\") { first -= 1 }
                if (at - first) % 2 == 0 { return at + 1 }
                at = first
            }
        }
        return 0
    }

    /// Behind the closing quote of the string that a place lies in, which is no second half of an escape.
    func stringEnd(from place: Int) -> Int {
        var at = place
        while at < count {
            at = JSONCursor.skipPlain(bytes + at, bytes + count) - bytes
            guard at < count else { break }
            if bytes[at] == UInt8(ascii: "\"") { return at + 1 }
            at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1
        }
        return count
    }

    /// Behind the value that begins here.
    func valueEnd(from start: Int) -> Int {
        var at = start
        var depth = 0
        while at < count {
            switch bytes[at] {
            case UInt8(ascii: "\""):
                at = stringEnd(from: at + 1)
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return at }
                depth -= 1
            case UInt8(ascii: ",") where depth == 0: return at
            default: break
            }
            at += 1
        }
        return count
    }

    func isColon(_ at: Int) -> Bool { isRaw && at < count && bytes[at] == UInt8(ascii: ":") }

    func isMask(_ range: Range<Int>) -> Bool {
        UnsafeBufferPointer(start: bytes + range.lowerBound, count: range.count).elementsEqual(Redactor.mask.utf8)
    }

    /// What the content of a string stands for, and where each byte of it, and its end, is written. A lone surrogate is left as U+FFFD.
    func decoded(_ content: Range<Int>) -> (text: [UInt8], origins: [Int32]) {
        var text: [UInt8] = []
        var origins: [Int32] = []
        text.reserveCapacity(content.count)
        origins.reserveCapacity(content.count + 1)
        var at = content.lowerBound
        while at < content.upperBound {
            let origin = Int32(truncatingIfNeeded: at)
            var length = 1
            if bytes[at] == UInt8(ascii: "\\"), at + 1 < content.upperBound {
                length = 2
                if bytes[at + 1] == UInt8(ascii: "u") {
                    length = min(6, content.upperBound - at)
                    // The second half of a surrogate pair.
                    if isSurrogate(at, 0xD800), at + 12 <= content.upperBound, isSurrogate(at + 6, 0xDC00) { length = 12 }
                }
                text += JSONScanner.unescapeContent(UnsafeRawBufferPointer(start: bytes + at, count: length))
            } else {
                text.append(bytes[at])
            }
            while origins.count < text.count { origins.append(origin) }
            at += length
        }
        origins.append(Int32(truncatingIfNeeded: content.upperBound))
        return (text, origins)
    }

    private func isSurrogate(_ at: Int, _ half: UInt32) -> Bool {
        guard bytes[at] == UInt8(ascii: "\\"), at + 6 <= count, bytes[at + 1] == UInt8(ascii: "u"), let value = JSONCursor.hex4(bytes + at + 2, bytes + count)
        else { return false }
        return value & 0xFC00 == half
    }
}
