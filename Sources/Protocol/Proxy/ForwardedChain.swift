// The addresses through which a request has come, as proxies tell them in `X-Forwarded-For` or `Forwarded` (RFC 7239).

import Base

/// Reads these fields. Pure; what nobody trustworthy has written is never looked at.
public enum ForwardedChain {
    /// The client of a request: going from us outwards, the first address that is no trusted proxy.
    ///
    /// Each proxy adds the address that it was spoken to from behind what it was told, so that only what stands to the right of the first
    /// untrusted address is true. Where something there is no address (`unknown`, a name), or nothing is told, the answer is the nearest one that
    /// is known. `X-Forwarded-For` goes before `Forwarded`: a proxy that writes the one passes on what its client says in the other.
    /// - Parameter peer: who has sent the request; trusted.
    public static func client(of head: RequestHead, peer: IPAddress, trusted: [IPNetwork]) -> IPAddress {
        var nearest = peer
        for element in elements(of: head).reversed() {
            guard let element, let address = address(in: element) else { return nearest }
            nearest = address
            if !trusted.contains(address) { return nearest }
        }
        return nearest
    }

    /// What each proxy has told, outermost first; nil where it has told no address.
    private static func elements(of head: RequestHead) -> [Substring?] {
        let lines = head.all("x-forwarded-for")
        if !lines.isEmpty { return lines.flatMap { $0.split(separator: ",", omittingEmptySubsequences: false).map { HTTPSyntax.trimmed($0) } } }
        return head.all("forwarded").flatMap { line in
            split(line[...], at: ",").map { element -> Substring? in
                for pair in split(element, at: ";") {
                    let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                    if parts.count == 2, HTTPSyntax.trimmed(parts[0]).lowercased() == "for" { return HTTPSyntax.trimmed(parts[1]) }
                }
                return nil
            }
        }
    }

    /// Splits where a separator stands outside of quotes.
    ///
    /// From the end on: what a proxy has added there is well-formed, while a quote that its client has left open before it would hide it.
    private static func split(_ text: Substring, at separator: Character) -> [Substring] {
        var parts: [Substring] = []
        var end = text.endIndex
        var isQuoted = false
        for index in text.indices.reversed() {
            if text[index] == "\"" { isQuoted.toggle() }
            if text[index] == separator, !isQuoted {
                parts.append(text[text.index(after: index)..<end])
                end = index
            }
        }
        parts.append(text[..<end])
        return parts.reversed()
    }

    /// `192.0.2.1`, `192.0.2.1:50000`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:50000`, each also within quotes.
    static func address(in element: Substring) -> IPAddress? {
        var text = element
        if text.count >= 2, text.first == "\"", text.last == "\"" { text = text.dropFirst().dropLast() }
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]"), isPort(text[text.index(after: end)...]) else { return nil }
            let inside = text[text.index(after: text.startIndex)..<end]
            return inside.contains(":") ? IPAddress(inside) : nil
        }
        if let address = IPAddress(text) { return address }
        guard let colon = text.firstIndex(of: ":"), isPort(text[colon...]) else { return nil }
        let address = IPAddress(text[..<colon])
        return address?.isIPv4 == true ? address : nil
    }

    /// Nothing, or a colon and digits.
    private static func isPort(_ text: Substring) -> Bool {
        text.isEmpty || text.first == ":" && (2...6).contains(text.utf8.count) && text.utf8.dropFirst().allSatisfy { (48...57).contains($0) }
    }
}
