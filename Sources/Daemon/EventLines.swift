// Lines of standard input as events to publish.

import Protocol

/// One event, ready to stand on a line of application/x-ndjson.
struct EventLine: Equatable {
    /// From 1, in the input.
    let number: Int
    let json: [UInt8]
}

/// A line that is no event.
struct LineError: Error, Equatable {
    let number: Int
    let message: String
}

/// Cuts a stream of bytes into lines and makes events of them.
struct EventLines {
    /// Above every limit that a daemon can be given for one event.
    static let lineBytesMax = 33_554_432

    /// What goes around each line; nil where lines are whole events.
    private let wrapping: (head: [UInt8], tail: [UInt8])?
    private var rest: [UInt8] = []
    private var number = 0

    /// - Parameters:
    ///   - channel, type: of every line, which is then the event's data; both nil where each line names its own.
    init(channel: String?, type: String?) {
        guard let channel, let type else {
            wrapping = nil
            return
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("channel")
        writer.string(channel)
        writer.key("type")
        writer.string(type)
        writer.key("data")
        wrapping = (writer.bytes, [UInt8(ascii: "}")])
    }

    /// Takes the next bytes, and appends the events of all lines that are complete now. Empty lines are skipped.
    ///
    /// - Throws: at the first line that is no event; those before it are appended.
    mutating func feed(_ bytes: some Collection<UInt8>, into events: inout [EventLine]) throws(LineError) {
        // Only the new bytes are searched: a long line that comes in pieces must not cost its square.
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            rest += bytes[start..<end]
            if let event = try take() { events.append(event) }
            start = bytes.index(after: end)
        }
        rest += bytes[start...]
        guard rest.count <= EventLines.lineBytesMax else {
            throw LineError(number: number + 1, message: "is longer than \(EventLines.lineBytesMax) bytes")
        }
    }

    /// The last line, where the input does not end with a line break.
    mutating func finish() throws(LineError) -> EventLine? { try take() }

    private mutating func take() throws(LineError) -> EventLine? {
        defer { rest.removeAll(keepingCapacity: true) }
        number += 1
        let bytes = rest
        guard bytes.contains(where: { ![32, 9, 13].contains($0) }) else { return nil }
        do throws(JSONError) {
            return EventLine(number: number, json: try event(bytes))
        } catch {
            throw LineError(number: number, message: "is not JSON: \(error)")
        }
    }

    /// One event from its line, or from the text behind `--data`.
    func event(_ line: [UInt8]) throws(JSONError) -> [UInt8] {
        var out = wrapping?.head ?? []
        let after = try line.withUnsafeBufferPointer { (line) throws(JSONError) -> Int in
            let bytes = UnsafeRawBufferPointer(line)
            return JSONScanner.skipWhitespace(bytes, at: try JSONScanner.compact(bytes, at: 0, into: &out))
        }
        guard after == line.count else { throw JSONError(offset: after, what: "something follows the value") }
        return out + (wrapping?.tail ?? [])
    }
}
