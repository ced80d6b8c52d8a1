// The field Sec-WebSocket-Extensions of a request (RFC 6455 §9.1).

/// One extension that a client offers, with its parameters in the order in which they came.
struct ExtensionOffer: Equatable {
    var name: String
    /// A value is nil where the parameter has none.
    var parameters: [Parameter]

    struct Parameter: Equatable {
        var name: String
        var value: String?
    }

    /// Reads the field, which may stand several times.
    /// - Throws: 400 for what is no list of extensions. RFC 6455 §9.1: such a connection must fail.
    static func parse(_ values: [String]) throws(HTTPError) -> [ExtensionOffer] {
        var offers: [ExtensionOffer] = []
        for value in values {
            var reader = Reader(rest: Array(value.utf8)[...])
            // Empty elements of a list are none (RFC 9110 §5.6.1).
            repeat {
                reader.skipBlanks()
                if reader.isAtEnd || reader.next == UInt8(ascii: ",") { continue }
                offers.append(try reader.readOffer())
            } while reader.take(UInt8(ascii: ","))
            guard reader.isAtEnd else { throw malformed }
        }
        return offers
    }

    fileprivate static let malformed = HTTPError(400, "Sec-WebSocket-Extensions is malformed")

    private struct Reader {
        var rest: ArraySlice<UInt8>

        var next: UInt8? { rest.first }
        var isAtEnd: Bool { rest.isEmpty }

        mutating func skipBlanks() { rest = rest.drop(while: HTTPSyntax.isBlank) }

        /// Takes a sign, if it comes next, and the blanks around it.
        mutating func take(_ sign: UInt8) -> Bool {
            skipBlanks()
            guard next == sign else { return false }
            rest.removeFirst()
            skipBlanks()
            return true
        }

        mutating func readOffer() throws(HTTPError) -> ExtensionOffer {
            var offer = ExtensionOffer(name: try readToken(), parameters: [])
            while take(UInt8(ascii: ";")) {
                let name = try readToken()
                offer.parameters.append(Parameter(name: name, value: take(UInt8(ascii: "=")) ? try readValue() : nil))
            }
            skipBlanks()
            return offer
        }

        mutating func readToken() throws(HTTPError) -> String {
            let token = rest.prefix(while: HTTPSyntax.isToken)
            guard !token.isEmpty else { throw ExtensionOffer.malformed }
            rest = rest.dropFirst(token.count)
            return String(decoding: token, as: UTF8.self)
        }

        /// A token, or a quoted string that holds one.
        mutating func readValue() throws(HTTPError) -> String {
            guard next == UInt8(ascii: "\"") else { return try readToken() }
            rest.removeFirst()
            var text: [UInt8] = []
            while let byte = rest.popFirst() {
                if byte == UInt8(ascii: "\"") {
                    guard !text.isEmpty, text.allSatisfy(HTTPSyntax.isToken) else { throw ExtensionOffer.malformed }
                    return String(decoding: text, as: UTF8.self)
                }
                // A backslash makes the sign behind it one of the text.
                guard let sign = byte == UInt8(ascii: "\\") ? rest.popFirst() : byte else { break }
                text.append(sign)
            }
            throw ExtensionOffer.malformed
        }
    }
}
