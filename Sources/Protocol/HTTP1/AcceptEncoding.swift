// What codings of an answer a client takes (RFC 9110 §12.5.3).

public enum AcceptEncoding {
    /// Whether an answer may be compressed with gzip: it is asked for, and the answer as it is is not asked for more. Who says nothing is sent what
    /// everybody understands.
    public static func takesGzip(_ head: RequestHead) -> Bool {
        // The first word about each counts. x-gzip is the same coding (RFC 9110 §8.4.1.3).
        var gzip: Double?
        var identity: Double?
        var others: Double?
        for part in head.tokens("accept-encoding") {
            let pieces = part.split(separator: ";", omittingEmptySubsequences: false)
            let asked = pieces.dropFirst().map(HTTPSyntax.trimmed).first { $0.hasPrefix("q") && HTTPSyntax.trimmed($0.dropFirst()).hasPrefix("=") }.map(weight) ?? 1
            switch pieces.first.map(HTTPSyntax.trimmed) {
            case "gzip", "x-gzip": gzip = gzip ?? asked
            case "identity": identity = identity ?? asked
            case "*": others = others ?? asked
            default: break
            }
        }
        let wish = gzip ?? others ?? 0
        return wish > 0 && wish >= identity ?? 0
    }

    /// What follows `q=`; 0 where that is no weight, which is no wish either.
    private static func weight(_ parameter: Substring) -> Double {
        let text = HTTPSyntax.trimmed(HTTPSyntax.trimmed(parameter.dropFirst()).dropFirst())
        guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".") }), let value = Double(text) else { return 0 }
        return value <= 1 ? value : 0
    }
}
