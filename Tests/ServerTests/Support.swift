// Requests without a socket.

import Base
import Dispatch
import Protocol
import TestSupport

@testable import Fanout
@testable import Host
@testable import Server

/// The head of a request as a client would send it; `Host` is `localhost` where the fields name none.
func head(_ method: String, _ target: String, _ fields: [(String, String)] = [], version: String = "1.1") throws -> RequestHead {
    var text = "\(method) \(target) HTTP/\(version)\r\n"
    if version != "1.0", !fields.contains(where: { $0.0.lowercased() == "host" }) { text += "Host: localhost\r\n" }
    for (name, value) in fields { text += "\(name): \(value)\r\n" }
    var parser = RequestHeadParser()
    let parsed = try Array((text + "\r\n").utf8).withUnsafeBytes { try parser.parse($0) }
    guard let parsed else { throw TestFailure("no whole head: \(text)") }
    return parsed.head
}

let upgradeFields = [
    ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "test"),
]

extension PeerAddress {
    static let local = PeerAddress(host: "127.0.0.1", port: 50_000, isLoopback: true)
    static let stranger = PeerAddress(host: "192.0.2.7", port: 50_000, isLoopback: false)
}

/// Holds the one answer that may come later.
private final class Slot: @unchecked Sendable {  // Sendable because the semaphore orders the write before the read.
    var response: Response?
    let done = DispatchSemaphore(value: 0)
}

extension RouterOptions {
    static func forTests(_ change: (inout RouterOptions) -> Void = { _ in }) -> RouterOptions {
        var options = RouterOptions(
            build: Build(name: "goleapai-ws", version: "1.2.3", commit: "abc", swift: "6"),
            sources: { [] },
            isDraining: { false })
        change(&options)
        return options
    }
}

extension RouterRules {
    static func forTests(_ change: (inout RouterRules) -> Void = { _ in }) -> RouterRules {
        var rules = RouterRules(
            broadcast: BroadcastLimits(eventsPerSecond: 100, burst: 50, eventBytesMax: 1000, batchBytesMax: 1_000_000))
        change(&rules)
        return rules
    }
}

extension Router {
    /// Where a request goes, where that is known at once.
    func route(_ head: RequestHead, from peer: PeerAddress) -> Route {
        route(head, from: peer, later: { _ in }) ?? .answer(.error(500, "it is found out later"))
    }

    /// The answer to a request; nil where it becomes a WebSocket.
    func answer(to head: RequestHead, body: String = "", from peer: PeerAddress = .local) throws -> Response? {
        switch route(head, from: peer) {
        case .answer(let response): return response
        case .upgrade: return nil
        case .request(let most, let principal):
            guard body.utf8.count <= most else { throw TestFailure("a body of \(body.utf8.count) bytes would not be read") }
            let slot = Slot()
            if let response = respond(
                to: Request(head: head, body: Array(body.utf8), peer: peer, principal: principal),
                later: {
                    slot.response = $0
                    slot.done.signal()
                })
            {
                return response
            }
            guard slot.done.wait(timeout: .now() + .seconds(hangGuardSeconds)) == .success else { throw TestFailure("no answer") }
            return slot.response
        }
    }
}

extension Response {
    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSON? { try? JSON(parsing: body) }  // nil is what the tests compare with
    subscript(name: String) -> String? { fields.first { $0.0.lowercased() == name }?.1 }
}

extension Hub {
    /// The messages of history's newest segment, from a sequence on.
    func messages(from first: UInt64) -> [String] {
        guard let segment = newestSegment() else { return [] }
        return (0..<segment.count).filter { segment.firstSequence + UInt64($0) >= first }
            .map { String(decoding: segment.text(of: segment.entry(at: $0).pointee.json), as: UTF8.self) }
    }
}
