// Reads an event stream as the specification tells browsers to (HTML, "Interpreting an event stream"). Shares no code with the writer.

/// An event as a page would see it.
public struct StreamEvent: Sendable, Equatable {
    public var type: String
    public var data: String
    /// The last event id, with this event or before it.
    public var lastID: String
    public init(type: String, data: String, lastID: String) {
        self.type = type
        self.data = data
        self.lastID = lastID
    }
}

/// Takes a stream apart line by line.
public struct StreamParser: Sendable {
    private var type = ""
    private var data: [String] = []
    private var idBuffer = ""
    private var line: [UInt8] = []
    private var endedByCR = false
    public private(set) var lastID = ""
    public private(set) var retryMilliseconds: Int?
    public private(set) var comments: [String] = []
    /// Blocks that are over, events or not.
    public private(set) var blocks = 0

    public init() {}

    /// Takes one byte.
    /// - Returns: an event, where it was the last byte of one.
    public mutating func take(_ byte: UInt8) -> StreamEvent? {
        defer { endedByCR = byte == 13 }
        if byte == 10, endedByCR { return nil }
        guard byte == 10 || byte == 13 else {
            line.append(byte)
            return nil
        }
        let text = String(decoding: line, as: UTF8.self)
        line = []
        return text.isEmpty ? dispatch() : enter(text)
    }

    private mutating func enter(_ text: String) -> StreamEvent? {
        if text.hasPrefix(":") {
            comments.append(String(text.dropFirst()))
            return nil
        }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        var value = parts.count > 1 ? String(parts[1]) : ""
        if value.hasPrefix(" ") { value.removeFirst() }
        switch parts[0] {
        case "event": type = value
        case "data": data.append(value)
        case "id": if !value.utf8.contains(0) { idBuffer = value }
        case "retry": if let milliseconds = Int(value), value.utf8.allSatisfy({ (48...57).contains($0) }) { retryMilliseconds = milliseconds }
        default: break
        }
        return nil
    }

    private mutating func dispatch() -> StreamEvent? {
        blocks += 1
        lastID = idBuffer
        defer {
            data = []
            type = ""
        }
        if data.isEmpty { return nil }
        return StreamEvent(type: type.isEmpty ? "message" : type, data: data.joined(separator: "\n"), lastID: lastID)
    }
}
