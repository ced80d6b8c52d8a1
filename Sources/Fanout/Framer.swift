// From messages to frames, in every encoding. The only place where bytes for clients are made of messages.

import Base
import Protocol
import Synchronization

/// Makes frames. Any thread: the compressors, one for each window that somebody has asked for, are behind a lock each.
public final class Framer: Sendable {
    /// Messages shorter than this are not compressed. 0: all are, also what becomes longer by it.
    let thresholdBytes: Atomic<Int>
    /// By `Compression.index`; made when first needed, and kept.
    private let compressors: [Locked<Deflater?>]
    /// Per compression: messages compressed, their bytes before and after, and messages that would not have become shorter.
    private let counted = CounterCells((Compression.count + 1) * Count.allCases.count)

    /// Zlib's usual ones. Against level 1, statistics become a tenth shorter for a third more time; lines of a log are the same in both.
    private static let level = 6
    private static let memoryLevel = 8

    init(thresholdBytes: Int = 512) {
        self.thresholdBytes = Atomic(thresholdBytes)
        compressors = (0..<Compression.count).map { _ in Locked(nil) }
    }

    /// Writes an event as a frame.
    ///
    /// - Parameters:
    ///   - message: as it stands in a segment.
    ///   - target: room for `framesBytes` of it.
    /// - Returns: bytes written.
    func write(_ message: UnsafeRawBufferPointer, as encoding: Encoding, to target: UnsafeMutableRawPointer) -> Int {
        switch encoding.form {
        case .text: return writeFrame(.text, message, encoding.compression, to: target)
        case .messagePack:
            return withUnsafeTemporaryAllocation(byteCount: MessagePack.bytesMax(texts: 1, bytes: message.count), alignment: 1) { packed in
                guard let base = packed.baseAddress else { return 0 }
                let payload = UnsafeRawBufferPointer(start: base, count: MessagePack.write(message, to: base))
                return writeFrame(.binary, payload, encoding.compression, to: target)
            }
        case .eventStream:
            guard encoding.compression != .none else { return Framer.writeBlock(message, to: target) }
            let most = Encoding.eventStream.framesBytes(messages: 1, bytes: message.count)
            return withUnsafeTemporaryAllocation(byteCount: most, alignment: 1) { block in
                guard let base = block.baseAddress else { return 0 }
                return writePart(UnsafeRawBufferPointer(start: base, count: Framer.writeBlock(message, to: base)), encoding.compression, to: target)
            }
        }
    }

    /// One of the daemon's own messages as a frame.
    func frame(_ message: ControlMessage, as encoding: Encoding) -> [UInt8] {
        switch encoding.form {
        case .text: frame(.text, message.json, encoding.compression)
        case .messagePack: frame(.binary, MessagePack.bytes(of: message.json), encoding.compression)
        case .eventStream:
            streamed(
                EventStreamWriter.event(message.type, id: message.settled, retryMilliseconds: message.reconnectMilliseconds, data: message.json),
                encoding.compression)
        }
    }

    /// The last words of a connection.
    func lastWords(_ code: CloseCode, as encoding: Encoding) -> [UInt8] {
        switch encoding.spoken {
        case .webSocket: return FrameWriter.close(code, code.reason)
        case .eventStream:
            var writer = JSONWriter()
            writer.beginObject()
            writer.key("code")
            writer.int(Int64(code.rawValue))
            writer.key("reason")
            writer.string(code.reason)
            writer.endObject()
            return streamed(EventStreamWriter.event("close", data: writer.bytes), encoding.compression)
        }
    }

    /// A message of WebSocket as a frame.
    func frame(_ opcode: Opcode, _ payload: [UInt8], _ compression: Compression) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Framer.compressedBytes(messages: 1, bytes: payload.count)) { buffer, initialized in
            guard let base = buffer.baseAddress else { return }
            initialized = payload.withUnsafeBytes { writeFrame(opcode, $0, compression, to: UnsafeMutableRawPointer(base)) }
        }
    }

    // MARK: WebSocket

    /// What DEFLATE makes of a payload at most: nine bits of each byte, or blocks that are not compressed.
    private static func deflatedBytes(_ payload: Int) -> Int { payload + payload / 8 + 16 }

    /// Bytes that compressed frames need at most.
    static func compressedBytes(messages: Int, bytes: Int) -> Int { bytes + bytes / 8 + messages * (FrameWriter.headerBytesMax + 16) }

    /// - Parameter target: room for `compressedBytes`; without compression, for the payload and the longest header.
    /// - Returns: bytes written.
    private func writeFrame(
        _ opcode: Opcode, _ payload: UnsafeRawBufferPointer, _ compression: Compression, to target: UnsafeMutableRawPointer
    ) -> Int {
        let threshold = thresholdBytes.load(ordering: .relaxed)
        if case .deflate(let window) = compression, payload.count >= threshold {
            let most = threshold > 0 ? payload.count : Framer.deflatedBytes(payload.count)
            // Behind the room for the header, which may become a shorter one.
            let place = FrameWriter.headerBytes(payload: most)
            if let count = compress(payload, compression, window: window, into: UnsafeMutableRawBufferPointer(start: target + place, count: most)) {
                let header = FrameWriter.writeHeader(opcode, payloadBytes: count, isCompressed: true, to: target)
                if header < place { (target + header).copyMemory(from: target + place, byteCount: count) }
                return header + count
            }
        }
        let header = FrameWriter.writeHeader(opcode, payloadBytes: payload.count, to: target)
        if let base = payload.baseAddress { (target + header).copyMemory(from: base, byteCount: payload.count) }
        return header + payload.count
    }

    /// - Returns: bytes written; nil where it does not pay.
    private func compress(
        _ payload: UnsafeRawBufferPointer, _ compression: Compression, window: Int, into target: UnsafeMutableRawBufferPointer, keepsTail: Bool = false
    ) -> Int? {
        let count = compressors[compression.index].withLock { compressor -> Int? in
            if compressor == nil { compressor = Deflater(window: window, level: Framer.level, memoryLevel: Framer.memoryLevel) }
            return compressor?.compress(payload, into: target, keepsTail: keepsTail)
        }
        guard let count else {
            counted.add(cell(compression, .unpaid))
            return nil
        }
        counted.add(cell(compression, .messages))
        counted.add(cell(compression, .bytesBefore), UInt64(payload.count))
        counted.add(cell(compression, .bytesAfter), UInt64(count))
        return count
    }

    /// A message was compressed for one client alone. Any thread.
    func countStreamed(before: Int, after: Int) {
        counted.add(Framer.streamedCell + Count.messages.rawValue)
        counted.add(Framer.streamedCell + Count.bytesBefore.rawValue, UInt64(before))
        counted.add(Framer.streamedCell + Count.bytesAfter.rawValue, UInt64(after))
    }

    // MARK: Server-Sent Events

    /// What a stream of a compression begins with.
    static func streamBeginning(_ compression: Compression) -> [UInt8] {
        // RFC 1952 §2.3: no name, no time, no system. There is no end to it either: the stream has none.
        compression == .gzip ? [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF] : []
    }

    /// A block, or several, as they stand in a stream.
    func streamed(_ blocks: [UInt8], _ compression: Compression) -> [UInt8] {
        guard compression != .none else { return blocks }
        return [UInt8](unsafeUninitializedCapacity: Framer.compressedBytes(messages: 1, bytes: blocks.count)) { buffer, initialized in
            guard let base = buffer.baseAddress else { return }
            initialized = blocks.withUnsafeBytes { writePart($0, compression, to: UnsafeMutableRawPointer(base)) }
        }
    }

    /// Writes a part of a gzip stream, of whole bytes.
    /// - Parameter target: room for `compressedBytes`.
    private func writePart(_ block: UnsafeRawBufferPointer, _ compression: Compression, to target: UnsafeMutableRawPointer) -> Int {
        if block.count >= thresholdBytes.load(ordering: .relaxed) {
            let room = UnsafeMutableRawBufferPointer(start: target, count: Framer.deflatedBytes(block.count))
            if let count = compress(block, compression, window: Deflater.windows.upperBound, into: room, keepsTail: true) { return count }
        }
        // RFC 1951 §3.2.4: not the last block, not compressed; each at most 65535 bytes.
        var end = target
        var rest = block
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(65_535))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(part.count))
            let count = UInt16(part.count)
            end.storeBytes(of: 0, as: UInt8.self)
            end.storeBytes(of: count.littleEndian, toByteOffset: 1, as: UInt16.self)
            end.storeBytes(of: (~count).littleEndian, toByteOffset: 3, as: UInt16.self)
            if let base = part.baseAddress { (end + 5).copyMemory(from: base, byteCount: part.count) }
            end += 5 + part.count
        }
        // The empty block of a flush: some decompressors (Go's) keep what was stored until they see it.
        for byte in [0x00, 0x00, 0x00, 0xFF, 0xFF] as [UInt8] {
            end.storeBytes(of: byte, as: UInt8.self)
            end += 1
        }
        return end - target
    }

    /// Writes an event as a block.
    /// - Parameter target: room for the plain form's `framesBytes`.
    private static func writeBlock(_ message: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) -> Int {
        let (type, id) = envelope(of: message)
        // Of most types the literal is the text between the quotes.
        if !type.contains(UInt8(ascii: "\\")) {
            return EventStreamWriter.write(id: id, event: UnsafeRawBufferPointer(rebasing: type.dropFirst().dropLast()), data: message, to: target)
        }
        return JSONScanner.unescape(type).withUnsafeBytes { EventStreamWriter.write(id: id, event: $0, data: message, to: target) }
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

    // MARK: seeing inside

    /// What is counted of each compression.
    public enum Count: Int, CaseIterable, Sendable {
        /// Messages compressed.
        case messages
        /// Their bytes before and after, headers aside.
        case bytesBefore, bytesAfter
        /// Messages that would not have become shorter, and went out as they were.
        case unpaid
    }

    private func cell(_ compression: Compression, _ count: Count) -> Int { compression.index * Count.allCases.count + count.rawValue }

    /// The counts of what was compressed for one client alone.
    private static let streamedCell = Compression.count * Count.allCases.count

    /// Totals since the start. Any thread.
    /// - Parameter compression: nil for what was compressed for one client alone.
    public func count(_ what: Count, of compression: Compression?) -> UInt64 {
        counted[compression.map { cell($0, what) } ?? Framer.streamedCell + what.rawValue]
    }
}
