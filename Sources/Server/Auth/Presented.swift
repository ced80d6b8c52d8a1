// The credential that a request carries: found, not yet looked at.

import Protocol

/// How a request says who it is.
enum Presented {
    case nothing
    case credential(Credential)
    /// A one-time word for somebody who was looked at a moment ago.
    case ticket(String)
    /// It will say so by its first message.
    case message

    /// Names of query parameters that carry a credential, or promise one.
    static let parameters: Set<String> = ["ticket", "token", "auth"]

    /// The ways that a kind of request has.
    enum Ways {
        /// The Authorization header, which all have.
        case header
        /// Also a ticket, or a token in the address.
        case address
        /// Also the subprotocol and the first message.
        case webSocket
    }

    static let noMessages = HTTPError(400, "a stream takes no messages, so no auth=message; use the Authorization header or a ticket")

    /// Reads what a request carries.
    /// - Parameters:
    ///   - ways: by which it may say it.
    ///   - takesQueryToken: whether a token may stand in the address.
    /// - Throws: 400 where it carries several, or one in a way that is not taken; never with the credential in its words.
    static func read(_ head: RequestHead, _ ways: Ways, takesQueryToken: Bool) throws(HTTPError) -> Presented {
        var found: [Presented] = []
        for value in head.all("authorization") { found.append(.credential(try authorization(value))) }
        if ways == .webSocket {
            for offered in head.list("sec-websocket-protocol") where offered.hasPrefix(subprotocolPrefix) {
                found.append(.credential(Credential(text: String(offered.dropFirst(subprotocolPrefix.count)))))
            }
        }
        if ways != .header {
            for (name, value) in head.query {
                switch name {
                case "ticket": found.append(.ticket(value))
                case "token":
                    guard takesQueryToken else {
                        throw HTTPError(400, "a token in the address is not taken here (auth.query_token); use the Authorization header or a ticket")
                    }
                    found.append(.credential(Credential(text: value)))
                case "auth":
                    if ways != .webSocket { throw noMessages }
                    guard value == "message" else { throw HTTPError(400, "auth is not 'message'") }
                    found.append(.message)
                default: break
                }
            }
        }
        guard found.count <= 1 else { throw HTTPError(400, "more than one credential; send one") }
        return found.first ?? .nothing
    }

    /// `bearer.<token>` beside the subprotocol: browsers cannot set a header.
    static let subprotocolPrefix = "bearer."

    /// As the gateway reads it, byte for byte: what it would not take is not taken here.
    private static func authorization(_ value: String) throws(HTTPError) -> Credential {
        guard let credential = Credential(authorization: value) else {
            throw HTTPError(401, "the Authorization header is not understood; write Bearer TOKEN or ApiKey KEY")
        }
        return credential
    }
}
