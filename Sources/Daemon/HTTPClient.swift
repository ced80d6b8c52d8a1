// A small HTTP/1.1 client for the commands that talk to a running daemon: blocking, one connection, no TLS.

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

    private let address: ServerURL
    private var origin: WebOrigin { address.origin }
    private var connection: FileDescriptor?

    /// - Parameter url: `http://host[:port][/path]`, or the same with `ws://`; the path is put before those of requests.
    init(_ url: String) throws(HTTPClientError) {
        let address: ServerURL
        do throws(ServerURL.Refusal) {
            address = try ServerURL(parsing: url)
        } catch {
            throw HTTPClientError(description: error.description)
        }
        guard !address.isSecure else {
            throw HTTPClientError(description: "\(url): TLS is not possible yet; use an http:// address of this machine")
        }
        self.address = address
    }

    /// Sends one request and waits for its answer. `fields` are written as they are.
    ///
    /// Safe to repeat only as far as the request is: where the server had closed the idle connection, it is sent once more.
    func post(_ path: String, fields: [(String, String)], body: [UInt8]) throws(HTTPClientError) -> HTTPAnswer {
        var head = "POST \(address.basePath)\(path) HTTP/1.1\r\nHost: \(address.hostField)\r\n"
        for (name, value) in fields { head += "\(name): \(value)\r\n" }
        head += "User-Agent: \(Version.name)/\(Version.number)\r\nContent-Length: \(body.count)\r\n\r\n"
        let request = Array(head.utf8) + body
        let wasKept = connection != nil
        do throws(HTTPClientError) {
            return try exchange(request)
        } catch {
            connection = nil
            guard wasKept else { throw error }
        }
        return try exchange(request)
    }

    private func exchange(_ request: [UInt8]) throws(HTTPClientError) -> HTTPAnswer {
        if connection == nil { connection = try connect() }
        do throws(SystemError) {
            try send(request)
        } catch {
            // A server that refuses early answers and closes while we still send: its answer is worth more than EPIPE.
            guard error.code == EPIPE || error.code == ECONNRESET, let answer = try? receive() else {
                throw HTTPClientError(description: "\(origin): \(SystemError.text(of: error.code))")
            }
            connection = nil
            return answer
        }
        let answer = try receive()
        if answer.fields["connection"]?.lowercased() == "close" || answer.fields["content-length"] == nil { connection = nil }
        return answer
    }

    // MARK: Connecting

    private func connect() throws(HTTPClientError) -> FileDescriptor {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(origin.host, "\(origin.port)", &hints, &list)
        guard result == 0 else {
            throw HTTPClientError(description: "cannot find \(origin.host): \(String(cString: gai_strerror(result)))")
        }
        defer { freeaddrinfo(list) }
        var code: Int32 = 0
        var entry = list
        while let address = entry?.pointee {
            entry = address.ai_next
            let number = socket(address.ai_family, address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard number >= 0 else {
                code = errno
                continue
            }
            let descriptor = FileDescriptor(owning: number)
            // socket(7): the time-out of sending holds for connect(2) as well.
            var timeout = timeval(tv_sec: HTTPClient.timeoutSeconds, tv_usec: 0)
            let size = socklen_t(MemoryLayout<timeval>.size)
            setsockopt(number, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
            setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &timeout, size)
            if Glibc.connect(number, address.ai_addr, address.ai_addrlen) == 0 { return descriptor }
            code = errno == EINPROGRESS ? ETIMEDOUT : errno
        }
        let hint = code == ECONNREFUSED ? "; is the daemon running? --url names another address" : ""
        throw HTTPClientError(description: "cannot connect to \(origin): \(SystemError.text(of: code))\(hint)")
    }

    // MARK: Bytes

    private func send(_ bytes: [UInt8]) throws(SystemError) {
        guard let number = number() else { throw SystemError("send", EPIPE) }
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SystemError("send", errno == EAGAIN ? ETIMEDOUT : errno) }
            sent += count
        }
    }

    private func number() -> Int32? {
        switch connection {
        case .some(let descriptor): descriptor.number
        case .none: nil
        }
    }

    /// Appends what comes next; false at the end of the stream.
    private func receive(into bytes: inout [UInt8]) throws(HTTPClientError) -> Bool {
        guard let number = number() else { return false }
        var part = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = recv(number, &part, part.count, 0)
            if count < 0, errno == EINTR { continue }
            if count < 0 {
                let why = errno == EAGAIN ? "no answer within \(HTTPClient.timeoutSeconds) s" : SystemError.text(of: errno)
                throw HTTPClientError(description: "\(origin): \(why)")
            }
            bytes += part[..<count]
            return count > 0
        }
    }

    private func receive() throws(HTTPClientError) -> HTTPAnswer {
        var bytes: [UInt8] = []
        while true {
            guard let (head, headBytes) = AnswerHead.parse(bytes) else {
                guard bytes.count <= HTTPClient.headBytesMax else { throw HTTPClientError(description: "\(origin): endless answer") }
                guard try receive(into: &bytes) else {
                    throw HTTPClientError(description: bytes.isEmpty ? "\(origin) closed the connection without an answer" : "\(origin): broken answer")
                }
                continue
            }
            bytes.removeFirst(headBytes)
            guard let head, head.fields["transfer-encoding"] == nil else {
                throw HTTPClientError(description: "\(origin): this is no answer of \(Version.name)")
            }
            if (100..<200).contains(head.status) { continue }
            let length = head.fields["content-length"].map { Int($0) ?? .max }
            guard length ?? 0 <= HTTPClient.bodyBytesMax else { throw HTTPClientError(description: "\(origin): endless answer") }
            while bytes.count < length ?? HTTPClient.bodyBytesMax {
                if try receive(into: &bytes) { continue }
                guard length == nil else { throw HTTPClientError(description: "\(origin): the answer broke off") }
                break
            }
            return HTTPAnswer(status: head.status, fields: head.fields, body: Array(bytes.prefix(length ?? bytes.count)))
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
