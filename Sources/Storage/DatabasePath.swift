// The gateway's spelling of where its database is.

/// Takes the file's path from what the gateway calls `database.connection`.
public enum DatabasePath {
    /// The path in a plain path, or in an SQLite URI such as `file:data/goleapai.db?_journal_mode=WAL`.
    ///
    /// - Parameter connection: as the gateway's configuration has it; parameters behind `?` are the gateway's own
    ///   business (journal mode, time-outs) and are left out, in both forms, as its driver does.
    /// - Returns: nil where there is no file: an empty text, `:memory:`, `mode=memory`, a URI with a host.
    public static func path(of connection: String) -> String? {
        var rest = Substring(connection)
        let isURI = rest.hasPrefix("file:")
        if isURI { rest.removeFirst(5) }
        var parameters = Substring()
        if let mark = rest.firstIndex(of: "?") {
            parameters = rest[rest.index(after: mark)...]
            rest = rest[..<mark]
        }
        if isURI {
            if let mark = rest.firstIndex(of: "#") { rest = rest[..<mark] }
            if rest.hasPrefix("//") {
                rest.removeFirst(2)
                if rest.hasPrefix("localhost/") { rest.removeFirst(9) }
                guard rest.hasPrefix("/") else { return nil }
            }
        }
        if parameters.split(separator: "&").contains("mode=memory") { return nil }
        guard let path = isURI ? percentDecoded(rest) : String(rest), !path.isEmpty, path != ":memory:" else { return nil }
        return path
    }

    /// The URI that opens a path for reading only.
    static func readOnlyURI(_ path: String) -> String {
        var uri = "file:"
        // A path that begins with two slashes would read as a host.
        if path.hasPrefix("//") { uri += "//" }
        for byte in path.utf8 {
            switch byte {
            case UInt8(ascii: "%"), UInt8(ascii: "?"), UInt8(ascii: "#"), 0x80...:
                uri += "%" + String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
            default: uri.unicodeScalars.append(Unicode.Scalar(byte))
            }
        }
        return uri + "?mode=ro"
    }

    private static func percentDecoded(_ text: Substring) -> String? {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return String(text) }
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let high = rest.first.flatMap(hexDigit),
                let low = rest.dropFirst().first.flatMap(hexDigit)
            {
                bytes.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return bytes.contains(0) ? nil : String(decoding: bytes, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }
}
