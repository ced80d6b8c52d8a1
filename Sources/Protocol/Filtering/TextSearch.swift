// Looking for a text in a message.

/// Search in text without regard to case.
public enum TextSearch {
    /// Text of which only the case was different is the same after this. By way of the upper case, because letters that have one
    /// in common (`σ` and `ς`, `ß` and `ss`) are one for who searches in any case.
    public static func fold(_ text: String) -> String { text.uppercased().lowercased() }

    /// - Parameter needle: folded, not empty.
    public static func contains(_ needle: [UInt8], in text: UnsafeRawBufferPointer) -> Bool {
        let isPlain = needle.allSatisfy { $0 < 0x80 }
        if isPlain && text.allSatisfy({ $0 < 0x80 }) { return search(needle, text) }
        // Letters beyond ASCII change their length with their case: fold the whole text.
        return Array(fold(String(decoding: text, as: UTF8.self)).utf8).withUnsafeBytes { search(needle, $0) }
    }

    private static func search(_ needle: [UInt8], _ text: UnsafeRawBufferPointer) -> Bool {
        guard let first = needle.first, text.count >= needle.count else { return needle.isEmpty }
        for start in 0...(text.count - needle.count) where lower(text[start]) == first {
            var index = 1
            while index < needle.count && lower(text[start + index]) == needle[index] { index += 1 }
            if index == needle.count { return true }
        }
        return false
    }

    private static func lower(_ byte: UInt8) -> UInt8 { byte >= 65 && byte <= 90 ? byte + 32 : byte }
}
