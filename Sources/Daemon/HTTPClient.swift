// A small HTTP/1.1 client for the commands that talk to a running daemon: blocking, one connection.

import Base
import Glibc
import Host
import Protocol

/// Why a request got no answer.
struct HTTPClientError: Error, CustomStringConvertible {
    let description: String
}

struct HTTPAnswer {
    let head: AnswerHead
    let body: [UInt8]

    var status: Int { head.status }
}

/// Owner: one thread. Every call blocks, at most `timeoutSeconds` for each step of the network.
final class HTTPClient {
    static let timeoutSeconds = 10
    static let bodyBytesMax = 1_048_576

    private let access: DaemonAccess
    private var connection: ServerConnection?

    init(_ access: DaemonAccess) { self.access = access }

    /// Sends one request and waits for its answer. `fields` are written as they are.
    ///
    /// Safe to repeat only as far as the request is: where the server had closed the idle connection, it is sent once more.
    func request(_ method: String, _ path: String, fields: [(String, String)] = [], body: [UInt8] = []) throws(HTTPClientError) -> HTTPAnswer {
        var head = "\(method) \(access.url.basePath)\(path) HTTP/1.1\r\nHost: \(access.url.hostField)\r\n"
        for (name, value) in fields + access.fields { head += "\(name): \(value)\r\n" }
        if method == "POST" { head += "Content-Length: \(body.count)\r\n" }
        let request = Array("\(head)\r\n".utf8) + body
        let wasKept = connection != nil
        do throws(ConnectionFailure) {
            do throws(ConnectionFailure) {
                return try exchange(request)
            } catch {
                connection = nil
                guard wasKept else { throw error }
            }
            return try exchange(request)
        } catch {
            connection = nil
            throw HTTPClientError(description: explanation(error))
        }
    }

    private func explanation(_ failure: ConnectionFailure) -> String {
        switch failure {
        case .name(let why): "cannot find \(access.url.host): \(why)"
        case .connect(let code):
            "cannot connect to \(access.url): \(SystemError.text(of: code))"
                + (code == ECONNREFUSED || code == ENOENT ? "; is the daemon running? --url names another address" : "")
        case .tls, .broken, .late, .answer: "\(access.url): \(failure)"
        }
    }

    private func exchange(_ request: [UInt8]) throws(ConnectionFailure) -> HTTPAnswer {
        let connection: ServerConnection
        if let kept = self.connection {
            connection = kept
        } else {
            connection = try ServerConnection.open(access.url, trusting: access.trust, seconds: HTTPClient.timeoutSeconds)
        }
        do throws(ConnectionFailure) {
            try connection.send(request)
        } catch {
            // A server that refuses early answers and closes while we still send: its answer is worth more than EPIPE.
            guard error == .broken(EPIPE) || error == .broken(ECONNRESET), let answer = try? HTTPAnswer(from: connection) else { throw error }
            self.connection = nil
            return answer
        }
        let answer = try HTTPAnswer(from: connection)
        let isKept = answer.head.first("connection")?.lowercased() != "close" && answer.head.bodyBytes != nil
        self.connection = isKept ? connection : nil
        return answer
    }
}

extension HTTPAnswer {
    /// Reads one answer, whole.
    init(from connection: ServerConnection) throws(ConnectionFailure) {
        var bytes: [UInt8] = []
        while true {
            let head = try AnswerHead(from: connection, &bytes)
            if (100..<200).contains(head.status) { continue }
            try self.init(head, &bytes, from: connection)
            return
        }
    }

    /// Reads the body behind a head.
    /// - Parameter bytes: what has come of it already.
    init(_ head: AnswerHead, _ bytes: inout [UInt8], from connection: ServerConnection) throws(ConnectionFailure) {
        guard head.first("transfer-encoding") == nil else { throw .answer("this is no answer of \(Version.name)") }
        guard head.bodyBytes ?? 0 <= HTTPClient.bodyBytesMax else { throw .answer("endless answer") }
        while bytes.count < head.bodyBytes ?? HTTPClient.bodyBytesMax {
            let part = try connection.receive()
            bytes += part
            guard part.isEmpty else { continue }
            guard head.bodyBytes == nil else { throw .answer("the answer broke off") }
            break
        }
        self.head = head
        body = Array(bytes.prefix(head.bodyBytes ?? bytes.count))
    }
}

extension AnswerHead {
    /// Reads a head.
    /// - Parameter bytes: what has come and was not used; afterwards, what came behind the head.
    init(from connection: ServerConnection, _ bytes: inout [UInt8]) throws(ConnectionFailure) {
        while true {
            switch AnswerHead.parse(bytes) {
            case .head(let head):
                bytes.removeFirst(head.headBytes)
                self = head
                return
            case .broken: throw .answer("this is no answer of \(Version.name)")
            case .incomplete: break
            }
            let part = try connection.receive()
            guard !part.isEmpty else { throw .answer(bytes.isEmpty ? "the connection was closed without an answer" : "broken answer") }
            bytes += part
        }
    }
}
