// What others have sent, where we repeat it: in an error, a list of clients, a line of the log. Whoever mistakes the place of a credential
// finds it nowhere again.

/// Foreign text without secrets. Any thread.
public enum ForeignText {
    /// Not the one of the configuration: events may go unmasked, credentials are nobody's business in any case.
    private static let redactor = Redactor()
    /// Words from here on that have a digit in them were made by a machine: a ticket, a hash, a key of a kind that no rule knows.
    private static let wordBytesMin = 20
    /// From here on no name is as long, with a digit or without.
    private static let anyWordBytesMin = 40
    /// What is looked at of a text that is to be cut; more than any credential has.
    private static let lookedAtMax = 16_384

    /// The text with what the rules know for secrets masked; whole, since lists and logs need the rest of it.
    /// - Complexity: O(bytes), see `Redactor`; allocates only where something is masked.
    public static func masked(_ text: String) -> String { redactor.masked(text: text) { _ in } ?? text }

    /// A text as an error repeats it to its sender: without secrets, without words that look like some, and at most `count` characters, so that
    /// an error never is larger than what caused it.
    public static func shown(_ text: some StringProtocol, to count: Int = 64) -> String {
        clipped(withoutWords(masked(String(text.prefix(lookedAtMax)))), to: count)
    }

    /// A host or an origin as an error repeats it: words stay, since they are names, but not what stands before and behind the host.
    public static func shownSite(_ text: some StringProtocol, to count: Int = 80) -> String {
        let site = String(text.prefix(lookedAtMax))
        var start = site.startIndex
        if let scheme = site.firstRange(of: "://") { start = scheme.upperBound }
        var host = site[start...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        if let sign = host.lastIndex(of: "@") { host = host[host.index(after: sign)...] }
        return clipped(masked(String(site[..<start]) + String(host)), to: count)
    }

    private static func clipped(_ text: String, to count: Int) -> String { text.count > count ? text.prefix(count) + "…" : text }

    private static func withoutWords(_ text: String) -> String {
        let bytes = Array(text.utf8)
        guard bytes.count >= wordBytesMin else { return text }
        var shown: [UInt8] = []
        var start = 0
        while start < bytes.count {
            var end = start
            while end < bytes.count, SecretClass.of(bytes[end]) & SecretClass.base64URL != 0 { end += 1 }
            let word = bytes[start..<end]
            let isMade = word.count >= anyWordBytesMin || word.count >= wordBytesMin && word.contains { SecretClass.of($0) == SecretClass.digit }
            if isMade, !isUUID(word) {
                shown.append(contentsOf: Redactor.mask.utf8)
            } else {
                shown.append(contentsOf: word)
            }
            if end < bytes.count { shown.append(bytes[end]) }
            start = end + 1
        }
        return String(decoding: shown, as: UTF8.self)
    }

    /// The gateway's ids are no secrets, and operators look for them.
    private static func isUUID(_ word: ArraySlice<UInt8>) -> Bool {
        word.count == 36
            && word.enumerated().allSatisfy { index, byte in
                [8, 13, 18, 23].contains(index) ? byte == UInt8(ascii: "-") : HTTPSyntax.hexDigit(byte) != nil
            }
    }
}
