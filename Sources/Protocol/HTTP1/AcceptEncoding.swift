// What codings of an answer a client takes (RFC 9110 §12.5.3).

public enum AcceptEncoding {
    /// Whether an answer may be compressed with gzip. Who says nothing is sent what everybody understands.
    public static func takesGzip(_ head: RequestHead) -> Bool {
        var others = false
        for part in head.tokens("accept-encoding") {
            let pieces = part.split(separator: ";", omittingEmptySubsequences: false)
            guard let name = pieces.first.map(HTTPSyntax.trimmed) else { continue }
            let isTaken = pieces.dropFirst().map(HTTPSyntax.trimmed).first { $0.hasPrefix("q") && HTTPSyntax.trimmed($0.dropFirst()).hasPrefix("=") }.map(isPositive) ?? true
            if name == "gzip" || name == "x-gzip" { return isTaken }
            if name == "*" { others = isTaken }
        }
        return others
    }

    /// Whether `q=` is followed by a weight, and not by 0. What is no weight is no wish.
    private static func isPositive(_ parameter: Substring) -> Bool {
        let weight = HTTPSyntax.trimmed(HTTPSyntax.trimmed(parameter.dropFirst()).dropFirst())
        guard weight.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".") }), let value = Double(weight) else { return false }
        return value > 0 && value <= 1
    }
}
