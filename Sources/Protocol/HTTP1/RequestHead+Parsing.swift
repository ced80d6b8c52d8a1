// From the lines of a head to its meaning (RFC 9112 §3, §5, §6).
//
// Producers send a head with every event: what is usual is read where it lies, without arrays and slices of arrays on the way.

extension RequestHead {
    /// Reads a whole head.
    /// - Parameter bytes: request line, fields and the empty line; every line ends with CRLF, and LF stands nowhere else.
    init(lines bytes: UnsafeRawBufferPointer) throws(HTTPError) {
        var rest = bytes[...]
        guard let requestLine = RequestHead.nextLine(&rest) else { throw HTTPError(400, "malformed request line") }
        var fields: [HeaderField] = []
        fields.reserveCapacity(8)
        while let line = RequestHead.nextLine(&rest), !line.isEmpty { fields.append(try HeaderField(line: line)) }

        guard let afterMethod = requestLine.firstIndex(of: 0x20), let beforeVersion = requestLine.lastIndex(of: 0x20), afterMethod < beforeVersion,
            !requestLine[(afterMethod + 1)..<beforeVersion].contains(0x20)
        else { throw HTTPError(400, "malformed request line") }
        let method = requestLine[..<afterMethod]
        let targetBytes = UnsafeRawBufferPointer(rebasing: requestLine[(afterMethod + 1)..<beforeVersion])
        guard !method.isEmpty, method.count <= 32, method.allSatisfy(HTTPSyntax.isToken) else {
            throw HTTPError(400, "malformed method")
        }
        let minorVersion = try RequestHead.minorVersion(requestLine[(beforeVersion + 1)...])
        let methodName = String(decoding: UnsafeRawBufferPointer(rebasing: method), as: UTF8.self)
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
        if first("expect") != nil {
            for expectation in tokens("expect") where expectation != "100-continue" {
                throw HTTPError(417, "unknown expectation")
            }
        }
    }

    /// The next line without its end; nil where none is left.
    private static func nextLine(_ rest: inout Slice<UnsafeRawBufferPointer>) -> UnsafeRawBufferPointer? {
        guard let newline = rest.firstIndex(of: 0x0A), newline > rest.startIndex else { return nil }
        defer { rest = rest[(newline + 1)...] }
        return UnsafeRawBufferPointer(rebasing: rest[..<(newline - 1)])
    }

    private static func minorVersion(_ bytes: Slice<UnsafeRawBufferPointer>) throws(HTTPError) -> Int {
        let bytes = UnsafeRawBufferPointer(rebasing: bytes)
        guard bytes.count == 8, bytes.starts(with: "HTTP/".utf8), bytes[6] == UInt8(ascii: "."),
            let major = HTTPSyntax.decimal(CollectionOfOne(bytes[5])), let minor = HTTPSyntax.decimal(CollectionOfOne(bytes[7]))
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
        var coding: String?
        var length: String?
        var (codings, differs) = (0, false)
        for field in fields {
            if field.name == "transfer-encoding" {
                codings += 1
                coding = coding ?? field.value
            } else if field.name == "content-length" {
                if let length, field.value != length { differs = true }
                length = length ?? field.value
            }
        }
        guard let length else {
            guard let coding else { return .none }
            // RFC 9112 §6.1: in HTTP/1.0 the framing of such a message is faulty.
            guard minorVersion >= 1 else { throw HTTPError(400, "Transfer-Encoding in HTTP/1.0") }
            guard codings == 1, HTTPSyntax.lowercased(coding) == "chunked" else {
                throw HTTPError(501, "only the transfer coding chunked is known")
            }
            return .chunked
        }
        // RFC 9112 §6.3: both together is how requests are smuggled.
        guard codings == 0 else { throw HTTPError(400, "both Content-Length and Transfer-Encoding") }
        guard !differs else { throw HTTPError(400, "differing Content-Length") }
        guard let bytes = HTTPSyntax.decimal(length.utf8) else { throw HTTPError(400, "malformed Content-Length") }
        return .length(bytes)
    }
}

extension HeaderField {
    /// Reads `name: value`, without the line end.
    init(line: UnsafeRawBufferPointer) throws(HTTPError) {
        // RFC 9112 §5.2: a line that begins with a blank continued the one before, once.
        guard let first = line.first, !HTTPSyntax.isBlank(first) else { throw HTTPError(400, "folded header field") }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0 else { throw HTTPError(400, "malformed header field") }
        // RFC 9112 §5.1: also a blank before the colon is refused by this.
        guard line[..<colon].allSatisfy(HTTPSyntax.isToken) else { throw HTTPError(400, "malformed header field name") }
        var (start, end) = (colon + 1, line.count)
        while start < end, HTTPSyntax.isBlank(line[start]) { start += 1 }
        while end > start, HTTPSyntax.isBlank(line[end - 1]) { end -= 1 }
        let value = UnsafeRawBufferPointer(rebasing: line[start..<end])
        var isASCII = true
        for byte in value {
            guard HTTPSyntax.isFieldValue(byte) else { throw HTTPError(400, "control character in a header field") }
            if byte >= 0x80 { isASCII = false }
        }
        name = String(unsafeUninitializedCapacity: colon) { name in
            for index in 0..<colon { name.initializeElement(at: index, to: HTTPSyntax.lowercased(line[index])) }
            return colon
        }
        self.value =
            isASCII
            ? String(decoding: value, as: UTF8.self)
            : String(validating: value, as: UTF8.self) ?? String(String.UnicodeScalarView(value.map { Unicode.Scalar($0) }))
    }
}
