// Answers over HTTP. What goes into a field here cannot end it: control characters are replaced on the way out.

/// An answer to one request.
public struct Response: Sendable {
    public var status: Int
    /// Further fields, in order. Those that frame the message (`Content-Length`, `Transfer-Encoding`, `Connection`) are
    /// ignored here: `serialize` writes them.
    public var fields: [(String, String)]
    public var body: [UInt8]

    /// - Parameter contentType: empty for none.
    public init(status: Int, body: [UInt8] = [], contentType: String = "", fields: [(String, String)] = []) {
        self.status = status
        self.fields = (contentType.isEmpty ? [] : [("Content-Type", contentType)]) + fields
        self.body = body
    }

    /// An answer of JSON, given as its text.
    public init(status: Int, json: String, fields: [(String, String)] = []) {
        self.init(status: status, body: Array(json.utf8), contentType: "application/json", fields: fields)
    }

    /// An answer of JSON, given as its bytes.
    public init(status: Int, json: [UInt8], fields: [(String, String)] = []) {
        self.init(status: status, body: json, contentType: "application/json", fields: fields)
    }

    /// `{"error":"<what>"}`.
    public static func error(_ status: Int, _ what: String, fields: [(String, String)] = []) -> Response {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("error")
        writer.string(what)
        writer.endObject()
        return Response(status: status, json: writer.bytes, fields: fields)
    }

    /// The bytes to send.
    /// - Parameters:
    ///   - keepAlive: whether the connection goes on after this answer.
    ///   - headOnly: for HEAD: the length of the body is told, the body left out.
    public func serialize(keepAlive: Bool, headOnly: Bool) -> [UInt8] {
        var bytes = head(keepAlive: keepAlive, bodyBytes: body.count)
        if !headOnly && mayHaveBody { bytes += body }
        return bytes
    }

    /// The head alone.
    /// - Parameter bodyBytes: nil for a body that ends with the connection, as a stream of events does; `body` is then not used.
    public func head(keepAlive: Bool, bodyBytes: Int?) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(fields.reduce(128 + (bodyBytes ?? 0)) { $0 + $1.0.utf8.count + $1.1.utf8.count + 4 })
        bytes.append(contentsOf: "HTTP/1.1 ".utf8)
        bytes.append(contentsOf: String(status).utf8)
        bytes.append(UInt8(ascii: " "))
        bytes.append(contentsOf: Response.reason(for: status).utf8)
        bytes.append(contentsOf: "\r\n".utf8)
        var upgrades = false
        for (name, value) in fields where Response.isUsable(name) {
            bytes.append(contentsOf: name.utf8)
            bytes.append(contentsOf: ": ".utf8)
            let first = bytes.count
            bytes.append(contentsOf: value.utf8)
            for index in first..<bytes.count where bytes[index] < 0x20 || bytes[index] == 0x7F { bytes[index] = 0x20 }
            bytes.append(contentsOf: "\r\n".utf8)
            if Response.isEqual(name, "upgrade") { upgrades = true }
        }
        if let bodyBytes, mayHaveBody {
            bytes.append(contentsOf: "Content-Length: ".utf8)
            bytes.append(contentsOf: String(bodyBytes).utf8)
            bytes.append(contentsOf: "\r\n".utf8)
        }
        let goesOn = keepAlive && (bodyBytes != nil || !mayHaveBody)
        bytes.append(contentsOf: (goesOn ? "Connection: keep-alive" : "Connection: close").utf8)
        // RFC 9110 §7.8: who sends Upgrade (a 426 does) says so here as well.
        if upgrades { bytes.append(contentsOf: ", Upgrade".utf8) }
        bytes.append(contentsOf: "\r\n".utf8)
        bytes.append(contentsOf: "\r\n".utf8)
        return bytes
    }

    /// RFC 9110 §6.4.1: these answers have no body, whatever `body` holds.
    private var mayHaveBody: Bool { status >= 200 && status != 204 && status != 304 }

    private static func isUsable(_ name: String) -> Bool {
        guard !name.isEmpty, name.utf8.allSatisfy(HTTPSyntax.isToken) else { return false }
        return !isEqual(name, "content-length") && !isEqual(name, "transfer-encoding") && !isEqual(name, "connection")
    }

    /// Whether a field's name is this one, which is in lower case.
    private static func isEqual(_ name: String, _ lowercased: StaticString) -> Bool {
        guard name.utf8.count == lowercased.utf8CodeUnitCount else { return false }
        var at = lowercased.utf8Start
        for byte in name.utf8 {
            if HTTPSyntax.lowercased(byte) != at.pointee { return false }
            at += 1
        }
        return true
    }

    /// The phrase for a status, for people who read the wire.
    public static func reason(for status: Int) -> String {
        switch status {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 411: "Length Required"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 426: "Upgrade Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}
