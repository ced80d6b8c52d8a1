// A small HTTP/1.1 client for the commands that talk to a running daemon: blocking, one connection.

import Base
import Glibc
import Host

/// Why a request got no answer.
struct HTTPClientError: Error, CustomStringConvertible {
    let description: String
}

struct HTTPAnswer {
    let status: Int
    /// Names in lower case.
    let fields: [String: String]
    let body: [UInt8]
}

/// Owner: one thread. Every call blocks, at most `timeoutSeconds` for each step of the network.
final class HTTPClient {
    static let timeoutSeconds = 10
    static let headBytesMax = 65_536
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
        let isKept = answer.fields["connection"]?.lowercased() != "close" && answer.fields["content-length"] != nil
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
            guard head.fields["transfer-encoding"] == nil else { throw .answer("this is no answer of \(Version.name)") }
            let length = head.fields["content-length"].map { Int($0) ?? .max }
            guard length ?? 0 <= HTTPClient.bodyBytesMax else { throw .answer("endless answer") }
            while bytes.count < length ?? HTTPClient.bodyBytesMax {
                let part = try connection.receive()
                bytes += part
                guard part.isEmpty else { continue }
                guard length == nil else { throw .answer("the answer broke off") }
                break
            }
            (status, fields, body) = (head.status, head.fields, Array(bytes.prefix(length ?? bytes.count)))
            return
        }
    }
}

extension AnswerHead {
    /// Reads a head.
    /// - Parameter bytes: what has come and was not used; afterwards, what came behind the head.
    init(from connection: ServerConnection, _ bytes: inout [UInt8]) throws(ConnectionFailure) {
        while true {
            if let (head, headBytes) = AnswerHead.parse(bytes) {
                bytes.removeFirst(headBytes)
                guard let head else { throw .answer("this is no answer of \(Version.name)") }
                self = head
                return
            }
            guard bytes.count <= HTTPClient.headBytesMax else { throw .answer("endless answer") }
            let part = try connection.receive()
            guard !part.isEmpty else { throw .answer(bytes.isEmpty ? "the connection was closed without an answer" : "broken answer") }
            bytes += part
        }
    }
}

/// Status and fields of an answer.
struct AnswerHead: Equatable {
    let status: Int
    let fields: [String: String]

    /// - Returns: nil while the head is incomplete; a nil head where it is no HTTP/1 answer.
    static func parse(_ bytes: [UInt8]) -> (head: AnswerHead?, bytes: Int)? {
        let mark: [UInt8] = [13, 10, 13, 10]
        guard bytes.count >= 4, let end = (0...(bytes.count - 4)).first(where: { bytes[$0] == 13 && bytes[$0..<($0 + 4)].elementsEqual(mark) })
        else { return nil }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: false)
        let words = lines.first?.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false) ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), words[1].count == 3, let status = Int(words[1]) else {
            return (nil, end + 4)
        }
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { return (nil, end + 4) }
            var value = parts[1]
            while value.first == " " || value.first == "\t" { value.removeFirst() }
            while value.last == " " || value.last == "\t" { value.removeLast() }
            fields[parts[0].lowercased()] = String(value)
        }
        return (AnswerHead(status: status, fields: fields), end + 4)
    }
}
