// Ids of the gateway as 16 bytes, so that sets of them are small and quick.

/// A row's id: a UUID, or 128 bits of hash of whatever else stands there. Values from different runs cannot be compared.
struct RowID: Hashable, Sendable {
    let high: UInt64
    let low: UInt64

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// - Parameter text: any bytes; a UUID in the gateway's spelling (36 characters, lower case) becomes its own value.
    init(_ text: UnsafeRawBufferPointer) {
        if let id = RowID(uuid: text) {
            self = id
        } else {
            var first = Hasher()
            first.combine(bytes: text)
            var second = Hasher()
            second.combine(0xA5 as UInt8)
            second.combine(bytes: text)
            self.init(high: UInt64(bitPattern: Int64(first.finalize())), low: UInt64(bitPattern: Int64(second.finalize())))
        }
    }

    private init?(uuid text: UnsafeRawBufferPointer) {
        guard text.count == 36 else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        for index in 0..<36 {
            let byte = text[index]
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            let digit: UInt8
            switch byte {
            case 48...57: digit = byte - 48
            case 97...102: digit = byte - 87
            default: return nil
            }
            // Sixteen hexadecimal digits go before the middle hyphen.
            if index < 18 { words.0 = words.0 << 4 | UInt64(digit) } else { words.1 = words.1 << 4 | UInt64(digit) }
        }
        self.init(high: words.0, low: words.1)
    }

    /// The text of the UUID that it is, if it is one.
    var uuid: String {
        func hex(_ word: UInt64, _ from: UInt64, _ digits: Int) -> String {
            let text = String(word >> from & (1 << UInt64(digits * 4) - 1), radix: 16)
            return String(repeating: "0", count: digits - text.count) + text
        }
        return [hex(high, 32, 8), hex(high, 16, 4), hex(high, 0, 4), hex(low, 48, 4), hex(low, 0, 12)].joined(separator: "-")
    }

    /// The nil UUID, which the gateway writes where it knows no model or user.
    var isNil: Bool { high == 0 && low == 0 }
}
