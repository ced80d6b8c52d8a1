// The opening handshake, server side (RFC 6455 §4.2). Which paths, origins and credentials are welcome is not decided here.

/// Checks and answers upgrade requests. Nothing here keeps state.
public enum Handshake {
    /// The fields that a 426 carries: what to upgrade to, and in which version (RFC 9110 §15.5.22, RFC 6455 §4.4).
    public static let upgradeFields: [(String, String)] = [
        ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
    ]

    /// The value of `Sec-WebSocket-Accept` for a key (RFC 6455 §4.2.2).
    public static func accept(for key: String) -> String {
        Base64.encode(SHA1.digest(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)))
    }

    /// Whether a request asks for a WebSocket at all, well or badly.
    public static func isUpgrade(_ head: RequestHead) -> Bool {
        head.hasToken("upgrade", in: "connection") && head.hasToken("websocket", in: "upgrade")
    }

    /// Checks an upgrade request (RFC 6455 §4.2.1).
    ///
    /// The key may be any one value of 1 to 256 visible characters: it proves nothing about the client, and a plain `test` from
    /// a command line shall work.
    /// - Throws: 405 for another method than GET, 426 without an upgrade or for a version other than 13, else 400.
    public static func check(_ head: RequestHead) throws(HTTPError) {
        guard head.method == "GET" || head.method == "HEAD" else {
            throw HTTPError(405, "method not allowed", fields: [("Allow", "GET, HEAD")])
        }
        guard head.method == "GET", isUpgrade(head) else {
            throw HTTPError(426, "this is a WebSocket endpoint: upgrade required", fields: upgradeFields)
        }
        guard head.minorVersion >= 1 else { throw HTTPError(400, "WebSocket needs HTTP/1.1") }
        guard head.body == .none || head.body == .length(0) else { throw HTTPError(400, "upgrade request with a body") }
        guard head.all("sec-websocket-version") == ["13"] else {
            throw HTTPError(426, "unsupported WebSocket version: 13 is required", fields: upgradeFields)
        }
        let keys = head.all("sec-websocket-key")
        guard let key = keys.first, keys.count == 1, isAcceptable(key: key) else {
            throw HTTPError(400, "Sec-WebSocket-Key must be given once, with 1 to 256 visible characters")
        }
    }

    private static func isAcceptable(key: String) -> Bool {
        (1...256).contains(key.utf8.count) && key.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    /// The 101 answer (RFC 6455 §4.2.2).
    /// - Parameters:
    ///   - key: as the request gave it, checked by `check(_:)`.
    ///   - subprotocol: the one chosen of those offered; left out if it is no token.
    ///   - extensions: the value of Sec-WebSocket-Extensions, where something was agreed upon.
    public static func response(key: String, subprotocol: String?, extensions: String? = nil) -> [UInt8] {
        var text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        text += "Sec-WebSocket-Accept: \(accept(for: key))\r\n"
        if let subprotocol, !subprotocol.isEmpty, subprotocol.utf8.allSatisfy(HTTPSyntax.isToken) {
            text += "Sec-WebSocket-Protocol: \(subprotocol)\r\n"
        }
        if let extensions { text += "Sec-WebSocket-Extensions: \(extensions)\r\n" }
        text += "\r\n"
        return Array(text.utf8)
    }
}
