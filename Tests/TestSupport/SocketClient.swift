// The other end of a connection: a WebSocket and HTTP client that judges strictly what a server sends. It shares no code with
// the frame code under test.

import Base
import Glibc
import Protocol

/// A frame as it came.
public struct ServerFrame: Sendable, Equatable {
    public var opcode: UInt8
    public var payload: [UInt8]
    public init(opcode: UInt8, payload: [UInt8]) {
        self.opcode = opcode
        self.payload = payload
    }
    public var text: String { String(decoding: payload, as: UTF8.self) }
}

/// An answer over HTTP.
public struct ServerAnswer: Sendable {
    public var status: Int
    /// In lower case.
    public var head: String
    public var body: [UInt8]
    public var text: String { String(decoding: body, as: UTF8.self) }
}

/// One connection. Used by one thread at a time; calls block, but not longer than the hang guard.
public final class SocketClient: @unchecked Sendable {  // Sendable so that a test may hand it from thread to thread.
    public private(set) var descriptor: Int32
    private var input: [UInt8] = []
    private var used = 0
    /// Set when the server's close frame was read.
    public private(set) var closeCode: UInt16?
    public private(set) var closeReason = ""
    /// Payloads of the pings passed over by `message`.
    public private(set) var pings: [String] = []

    /// What was agreed upon about compression: nil before, and where nothing was.
    public private(set) var deflate: String?
    /// Data frames that came compressed.
    public private(set) var compressedFrames = 0
    private let inflater = Inflater()
    private let window = InflateWindow(bits: 15)

    public init(owning descriptor: Int32) { self.descriptor = descriptor }
    deinit { end() }

    /// From here on everything goes through this.
    public var tls: TLSEnd?

    /// Carries out the handshake; `tls` is in use from then on.
    public func handshake(_ wanted: TLSEnd? = nil) throws {
        let end = try wanted ?? TLSEnd()
        while true {
            let isDone = try end.handshake()
            try writeWire(end.output())
            if isDone { break }
            guard let bytes = try readWire() else { throw TestFailure("the connection ended in the handshake") }
            end.feed(bytes)
        }
        tls = end
        input += try end.read()
    }

    /// Connects to a port of this machine.
    public init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw SystemError("connect", on: "port \(port)") }
    }

    /// Two ends of a connection that has no network between: what does not fit the sender's buffer stays with the sender.
    public static func pair() throws -> (near: SocketClient, far: Int32) {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { throw SystemError("socketpair") }
        _ = fcntl(ends[1], F_SETFL, fcntl(ends[1], F_GETFL) | O_NONBLOCK)
        return (SocketClient(owning: ends[0]), ends[1])
    }

    /// Closes the socket at once, whatever is still unread.
    public func end() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    /// Ends our side only.
    public func endWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    // MARK: bytes

    /// - Returns: false where the server has ended the connection.
    @discardableResult
    public func write(_ bytes: [UInt8]) throws -> Bool {
        guard let tls else { return try writeWire(bytes) }
        for start in stride(from: 0, to: bytes.count, by: 16_384) { try tls.write(Array(bytes[start..<min(start + 16_384, bytes.count)])) }
        return try writeWire(tls.output())
    }

    /// Bytes as they stand, whatever is spoken.
    @discardableResult
    public func writeWire(_ bytes: [UInt8]) throws -> Bool {
        var offset = 0
        while offset < bytes.count {
            let sent = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor, $0.baseAddress.map { $0 + offset }, $0.count - offset, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if sent > 0 {
                offset += sent
            } else if errno == EAGAIN {
                try wait(for: POLLOUT, "room to send")
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    @discardableResult
    public func write(_ text: String) throws -> Bool { try write(Array(text.utf8)) }

    private func wait(for events: Int32, _ what: String) throws {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        guard poll(&entry, 1, Int32(hangGuardSeconds * 1000)) > 0 else {
            throw TestFailure("no \(what) within \(hangGuardSeconds) s")
        }
    }

    /// Reads what there is; waits for at least one byte.
    /// - Returns: false at the end of the connection, orderly or not.
    private func readMore() throws -> Bool {
        if used > 65_536 {
            input.removeFirst(used)
            used = 0
        }
        while true {
            guard let bytes = try readWire() else { return false }
            guard let tls else {
                input += bytes
                return true
            }
            tls.feed(bytes)
            let plain = try tls.read()
            // A change of keys is answered.
            try writeWire(tls.output())
            input += plain
            if !plain.isEmpty { return true }
            if tls.isClosed { return false }
        }
    }

    /// Bytes as they come.
    /// - Returns: nil at the end.
    public func readWire() throws -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 { return Array(buffer[..<count]) }
            if count == 0 { return nil }
            switch errno {
            case EAGAIN: try wait(for: POLLIN, "bytes")
            case EINTR: continue
            default: return nil
            }
        }
    }

    private func take(_ count: Int) throws -> ArraySlice<UInt8>? {
        while input.count - used < count { guard try readMore() else { return nil } }
        defer { used += count }
        return input[used..<used + count]
    }

    /// Whether something can be read without waiting.
    public func hasInput() throws -> Bool {
        if input.count > used { return true }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    /// Reads and forgets what there is.
    public func skipInput() throws {
        repeat { used = input.count } while try descriptor >= 0 && hasInput() && readMore()
    }

    /// Reads and forgets everything up to the end of the connection.
    public func readToEnd() throws {
        while try readMore() { used = input.count }
    }

    // MARK: HTTP

    /// Reads one answer.
    /// - Parameter hasBody: false for the answer to a HEAD.
    /// - Returns: nil where the connection ended instead.
    public func answer(hasBody: Bool = true) throws -> ServerAnswer? {
        var head: [UInt8] = []
        while !head.suffix(4).elementsEqual([13, 10, 13, 10]) {
            guard let byte = try take(1)?.first else {
                if head.isEmpty { return nil }
                throw TestFailure("the connection ended in the head of an answer")
            }
            head.append(byte)
        }
        let text = String(decoding: head, as: UTF8.self)
        guard text.hasPrefix("HTTP/1.1 "), let status = Int(text.dropFirst(9).prefix(3)) else {
            throw TestFailure("not an answer: \(text)")
        }
        let lower = text.lowercased()
        var body: [UInt8] = []
        if hasBody, let length = lower.split(separator: "\r\n").first(where: { $0.hasPrefix("content-length: ") }),
            let count = Int(length.dropFirst(16))
        {
            guard let bytes = try take(count) else { throw TestFailure("the connection ended in the body of an answer") }
            body = Array(bytes)
        }
        return ServerAnswer(status: status, head: lower, body: body)
    }

    /// Sends a request and reads its answer.
    public func request(
        _ method: String, _ target: String, _ fields: [(String, String)] = [], body: [UInt8] = []
    ) throws -> ServerAnswer? {
        var text = "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\n"
        for (name, value) in fields { text += "\(name): \(value)\r\n" }
        if !body.isEmpty { text += "Content-Length: \(body.count)\r\n" }
        try write(Array((text + "\r\n").utf8) + body)
        return try answer(hasBody: method != "HEAD")
    }

    // MARK: WebSocket

    public static func upgradeRequest(_ target: String, _ fields: [(String, String)] = []) -> String {
        "GET \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + fields.map { "\($0.0): \($0.1)\r\n" }.joined() + "\r\n"
    }

    /// Becomes a WebSocket; once this returns the server has subscribed it.
    public func upgrade(_ target: String, _ fields: [(String, String)] = []) throws {
        try write(SocketClient.upgradeRequest(target, fields))
        let answer = try answer()
        guard let answer, answer.status == 101, answer.head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n")
        else {
            throw TestFailure("no upgrade of \(target): \(answer.map { $0.head + $0.text } ?? "the connection ended")")
        }
        let extensions = answer.head.split(separator: "\r\n").filter { $0.hasPrefix("sec-websocket-extensions: ") }
        guard extensions.count <= 1 else { throw TestFailure("\(extensions)") }
        deflate = extensions.first.map { String($0.dropFirst(26)) }
    }

    /// Sends one masked frame.
    @discardableResult
    public func send(opcode: UInt8, _ payload: [UInt8]) throws -> Bool {
        var bytes: [UInt8] = [0x80 | opcode]
        switch payload.count {
        case ..<126: bytes.append(0x80 | UInt8(payload.count))
        case ..<65_536: bytes += [0xFE, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
        default: bytes += [0xFF] + (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        let key: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
        bytes += key
        bytes += payload.indices.map { payload[$0] ^ key[$0 % 4] }
        return try write(bytes)
    }

    @discardableResult
    public func send(_ text: String) throws -> Bool { try send(opcode: 1, Array(text.utf8)) }

    @discardableResult
    public func sendClose(_ code: UInt16 = 1000) throws -> Bool { try send(opcode: 8, [UInt8(code >> 8), UInt8(code & 0xFF)]) }

    /// Reads one frame. nil at the end of the connection between two frames; an end within one is a failure.
    public func frame() throws -> ServerFrame? {
        while input.count == used { guard try readMore() else { return nil } }
        guard let head = try take(2).map(Array.init) else { throw TestFailure("the connection ended in the header of a frame") }
        let isCompressed = deflate != nil && head[0] & 0x70 == 0x40 && head[0] & 0x08 == 0
        guard head[0] & 0x70 == 0 || isCompressed, head[0] & 0x80 != 0, head[1] & 0x80 == 0 else {
            throw TestFailure("a server's frame must be final, without reserved bits and not masked: \(head)")
        }
        var length = Int(head[1])
        if length >= 126 {
            guard let more = try take(length == 126 ? 2 : 8) else {
                throw TestFailure("the connection ended in the header of a frame")
            }
            length = more.reduce(0) { $0 << 8 | Int($1) }
            guard length >= (more.count == 2 ? 126 : 65_536) else { throw TestFailure("length \(length) in \(more.count) bytes") }
        }
        guard let payload = try take(length) else { throw TestFailure("the connection ended in a frame") }
        guard closeCode == nil else { throw TestFailure("a frame with opcode \(head[0] & 15) behind the close frame") }
        let frame = ServerFrame(opcode: head[0] & 15, payload: isCompressed ? try decompressed(Array(payload)) : Array(payload))
        if frame.opcode == 8 {
            guard frame.payload.count != 1 else { throw TestFailure("a close frame with one byte") }
            closeCode = frame.payload.count < 2 ? 1005 : UInt16(frame.payload[0]) << 8 | UInt16(frame.payload[1])
            closeReason = String(decoding: frame.payload.dropFirst(2), as: UTF8.self)
        }
        return frame
    }

    private func decompressed(_ payload: [UInt8]) throws -> [UInt8] {
        compressedFrames += 1
        let window = deflate?.contains("server_no_context_takeover") == false ? window : nil
        return try payload.withUnsafeBytes { payload in
            guard case .message(let bytes)? = inflater?.inflate(payload, bytesMax: 16_777_216, window: window) else {
                throw TestFailure("a frame that does not decompress")
            }
            return Array(bytes)
        }
    }

    // MARK: event stream

    /// What an event stream has said so far; nil on any other connection.
    public private(set) var stream: StreamParser?

    /// Begins a stream; once this returns the server has subscribed it and its first block is read.
    /// - Returns: the answer, whose body is the stream.
    @discardableResult
    public func beginStream(_ target: String, _ fields: [(String, String)] = []) throws -> ServerAnswer {
        try write("GET \(target) HTTP/1.1\r\nHost: localhost\r\n" + fields.map { "\($0.0): \($0.1)\r\n" }.joined() + "\r\n")
        guard let answer = try answer(), answer.status == 200, answer.head.contains("content-type: text/event-stream\r\n") else {
            throw TestFailure("no stream of \(target)")
        }
        stream = StreamParser()
        while stream?.blocks == 0 {
            guard let byte = try take(1)?.first else { throw TestFailure("the connection ended in the first block") }
            if let event = stream?.take(byte) { throw TestFailure("an event without a place before it: \(event)") }
        }
        return answer
    }

    /// The next event; nil at the end of the connection.
    public func event() throws -> StreamEvent? {
        while let byte = try take(1)?.first { if let event = stream?.take(byte) { return event } }
        return nil
    }

    private func streamedMessage() throws -> JSON? {
        guard let event = try event() else { return nil }
        guard closeCode == nil else { throw TestFailure("\(event) behind the last words") }
        let data = try JSON(parsing: event.data)
        if event.type == "close", data["type"] == nil {
            closeCode = data["code"]?.int.flatMap { UInt16(exactly: $0) }
            closeReason = data["reason"]?.string ?? ""
            return nil
        }
        guard data["type"]?.string == event.type else { throw TestFailure("\(event) has another type inside") }
        if let id = data["id"]?.string, id != event.lastID { throw TestFailure("\(event) has another id inside") }
        return data
    }

    // MARK: either

    /// The next message as JSON; nil when the server closed (see `closeCode`) or the connection ended.
    public func message() throws -> JSON? {
        if stream != nil { return try streamedMessage() }
        while let frame = try frame() {
            switch frame.opcode {
            case 1: return try JSON(parsing: frame.payload)
            case 2: return try JSON(parsing: frame.payload.withUnsafeBytes { try MessagePack.json(of: $0, from: .daemon) })
            case 8: return nil
            case 9: pings.append(frame.text)
            case 10: continue
            default: throw TestFailure("unexpected opcode \(frame.opcode)")
            }
        }
        return nil
    }

    /// The next message of a type; what comes before it is passed over.
    public func message(ofType type: String) throws -> JSON {
        while let message = try message() { if message["type"]?.string == type { return message } }
        throw TestFailure(
            "the connection ended (close code \(closeCode.map { "\($0)" } ?? "none")) before a message of type \(type)")
    }
}
