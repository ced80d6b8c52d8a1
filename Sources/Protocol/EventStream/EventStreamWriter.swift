// Blocks of an event stream as a server sends it (HTML, "Server-sent events"): lines of fields, ended by an empty one.

/// Writes blocks of an event stream. Nothing here keeps state.
///
/// No value can end its line: CR and LF become blanks. In `data`, which is JSON, they can only stand between tokens, where a blank means the same.
public enum EventStreamWriter {
    /// The content type of a stream.
    public static let contentType = "text/event-stream"

    /// Bytes of a block beside its id, event and data, at most.
    public static let overheadBytes = 24

    /// Writes one event: `id` (left out where it is empty), `event`, `data`.
    ///
    /// - Parameter target: room for the three and `overheadBytes`.
    /// - Returns: bytes written.
    public static func write(
        id: UnsafeRawBufferPointer, event: UnsafeRawBufferPointer, data: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer
    ) -> Int {
        var end = target
        if !id.isEmpty { put("id: ", id, at: &end) }
        put("event: ", event, at: &end)
        put("data: ", data, at: &end)
        end.storeBytes(of: UInt8(ascii: "\n"), as: UInt8.self)
        return end - target + 1
    }

    /// One event as above.
    /// - Parameter retryMilliseconds: how long the client is to wait before it comes back, from now on.
    public static func event(_ event: String, id: String? = nil, retryMilliseconds: Int? = nil, data: [UInt8]) -> [UInt8] {
        var bytes = retryMilliseconds.map { Array("retry: \($0)\n".utf8) } ?? []
        let id = Array((id ?? "").utf8)
        let name = Array(event.utf8)
        bytes += [UInt8](unsafeUninitializedCapacity: id.count + name.count + data.count + overheadBytes) { buffer, initialized in
            guard let base = buffer.baseAddress else { return }
            initialized = id.withUnsafeBytes { id in
                name.withUnsafeBytes { name in
                    data.withUnsafeBytes { write(id: id, event: name, data: $0, to: UnsafeMutableRawPointer(base)) }
                }
            }
        }
        return bytes
    }

    /// A block that is no event: a comment, how long to wait before coming back, and the id to come back with. A block without data is dispatched to
    /// nobody, but its id counts (HTML, "dispatch the event", step 1).
    public static func block(comment: String? = nil, retryMilliseconds: Int? = nil, id: String? = nil) -> [UInt8] {
        var text = ""
        if let comment { text += ": \(comment)\n" }
        if let retryMilliseconds { text += "retry: \(retryMilliseconds)\n" }
        if let id { text += "id: \(id)\n" }
        return Array((text + "\n").utf8)
    }

    private static func put(_ name: StaticString, _ value: UnsafeRawBufferPointer, at end: inout UnsafeMutableRawPointer) {
        end.copyMemory(from: name.utf8Start, byteCount: name.utf8CodeUnitCount)
        end += name.utf8CodeUnitCount
        if let base = value.baseAddress { end.copyMemory(from: base, byteCount: value.count) }
        let copied = UnsafeMutableRawBufferPointer(start: end, count: value.count)
        for index in copied.indices where copied[index] == UInt8(ascii: "\n") || copied[index] == UInt8(ascii: "\r") {
            copied[index] = UInt8(ascii: " ")
        }
        end += value.count
        end.storeBytes(of: UInt8(ascii: "\n"), as: UInt8.self)
        end += 1
    }
}
