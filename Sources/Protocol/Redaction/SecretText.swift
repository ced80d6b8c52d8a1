// Where a secret ends, and whether it is one: judgements about a place in a text. Pure; every read is bounded by `count`.

/// A text that is looked through for secrets: compact JSON as it is (**raw**: escapes and quotes stand in it), or what a string of it stands
/// for (decoded). Borrows its bytes.
struct SecretText {
    let bytes: UnsafePointer<UInt8>
    let count: Int
    let isRaw: Bool
    /// `SecretClass` of each byte.
    let classes: UnsafePointer<UInt8>

    /// What is replaced by the mask.
    struct Found {
        var lower: Int
        var upper: Int
        let rule: RedactionRule
    }

    enum Verdict {
        case no
        case found(Found)
        /// An escape stands where it may hide a part of a secret: the string has to be decoded.
        case hidden
    }

    /// Runs are looked at this far where that decides whether they are words; longer ones are none.
    private static let wordsBytesMax = 64
    /// A password in an address is looked for this far where it seems to have a slash in it.
    private static let passwordBytesMax = 256

    @inline(__always)
    private subscript(at: Int) -> UInt8 { at < count ? bytes[at] : UInt8(ascii: "\"") }

    @inline(__always)
    private func isA(_ at: Int, _ wanted: UInt8) -> Bool { at < count && classes[Int(bytes[at])] & wanted != 0 }

    /// Behind the bytes of a class.
    private func run(_ start: Int, _ wanted: UInt8) -> Int {
        var at = start
        while isA(at, wanted) { at += 1 }
        return at
    }

    private func has(_ wanted: UInt8, _ range: Range<Int>) -> Bool { range.contains { isA($0, wanted) } }

    // MARK: escapes

    /// Whether an escape begins here that stands for a visible ASCII character or a blank, but for quote and backslash.
    func isHiding(_ at: Int) -> Bool {
        guard isRaw, self[at] == UInt8(ascii: "\\") else { return false }
        if self[at + 1] == UInt8(ascii: "/") { return true }
        guard self[at + 1] == UInt8(ascii: "u"), at + 6 <= count, let value = JSONCursor.hex4(bytes + at + 2, bytes + count) else { return false }
        return (0x20...0x7E).contains(value) && value != 0x22 && value != 0x5C
    }

    /// Whether the backslash here begins an escape, and is not the second half of one.
    private func beginsEscape(_ at: Int) -> Bool {
        guard at >= 0, bytes[at] == UInt8(ascii: "\\") else { return false }
        var first = at
        while first > 0, bytes[first - 1] == UInt8(ascii: "\\") { first -= 1 }
        return (at - first) % 2 == 0
    }

    /// Whether a letter or digit stands before.
    private func followsWord(_ at: Int) -> Bool {
        guard at > 0, isA(at - 1, SecretClass.alphanumeric) else { return false }
        if isRaw, beginsEscape(at - 2) { return false }
        // The n of \n, the last digit of \u003d and that of %3D are none, also where the backslash is a text's own: JSON and addresses
        // are often quoted in other texts.
        if at >= 2, bytes[at - 2] == UInt8(ascii: "\\"), "nrtbf".utf8.contains(bytes[at - 1]) { return false }
        if at >= 6, bytes[at - 6] == UInt8(ascii: "\\"), bytes[at - 5] == UInt8(ascii: "u"), JSONCursor.hex4(bytes + at - 4, bytes + count) != nil { return false }
        if at >= 3, bytes[at - 3] == UInt8(ascii: "%"), HTTPSyntax.hexDigit(bytes[at - 2]) != nil, HTTPSyntax.hexDigit(bytes[at - 1]) != nil { return false }
        return true
    }

    // MARK: rules

    /// - Parameter at: behind the prefix.
    func key(_ pattern: KeyPattern, prefixBytes: Int, at start: Int) -> Verdict {
        if followsWord(start - prefixBytes) { return .no }
        let end = run(start, pattern.body)
        if isHiding(end) { return .hidden }
        let length = end - start
        guard length >= pattern.bytesMin, !pattern.isExact || length == pattern.bytesMin && !isA(end, SecretClass.base64URL) else { return .no }
        if pattern.mayBeWords, length < SecretText.wordsBytesMax, !has(SecretClass.digit | SecretClass.upper, start..<end),
            has(SecretClass.dash | SecretClass.underscore, start..<end)
        {
            return .no
        }
        return .found(Found(lower: start, upper: end, rule: pattern.rule))
    }

    /// - Parameter at: behind the word Bearer.
    func bearer(at behind: Int) -> Verdict {
        var start = behind
        for _ in 0..<4 { start = pastSeparator(start) }
        if self[start] == UInt8(ascii: "%"), self[start + 1] == UInt8(ascii: "2"), self[start + 2] == UInt8(ascii: "0") { start += 3 }
        if isHiding(start) { return .hidden }
        guard start > behind else { return .no }
        var end = run(start, SecretClass.token)
        while self[end] == UInt8(ascii: "=") { end += 1 }
        if isHiding(end) { return .hidden }
        while end > start, bytes[end - 1] == UInt8(ascii: ".") { end -= 1 }
        // "Bearer authentication" is no secret; a token that is so short has a digit in it.
        guard end - start >= 16 || end - start >= 8 && has(SecretClass.digit, start..<end) else { return .no }
        return .found(Found(lower: start, upper: end, rule: .bearer))
    }

    /// Behind a separator, if one stands here: a blank, a tab or a quote, also escaped, or what people write instead.
    private func pastSeparator(_ start: Int) -> Int {
        switch self[start] {
        case UInt8(ascii: " "), UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "="), UInt8(ascii: "\t"): return start + 1
        case UInt8(ascii: "\"") where !isRaw && start < count: return start + 1
        case UInt8(ascii: "\\"):
            var at = start
            while self[at] == UInt8(ascii: "\\"), at - start < 8 { at += 1 }
            return self[at] == UInt8(ascii: "t") || at < count && bytes[at] == UInt8(ascii: "\"") && !(isRaw && (at - start) % 2 == 0) ? at + 1 : start
        default: return start
        }
    }

    /// - Parameter at: behind the word Basic and a blank.
    func basic(at start: Int) -> Verdict {
        let end = run(start, SecretClass.alphanumeric | SecretClass.plusSlashTilde)
        if isHiding(end) { return .hidden }
        guard end - start >= 4 else { return .no }
        // What decodes to text with a colon in it is credentials; words do not.
        var bits: UInt32 = 0
        var bitCount = 0
        var hasColon = false
        for at in start..<end {
            guard let digit = SecretText.base64Digit(bytes[at]) else { return .no }
            bits = bits << 6 | digit
            bitCount += 6
            guard bitCount >= 8 else { continue }
            bitCount -= 8
            let byte = UInt8(truncatingIfNeeded: bits >> UInt32(bitCount))
            if byte < 0x20 || byte == 0x7F { return .no }
            hasColon = hasColon || byte == UInt8(ascii: ":")
        }
        guard hasColon else { return .no }
        var behind = end
        while self[behind] == UInt8(ascii: "=") { behind += 1 }
        return .found(Found(lower: start, upper: behind, rule: .basic))
    }

    private static func base64Digit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }

    /// - Parameters:
    ///   - start: of `eyJ`, which is how base64 of `{"` begins.
    ///   - deadEnd: the end of a part that leads nowhere; a token that begins before it need not be looked at.
    func token(at start: Int, deadEnd: inout Int) -> Verdict {
        guard start >= deadEnd else { return .no }
        var end = run(start, SecretClass.base64URL)
        if isHiding(end) { return .hidden }
        var parts = 1
        var isClaims = false
        let first = end
        // Five parts where it is encrypted (RFC 7516).
        while parts < 5, self[end] == UInt8(ascii: ".") {
            let next = run(end + 1, SecretClass.base64URL)
            if isHiding(next) { return .hidden }
            guard next > end + 1 else { break }
            if parts == 1 { isClaims = next - end > 4 && self[end + 1] == UInt8(ascii: "e") && self[end + 2] == UInt8(ascii: "y") }
            parts += 1
            end = next
        }
        // With two parts its signature is missing, or was cut off.
        guard first - start >= 8, parts >= 3 || parts == 2 && isClaims else {
            deadEnd = first
            return .no
        }
        return .found(Found(lower: start, upper: end, rule: .jwt))
    }

    /// - Parameter at: behind `://`.
    func address(at start: Int) -> Verdict {
        var colon = -1
        var sign = -1
        var hasUserOnly = false
        var at = start
        // Where a slash follows the colon, this is a port or a password that should have been written with %2F.
        var isPastSlash = false
        scan: while at < count {
            let byte = bytes[at]
            switch byte {
            case UInt8(ascii: "\\") where isRaw:
                // Quotes and blanks end an address; whatever else is written with an escape may belong to a password.
                let next = self[at + 1]
                if next == UInt8(ascii: "u") || next == UInt8(ascii: "/") || next == UInt8(ascii: "\\") { return .hidden }
                break scan
            case UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"), 0...0x20: break scan
            case UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#"):
                if sign >= 0 || colon < 0 || hasUserOnly { break scan }
                if !isPastSlash, (colon + 1..<at).allSatisfy({ isA($0, SecretClass.digit) }) || bytes[start] == UInt8(ascii: "[") { break scan }
                isPastSlash = true
            case UInt8(ascii: ":"): if colon < 0 { colon = at }
            case UInt8(ascii: "@"): if colon >= 0 { sign = at } else { hasUserOnly = true }
            default: break
            }
            if isPastSlash, at - colon > SecretText.passwordBytesMax { break }
            at += 1
        }
        guard colon >= 0, sign > colon + 1 else { return .no }
        return .found(Found(lower: colon + 1, upper: sign, rule: .urlPassword))
    }
}
