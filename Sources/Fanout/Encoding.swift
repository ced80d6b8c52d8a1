// How messages look on the wire. A client has one encoding for its life; everything that is sent to it goes through here.

import Protocol

/// The encodings. Each has a frame log of its own in a segment, made when the first client needs it.
public enum Encoding: Int, CaseIterable, Sendable {
    /// Text frames of WebSocket.
    case text
    /// Blocks of Server-Sent Events.
    case eventStream

    static let count = allCases.count

    /// What a client with this encoding speaks.
    public var spoken: ClientProtocol {
        switch self {
        case .text: .webSocket
        case .eventStream: .eventStream
        }
    }

    /// Bytes that the frames of so many messages need at most. Blocks tell id and type again, which stand in the message.
    func framesBytes(messages: Int, bytes: Int) -> Int {
        switch self {
        case .text: bytes + messages * 10
        case .eventStream: 2 * bytes + messages * EventStreamWriter.overheadBytes
        }
    }

    /// Writes an event as a frame.
    ///
    /// - Parameters:
    ///   - message: as it stands in a segment.
    ///   - target: room for `framesBytes` of it.
    /// - Returns: bytes written.
    func write(_ message: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) -> Int {
        switch self {
        case .text:
            let header = FrameWriter.writeHeader(.text, payloadBytes: message.count, to: target)
            if let base = message.baseAddress { (target + header).copyMemory(from: base, byteCount: message.count) }
            return header + message.count
        case .eventStream:
            let (type, id) = Encoding.envelope(of: message)
            // Of most types the literal is the text between the quotes.
            if !type.contains(UInt8(ascii: "\\")) {
                return EventStreamWriter.write(id: id, event: UnsafeRawBufferPointer(rebasing: type.dropFirst().dropLast()), data: message, to: target)
            }
            return JSONScanner.unescape(type).withUnsafeBytes { EventStreamWriter.write(id: id, event: $0, data: message, to: target) }
        }
    }

    /// The literal of its type and the text of its id (empty where it has none), which an event's message begins with.
    private static func envelope(of message: UnsafeRawBufferPointer) -> (type: UnsafeRawBufferPointer, id: UnsafeRawBufferPointer) {
        let quote = UInt8(ascii: "\"")
        let beforeType = 8  // {"type":
        var end = beforeType + 1
        while end < message.count, message[end] != quote { end += message[end] == UInt8(ascii: "\\") ? 2 : 1 }
        guard end < message.count else { preconditionFailure("a message that does not begin with its type") }
        let type = UnsafeRawBufferPointer(rebasing: message[beforeType...end])
        let beforeID: StaticString = ",\"id\":\""
        let rest = message[(end + 1)...]
        guard rest.starts(with: UnsafeBufferPointer(start: beforeID.utf8Start, count: beforeID.utf8CodeUnitCount)) else {
            return (type, UnsafeRawBufferPointer(start: nil, count: 0))
        }
        let id = rest.dropFirst(beforeID.utf8CodeUnitCount).prefix { $0 != quote }
        return (type, UnsafeRawBufferPointer(rebasing: id))
    }

    /// One of the daemon's own messages as a frame.
    func frame(_ message: ControlMessage) -> [UInt8] {
        switch self {
        case .text: FrameWriter.frame(.text, message.json)
        case .eventStream:
            EventStreamWriter.event(message.type, id: message.settled, retryMilliseconds: message.reconnectMilliseconds, data: message.json)
        }
    }

    /// The last words of a connection.
    func lastWords(_ code: CloseCode) -> [UInt8] {
        switch self {
        case .text: return FrameWriter.close(code, code.reason)
        case .eventStream:
            var writer = JSONWriter()
            writer.beginObject()
            writer.key("code")
            writer.int(Int64(code.rawValue))
            writer.key("reason")
            writer.string(code.reason)
            writer.endObject()
            return EventStreamWriter.event("close", data: writer.bytes)
        }
    }
}

/// What a client speaks; the text is its name in answers and metrics.
public enum ClientProtocol: String, CaseIterable, Sendable {
    case webSocket = "websocket"
    case eventStream = "sse"
}
