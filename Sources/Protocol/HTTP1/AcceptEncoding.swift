// What codings of an answer a client takes (RFC 9110 §12.5.3).

public enum AcceptEncoding {
    /// Whether an answer may be compressed with gzip. Who says nothing is sent what everybody understands.
    public static func takesGzip(_ head: RequestHead) -> Bool {
        var others = false
        for part in head.tokens("accept-encoding") {
            let pieces = part.split(separator: ";", omittingEmptySubsequences: false)
            guard let name = pieces.first.map(trimmed) else { continue }
            let weight = pieces.dropFirst().map(trimmed).first { $0.hasPrefix("q=") }.map { $0.dropFirst(2) }
            // A weight is a number from 0 to 1; any other text is none, and refuses nothing.
            let isTaken = weight.flatMap { Double($0) } != 0
            if name == "gzip" || name == "x-gzip" { return isTaken }
            if name == "*" { others = isTaken }
        }
        return others
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while text.first == " " || text.first == "\t" { text.removeFirst() }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return text
    }
}
