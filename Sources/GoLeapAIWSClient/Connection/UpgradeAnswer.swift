// The server's answer to the request for a WebSocket.

import Protocol

/// The head of an answer, and its body as far as it has come.
struct UpgradeAnswer: Equatable {
    static let bodyBytesMax = 65_536

    let head: AnswerHead
    /// What stands behind the head.
    let rest: [UInt8]

    var status: Int { head.status }

    /// Whether all of the body is there that is worth waiting for.
    var isBodyWhole: Bool {
        guard let length = head.bodyBytes else { return head.first("transfer-encoding") == nil }
        return rest.count >= min(length, UpgradeAnswer.bodyBytesMax)
    }

    /// Why not, in the server's words.
    var why: String {
        let words = (try? JSON(parsing: rest))?["error"]?.string  // What is no JSON is no answer of the daemon, and not for people.
        return words.map { ForeignText.shown($0, to: 300) } ?? ""
    }

    /// Seconds; a date is not understood.
    var retryAfter: Int? { head.first("retry-after").flatMap { Int($0) } }

    /// Whether the server agrees to speak WebSocket as asked (RFC 6455 §4.1).
    /// - Parameters:
    ///   - subprotocol: the one that was offered; nil where none was.
    ///   - offersCompression: `DeflateAgreement.offer` was made.
    func accepts(key: String, subprotocol: String? = nil, offersCompression: Bool = false) -> Bool {
        status == 101 && head.first("upgrade")?.lowercased() == "websocket" && (head.first("connection")?.lowercased() ?? "").contains("upgrade")
            && head.first("sec-websocket-accept") == Handshake.accept(for: key) && head.first("sec-websocket-protocol") == subprotocol
            && (head.first("sec-websocket-extensions") == nil || offersCompression && compression != nil)
    }

    /// How the server compresses; nil where it does not, or says it wrongly.
    var compression: DeflateAgreement? { DeflateAgreement(answer: head.all("sec-websocket-extensions")) }
}
