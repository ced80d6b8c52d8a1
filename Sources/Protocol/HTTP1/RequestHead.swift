// The head of a request, taken apart and judged; what is ambiguous never gets this far.

/// One field of a request.
public struct HeaderField: Equatable, Sendable {
    /// In lower case.
    public let name: String
    /// Without the blanks around it. Bytes beyond ASCII are UTF-8 where they are valid as such, else Latin-1.
    public let value: String

    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// How long the body of a request is (RFC 9112 §6).
public enum BodyFraming: Equatable, Sendable {
    case none
    /// `Content-Length`, which may be 0.
    case length(Int)
    case chunked
}

/// The request line and fields of one request.
public struct RequestHead: Sendable {
    /// As sent: methods are case-sensitive.
    public let method: String
    /// As sent.
    public let target: String
    /// The path of the target, without percent-encoding: valid UTF-8, no NUL. Begins with `/`, or is `*` (OPTIONS only).
    public let path: String
    /// The parameters of the query, in order, decoded; `+` is a blank. One without `=` has an empty value.
    public let query: [(name: String, value: String)]
    /// Of HTTP/1: 0 or 1 (later minor versions count as 1).
    public let minorVersion: Int
    /// In order of arrival.
    public let fields: [HeaderField]
    /// The host asked for, with its port if given: that of an absolute target, else of the `Host` field; empty where neither
    /// has one.
    public let host: String
    public let body: BodyFraming

    /// The value of the first field of this name, which is given in lower case.
    public func first(_ lowercasedName: String) -> String? { fields.first { $0.name == lowercasedName }?.value }

    /// The values of all fields of this name, in order.
    public func all(_ lowercasedName: String) -> [String] { fields.filter { $0.name == lowercasedName }.map(\.value) }

    /// The elements of a comma-separated list, also over repeated fields, their ASCII letters in lower case; empty ones are left out.
    public func tokens(_ lowercasedName: String) -> [String] { list(lowercasedName).map(HTTPSyntax.lowercased) }

    /// As `tokens(_:)`, with the elements as they were sent.
    public func list(_ lowercasedName: String) -> [String] {
        all(lowercasedName).flatMap { value in
            value.utf8.split(separator: UInt8(ascii: ",")).compactMap { element in
                var trimmed = element
                while let first = trimmed.first, HTTPSyntax.isBlank(first) { trimmed = trimmed.dropFirst() }
                while let last = trimmed.last, HTTPSyntax.isBlank(last) { trimmed = trimmed.dropLast() }
                return trimmed.isEmpty ? nil : String(Substring(trimmed))
            }
        }
    }

    /// Whether a comma-separated list has an element, which is given in lower case.
    public func hasToken(_ lowercasedToken: String, in lowercasedName: String) -> Bool {
        for field in fields where field.name == lowercasedName {
            let isAlone = field.value.utf8.elementsEqual(lowercasedToken.utf8) { HTTPSyntax.lowercased($0) == $1 }
            if isAlone { return true }
        }
        return tokens(lowercasedName).contains(lowercasedToken)
    }

    /// The value of the first query parameter of this name.
    public func parameter(_ name: String) -> String? { query.first { $0.name == name }?.value }

    /// Whether the client wants the connection kept after the answer (RFC 9112 §9.3).
    public var keepsAlive: Bool {
        if first("connection") == nil { return minorVersion >= 1 }
        return !hasToken("close", in: "connection") && (minorVersion >= 1 || hasToken("keep-alive", in: "connection"))
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    public var expectsContinue: Bool {
        minorVersion >= 1 && body != .none && body != .length(0) && hasToken("100-continue", in: "expect")
    }
}
