// Values of the configuration as messages show them.

/// A value of the configuration without the passwords that addresses and database parameters may have in them.
///
/// Quotes, blanks, commas and brackets end an address, so that lists can be given as they are written.
/// - Complexity: O(characters).
public func withoutPasswords(_ text: String) -> String {
    var shown = ""
    var word = Substring()
    for index in text.indices {
        if " \t\",'[]{}<>".contains(text[index]) {
            shown += withoutPassword(word) + String(text[index])
            word = Substring()
        } else {
            word = word.isEmpty ? text[index...index] : text[word.startIndex...index]
        }
    }
    return shown + withoutPassword(word)
}

private func withoutPassword(_ word: Substring) -> String {
    if let scheme = word.firstRange(of: "://"), let sign = word[scheme.upperBound...].lastIndex(of: "@") {
        return word[..<scheme.upperBound] + "…" + word[sign...]
    }
    // The parameters of SQLite's drivers: `_auth_pass`, `_crypto_key`.
    guard word.hasPrefix("file:"), let mark = word.firstIndex(of: "?") else { return String(word) }
    let parameters = word[word.index(after: mark)...].split(separator: "&", omittingEmptySubsequences: false).map { parameter in
        guard let equals = parameter.firstIndex(of: "=") else { return String(parameter) }
        let name = parameter[..<equals].lowercased()
        return ["auth", "pass", "key", "secret"].contains(where: name.contains) ? parameter[...equals] + "…" : String(parameter)
    }
    return word[...mark] + parameters.joined(separator: "&")
}
