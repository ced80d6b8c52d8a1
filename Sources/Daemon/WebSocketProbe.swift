// A WebSocket as `doctor` tries it: one upgrade, one message, its answer. Blocking.

import Base
import Host
import Protocol

/// Owner: one thread.
struct WebSocketProbe {
    enum Outcome {
        case open(WebSocketProbe)
        case refused(HTTPAnswer)
    }

    private let connection: ServerConnection
    /// What has come and was not looked at.
    private var bytes: [UInt8]
    private static let messageBytesMax = 1_048_576
    /// Others than the one that is waited for; a busy daemon sends many.
    private static let messagesMax = 1000

    /// Asks for an upgrade.
    /// - Parameter path: with its query, below the address's own path.
    static func open(_ path: String, _ access: DaemonAccess, fields: [(String, String)], seconds: Int) throws(ConnectionFailure) -> Outcome {
        let connection = try ServerConnection.open(access.url, trusting: access.trust, seconds: seconds)
        // RFC 6455 §4.1: 16 bytes in base64. The daemon takes any; what stands between us and it may not.
        let key = "Z29sZWFwYWktd3MgaGkhIQ=="
        var request = "GET \(access.url.basePath)\(path) HTTP/1.1\r\nHost: \(access.url.hostField)\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \(key)\r\n"
        for (name, value) in fields + access.fields { request += "\(name): \(value)\r\n" }
        try connection.send(Array("\(request)\r\n".utf8))
        var bytes: [UInt8] = []
        let head = try AnswerHead(from: connection, &bytes)
        guard head.status == 101 else {
            // An error may come in chunks by whatever stands between, or not to its end; its status says enough.
            return .refused((try? HTTPAnswer(head, &bytes, from: connection)) ?? HTTPAnswer(head: head, body: []))
        }
        guard head.first("sec-websocket-accept") == Handshake.accept(for: key) else {
            throw .answer("the upgrade was answered by something that does not speak WebSocket (Sec-WebSocket-Accept)")
        }
        return .open(WebSocketProbe(connection: connection, bytes: bytes))
    }

    /// Sends a JSON text of less than 126 bytes.
    func send(_ text: String) throws(ConnectionFailure) {
        let payload = Array(text.utf8.prefix(125))
        // RFC 6455 §5.3: masked; by zeros, which changes nothing.
        try connection.send([0x81, 0x80 | UInt8(payload.count), 0, 0, 0, 0] + payload)
    }

    /// The next message of a type; others are skipped.
    mutating func message(ofType type: String) throws(ConnectionFailure) -> JSON {
        for _ in 0..<WebSocketProbe.messagesMax {
            let (opcode, payload) = try frame()
            if opcode == .close {
                let code = payload.count >= 2 ? "\(Int(payload[0]) << 8 | Int(payload[1]))" : "no code"
                throw .answer("the connection was closed with \(code) \(String(decoding: payload.dropFirst(2), as: UTF8.self))")
            }
            guard opcode == .text, let message = try? JSON(parsing: payload), message["type"]?.string == type else { continue }
            return message
        }
        throw .answer("no \(type) among \(WebSocketProbe.messagesMax) messages")
    }

    /// The daemon sends whole messages.
    private mutating func frame() throws(ConnectionFailure) -> (Opcode, [UInt8]) {
        let first = try take(2)
        let length: Int
        switch first[1] {
        case ..<126: length = Int(first[1])
        case 126: length = try take(2).reduce(0) { $0 << 8 | Int($1) }
        case 127:
            let wide = try take(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            length = Int(clamping: wide)
        default: throw .answer("a masked frame, as no server sends it")
        }
        guard length <= WebSocketProbe.messageBytesMax else { throw .answer("a frame of \(length) bytes") }
        return (Opcode(rawValue: first[0] & 15), try take(length))
    }

    private mutating func take(_ count: Int) throws(ConnectionFailure) -> [UInt8] {
        while bytes.count < count {
            let part = try connection.receive()
            guard !part.isEmpty else { throw .answer("the connection ended") }
            bytes += part
        }
        defer { bytes.removeFirst(count) }
        return Array(bytes[..<count])
    }
}
