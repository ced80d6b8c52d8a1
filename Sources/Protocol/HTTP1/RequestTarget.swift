// The target of a request (RFC 9112 §3.2): where it goes, in each of the forms that a server like this one may get.

/// A request target, taken apart.
struct RequestTarget {
    var path: String
    var query: [(name: String, value: String)]
    /// Of the absolute form (`http://host/path`, what is sent to proxies); nil in the others.
    var authority: String?

    init(_ target: UnsafeRawBufferPointer, method: String) throws(HTTPError) {
        // The usual one: a path and nothing else, with nothing to decode.
        if target.first == UInt8(ascii: "/"), target.allSatisfy({ HTTPSyntax.isVisible($0) && !RequestTarget.isSpecial($0) }) {
            (path, query, authority) = (String(decoding: target, as: UTF8.self), [], nil)
        } else {
            self = try RequestTarget(unusual: Array(target)[...], method: method)
        }
    }

    private static func isSpecial(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "%") || byte == UInt8(ascii: "?") || byte == UInt8(ascii: "#") }

    private init(unusual target: ArraySlice<UInt8>, method: String) throws(HTTPError) {
        let malformed = HTTPError(400, "malformed request target")
        guard let first = target.first, target.allSatisfy(HTTPSyntax.isVisible), !target.contains(UInt8(ascii: "#")) else {
            throw malformed
        }
        if target.count == 1 && first == UInt8(ascii: "*") {
            guard method == "OPTIONS" else { throw malformed }
            (path, query, authority) = ("*", [], nil)
            return
        }
        var rest = target
        if first != UInt8(ascii: "/") {
            guard let after = RequestTarget.afterScheme(target) else { throw malformed }
            let end = after.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? after.endIndex
            let host = after[..<end]
            guard RequestTarget.isAuthority(host) else { throw malformed }
            authority = String(decoding: host, as: UTF8.self)
            rest = after[end...]
        }
        let mark = rest.firstIndex(of: UInt8(ascii: "?")) ?? rest.endIndex
        path = try RequestTarget.path(rest[..<mark])
        query = try RequestTarget.query(rest[mark...].dropFirst())
    }

    private static func path(_ bytes: ArraySlice<UInt8>) throws(HTTPError) -> String {
        if bytes.isEmpty { return "/" }
        // An encoded slash is one path to a proxy that guards `/admin/` and another to us.
        let text = Array(bytes)
        for i in text.indices where text[i] == UInt8(ascii: "%") && i + 2 < text.count {
            if text[i + 1] == UInt8(ascii: "2") && HTTPSyntax.lowercased(text[i + 2]) == UInt8(ascii: "f") {
                throw HTTPError(400, "encoded slash in the path")
            }
        }
        guard let path = HTTPSyntax.percentDecoded(bytes, plusIsBlank: false) else {
            throw HTTPError(400, "malformed encoding in the path")
        }
        return path
    }

    private static func query(_ bytes: ArraySlice<UInt8>) throws(HTTPError) -> [(name: String, value: String)] {
        var query: [(name: String, value: String)] = []
        for part in bytes.split(separator: UInt8(ascii: "&")) {
            let equals = part.firstIndex(of: UInt8(ascii: "=")) ?? part.endIndex
            guard let name = HTTPSyntax.percentDecoded(part[..<equals], plusIsBlank: true),
                let value = HTTPSyntax.percentDecoded(part[equals...].dropFirst(), plusIsBlank: true)
            else { throw HTTPError(400, "malformed encoding in the query") }
            query.append((name, value))
        }
        return query
    }

    private static func afterScheme(_ target: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        for scheme in ["http://", "https://"] {
            let prefix = target.prefix(scheme.utf8.count).map(HTTPSyntax.lowercased)
            if prefix.elementsEqual(scheme.utf8) { return target.dropFirst(scheme.utf8.count) }
        }
        return nil
    }

    /// Whether this is `host[:port]`: a name, an IPv4 address, or an IPv6 address in brackets. Stricter than RFC 3986, which
    /// would allow user names, percent-encoding and commas.
    static func isAuthority(_ bytes: some Collection<UInt8>) -> Bool {
        let text = Array(bytes)
        guard let first = text.first, text.count <= 300 else { return false }
        var hostEnd = text.firstIndex(of: UInt8(ascii: ":")) ?? text.count
        if first == UInt8(ascii: "[") {
            guard let close = text.firstIndex(of: UInt8(ascii: "]")), close > 2, text[1..<close].allSatisfy(isIPv6)
            else { return false }
            hostEnd = close + 1
        } else {
            guard hostEnd > 0, text[..<hostEnd].allSatisfy(isHostName) else { return false }
        }
        if hostEnd == text.count { return true }
        guard text[hostEnd] == UInt8(ascii: ":") else { return false }
        // RFC 3986 §3.2.3: the port may be empty.
        let port = text[(hostEnd + 1)...]
        return port.isEmpty || port.count <= 5 && (HTTPSyntax.decimal(port) ?? 65_536) <= 65_535
    }

    private static func isIPv6(_ byte: UInt8) -> Bool {
        HTTPSyntax.hexDigit(byte) != nil || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
    }

    private static func isHostName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
