// The rules for texts in settings: addresses, origins, names.

import Glibc

/// IP addresses as text, without brackets, port or zone.
public enum IPLiteral {
    /// The address as the C library writes it (`::1`), so that equal addresses are equal texts.
    ///
    /// - Returns: nil where the text is no address.
    public static func normalised(_ text: String) -> String? {
        // The longest text is an IPv6 address with an embedded IPv4 one: 45 bytes and a NUL.
        var space = [CChar](repeating: 0, count: 64)
        for family in [AF_INET, AF_INET6] {
            guard bytes(of: text, family: family).map({ inet_ntop(family, $0, &space, socklen_t(space.count)) != nil }) == true
            else { continue }
            return String(decoding: space.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        return nil
    }

    /// Whether it is 127.0.0.0/8, ::1, or the former inside IPv6.
    public static func isLoopback(_ text: String) -> Bool {
        if let bytes = bytes(of: text, family: AF_INET) { return bytes[0] == 127 }
        guard let bytes = bytes(of: text, family: AF_INET6) else { return false }
        let isMapped = bytes[0..<10].allSatisfy { $0 == 0 } && bytes[10] == 255 && bytes[11] == 255
        return isMapped ? bytes[12] == 127 : bytes[0..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
    }

    /// 4 or 16 bytes in network order.
    private static func bytes(of text: String, family: Int32) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: family == AF_INET ? 4 : 16)
        return inet_pton(family, text, &bytes) == 1 ? bytes : nil
    }
}

/// Scheme, host and port of a web address, in normal form: what a browser sends as `Origin`.
public struct WebOrigin: Equatable, Sendable, CustomStringConvertible {
    /// `http` or `https`.
    public let scheme: String
    /// Lower case; IPv6 addresses without brackets.
    public let host: String
    public let port: Int

    /// Reads `scheme://host[:port]`, in any case; nothing may follow.
    ///
    /// - Returns: nil for anything else, such as `null`, other schemes, or a user name before the host.
    public init?(parsing text: some StringProtocol) {
        let text = text.lowercased()
        guard let scheme = ["http", "https"].first(where: { text.hasPrefix($0 + "://") }) else { return nil }
        var rest = text.dropFirst(scheme.count + 3)
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]"),
                let address = IPLiteral.normalised(String(rest[rest.index(after: rest.startIndex)..<end])), address.contains(":")
            else { return nil }
            host = address
            rest = rest[rest.index(after: end)...]
        } else {
            let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "-._".contains($0)) }
            guard !name.isEmpty else { return nil }
            host = String(name)
            rest = rest.dropFirst(name.count)
        }
        let usual = scheme == "http" ? 80 : 443
        if rest.hasPrefix(":") {
            let digits = rest.dropFirst()
            guard digits.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int(digits), (1...65_535).contains(number)
            else { return nil }
            port = number
        } else {
            guard rest.isEmpty else { return nil }
            port = usual
        }
        self.scheme = scheme
    }

    /// As browsers write it: usual ports are left out.
    public var description: String {
        let shown = host.contains(":") ? "[\(host)]" : host
        return port == (scheme == "http" ? 80 : 443) ? "\(scheme)://\(shown)" : "\(scheme)://\(shown):\(port)"
    }
}

enum TextRules {
    static let any: TextRule = { .fine($0) }

    static let notEmpty: TextRule = { $0.isEmpty ? .wrong("is empty; wanted is a text") : .fine($0) }

    static let listenAddress: TextRule = { text in
        if text == "localhost" { return .fine(text) }
        if let address = IPLiteral.normalised(text) { return .fine(address) }
        if text.hasPrefix("["), text.hasSuffix("]") { return .wrong("is not an IP address; write it without brackets") }
        return .wrong("is neither an IP address nor localhost")
    }

    /// Origin and, where a proxy puts the daemon below one, a path.
    static let publicURL: TextRule = { text in
        if text.isEmpty { return .fine(text) }
        let schemeEnd = text.firstIndex(of: ":").map { text[$0...].prefix(3) == "://" ? text.index($0, offsetBy: 3) : $0 }
        let pathStart = schemeEnd.flatMap { text[$0...].firstIndex(of: "/") } ?? text.endIndex
        let path = text[pathStart...]
        guard let origin = WebOrigin(parsing: text[..<pathStart]),
            path.utf8.allSatisfy({ $0 > 32 && $0 < 127 }), !path.contains("?"), !path.contains("#")
        else { return .wrong("is not the address of a site; write it like https://host.example/path") }
        return .fine(origin.description + (path == "/" ? "" : path))
    }

    static let origin: TextRule = { text in
        if text == "*" { return .fine(text) }
        // A slash at the end is what one copies from a browser's address bar.
        if let origin = WebOrigin(parsing: text.hasSuffix("/") ? text.dropLast() : text[...]) { return .fine(origin.description) }
        return .wrong("is not an origin; write it like https://host.example:8443, without a path")
    }

    static let network: TextRule = { text in
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPLiteral.normalised(String(first)) else {
            return .wrong("is not a network; write it like 10.0.0.0/8 or ::1")
        }
        guard parts.count == 2 else { return .fine(address) }
        let bits = address.contains(":") ? 128 : 32
        guard let length = Int(parts[1]), (0...bits).contains(length) else {
            return .wrong("has a prefix length other than 0 to \(bits)")
        }
        return .fine("\(address)/\(length)")
    }

    static let channel: TextRule = { text in
        let channels = ["logs", "stats", "providers", "requests"]
        return channels.contains(text) ? .fine(text) : .wrong("is none of \(channels.joined(separator: ", "))")
    }

    /// Without the characters that writers of JSON may escape.
    static let fieldName: TextRule = { text in
        guard (1...128).contains(text.utf8.count), text.utf8.allSatisfy({ $0 > 32 && $0 < 127 && !"\"\\<>&'".utf8.contains($0) }) else {
            return .wrong("is not a name of a field: 1 to 128 visible ASCII characters, without quotes, backslash, <, > and &")
        }
        return .fine(text)
    }

    static let unit: TextRule = { text in
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "/") }) else {
            return .wrong("is not the name of a unit; write it like goleapai.service")
        }
        return .fine(text)
    }

    static let socket: TextRule = { text in
        if text == "auto" || text == "off" { return .fine(text) }
        // sun_path of unix(7) holds 107 bytes and a NUL.
        if text.hasPrefix("/"), text.utf8.count <= 107 { return .fine(text) }
        return .wrong("is neither auto nor off nor an absolute path of at most 107 bytes")
    }
}
