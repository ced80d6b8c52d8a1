// The server's answer to the request for a WebSocket.

import Protocol

/// The head of an answer over HTTP (RFC 9112), and its body as far as it has come.
struct UpgradeAnswer: Equatable {
    static let headBytesMax = 65_536
    static let bodyBytesMax = 65_536

    let status: Int
    /// Names in lower case; of equal ones the first.
    let fields: [String: String]
    /// What stands behind the head.
    let rest: [UInt8]

    enum Outcome: Equatable {
        case incomplete
        case answer(UpgradeAnswer)
        case broken
    }

    static func parse(_ bytes: [UInt8]) -> Outcome {
        var end = 0
        while end + 4 <= bytes.count, !(bytes[end] == 13 && bytes[end + 1] == 10 && bytes[end + 2] == 13 && bytes[end + 3] == 10) { end += 1 }
        guard end + 4 <= bytes.count else { return bytes.count > headBytesMax ? .broken : .incomplete }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: false)
        let words = lines[0].split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), words[1].utf8.count == 3, let status = Int(words[1]), (100..<600).contains(status)
        else { return .broken }
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { return .broken }
            let name = line[..<colon].lowercased()
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            if fields[name] == nil { fields[name] = String(value) }
        }
        return .answer(UpgradeAnswer(status: status, fields: fields, rest: Array(bytes[(end + 4)...])))
    }

    /// Whether all of the body is there that is worth waiting for.
    var isBodyWhole: Bool {
        guard let length = fields["content-length"].flatMap({ Int($0) }) else { return fields["transfer-encoding"] == nil }
        return rest.count >= min(max(0, length), UpgradeAnswer.bodyBytesMax)
    }

    /// Why not, in the server's words.
    var why: String {
        let words = (try? JSON(parsing: rest))?["error"]?.string  // What is no JSON is no answer of the daemon, and not for people.
        return words.map { ForeignText.shown($0, to: 300) } ?? ""
    }

    /// Seconds; a date is not understood.
    var retryAfter: Int? { fields["retry-after"].flatMap { Int($0) } }

    /// Whether the server agrees to speak WebSocket (RFC 6455 §4.1).
    func accepts(key: String) -> Bool {
        status == 101 && fields["upgrade"]?.lowercased() == "websocket" && (fields["connection"]?.lowercased() ?? "").contains("upgrade")
            && fields["sec-websocket-accept"] == Handshake.accept(for: key) && fields["sec-websocket-extensions"] == nil
    }
}
