// A stream of Server-Sent Events as `doctor` tries it: the request, and whether its first block comes at once. Blocking.

import Base
import Protocol

/// The daemon begins every stream with a block, so that what stands between shows whether it passes on what it has.
enum EventStreamProbe {
    enum Outcome {
        case flows
        case refused(HTTPAnswer)
        /// The answer is something else than a stream.
        case other(AnswerHead)
        /// The head came at most, and then nothing.
        case heldBack
    }

    static func open(_ path: String, _ access: DaemonAccess, seconds: Int) throws(ConnectionFailure) -> Outcome {
        let connection = try ServerConnection.open(access.url, trusting: access.trust, seconds: seconds)
        var request = "GET \(access.url.basePath)\(path) HTTP/1.1\r\nHost: \(access.url.hostField)\r\nAccept: \(EventStreamWriter.contentType)\r\n"
        for (name, value) in access.fields { request += "\(name): \(value)\r\n" }
        try connection.send(Array("\(request)\r\n".utf8))
        do throws(ConnectionFailure) {
            var bytes: [UInt8] = []
            let head = try AnswerHead(from: connection, &bytes)
            guard head.status == 200 else { return .refused((try? HTTPAnswer(head, &bytes, from: connection)) ?? HTTPAnswer(head: head, body: [])) }
            guard head.first("content-type")?.hasPrefix(EventStreamWriter.contentType) == true else { return .other(head) }
            if bytes.isEmpty, try connection.receive().isEmpty { throw .answer("the stream ended at once") }
            return .flows
        } catch {
            guard case .late = error else { throw error }
            return .heldBack
        }
    }
}
