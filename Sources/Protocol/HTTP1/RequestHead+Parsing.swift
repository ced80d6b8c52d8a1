// From the lines of a head to its meaning (RFC 9112 §3, §5, §6).

extension RequestHead {
    /// Reads a whole head.
    /// - Parameter bytes: request line, fields and the empty line; every line ends with CRLF, and LF stands nowhere else.
    init(lines bytes: [UInt8]) throws(HTTPError) {
        var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map { $0.dropLast() }[...]
        guard let requestLine = lines.popFirst() else { throw HTTPError(400, "malformed request line") }
        var fields: [HeaderField] = []
        fields.reserveCapacity(lines.count)
        // The last two are the empty line and what follows its LF: nothing.
        for line in lines.dropLast(2) { fields.append(try HeaderField(line: line)) }

        let parts = requestLine.split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 3, let method = parts.first, let version = parts.last else {
            throw HTTPError(400, "malformed request line")
        }
        let targetBytes = parts[1]
        guard !method.isEmpty, method.count <= 32, method.allSatisfy(HTTPSyntax.isToken) else {
            throw HTTPError(400, "malformed method")
        }
        let minorVersion = try RequestHead.minorVersion(version)
        let methodName = String(decoding: method, as: UTF8.self)
        let target = try RequestTarget(targetBytes, method: methodName)
        let hostField = try RequestHead.host(fields, minorVersion: minorVersion)

        self.method = methodName
        self.target = String(decoding: targetBytes, as: UTF8.self)
        self.path = target.path
        self.query = target.query
        self.minorVersion = minorVersion
        self.fields = fields
        // RFC 9112 §3.2.2: the host of an absolute target stands before the field.
        self.host = target.authority ?? hostField
        self.body = try RequestHead.framing(fields, minorVersion: minorVersion)
        for expectation in tokens("expect") where expectation != "100-continue" {
            throw HTTPError(417, "unknown expectation")
        }
    }

    private static func minorVersion(_ text: ArraySlice<UInt8>) throws(HTTPError) -> Int {
        let bytes = Array(text)
        guard bytes.count == 8, bytes.starts(with: "HTTP/".utf8), bytes[6] == UInt8(ascii: "."),
            let major = HTTPSyntax.decimal([bytes[5]]), let minor = HTTPSyntax.decimal([bytes[7]])
        else { throw HTTPError(400, "malformed HTTP version") }
        guard major == 1 else { throw HTTPError(505, "only HTTP/1.1 is spoken here") }
        return min(minor, 1)
    }

    // RFC 9112 §3.2: exactly one Host in HTTP/1.1, and a well-formed one.
    private static func host(_ fields: [HeaderField], minorVersion: Int) throws(HTTPError) -> String {
        let hosts = fields.filter { $0.name == "host" }
        guard hosts.count == 1 || hosts.isEmpty && minorVersion == 0 else {
            throw HTTPError(400, hosts.isEmpty ? "missing Host" : "repeated Host")
        }
        let host = hosts.first?.value ?? ""
        guard host.isEmpty || RequestTarget.isAuthority(host.utf8) else { throw HTTPError(400, "malformed Host") }
        return host
    }

    private static func framing(_ fields: [HeaderField], minorVersion: Int) throws(HTTPError) -> BodyFraming {
        let codings = fields.filter { $0.name == "transfer-encoding" }
        let lengths = fields.filter { $0.name == "content-length" }
        guard let length = lengths.first else {
            guard let coding = codings.first else { return .none }
            // RFC 9112 §6.1: in HTTP/1.0 the framing of such a message is faulty.
            guard minorVersion >= 1 else { throw HTTPError(400, "Transfer-Encoding in HTTP/1.0") }
            guard codings.count == 1, HTTPSyntax.lowercased(coding.value) == "chunked" else {
                throw HTTPError(501, "only the transfer coding chunked is known")
            }
            return .chunked
        }
        // RFC 9112 §6.3: both together is how requests are smuggled.
        guard codings.isEmpty else { throw HTTPError(400, "both Content-Length and Transfer-Encoding") }
        guard lengths.allSatisfy({ $0.value == length.value }) else { throw HTTPError(400, "differing Content-Length") }
        guard let bytes = HTTPSyntax.decimal(length.value.utf8) else { throw HTTPError(400, "malformed Content-Length") }
        return .length(bytes)
    }
}

extension HeaderField {
    /// Reads `name: value`, without the line end.
    init(line: ArraySlice<UInt8>) throws(HTTPError) {
        // RFC 9112 §5.2: a line that begins with a blank continued the one before, once.
        guard let first = line.first, !HTTPSyntax.isBlank(first) else { throw HTTPError(400, "folded header field") }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex else {
            throw HTTPError(400, "malformed header field")
        }
        // RFC 9112 §5.1: also a blank before the colon is refused by this.
        let name = line[..<colon]
        guard name.allSatisfy(HTTPSyntax.isToken) else { throw HTTPError(400, "malformed header field name") }
        var value = line[(colon + 1)...]
        while let byte = value.first, HTTPSyntax.isBlank(byte) { value = value.dropFirst() }
        while let byte = value.last, HTTPSyntax.isBlank(byte) { value = value.dropLast() }
        guard value.allSatisfy(HTTPSyntax.isFieldValue) else { throw HTTPError(400, "control character in a header field") }
        self.name = String(decoding: name.map(HTTPSyntax.lowercased), as: UTF8.self)
        self.value =
            String(validating: value, as: UTF8.self)
            ?? String(String.UnicodeScalarView(value.map { Unicode.Scalar($0) }))
    }
}
