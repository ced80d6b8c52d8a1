// Frames as they are sent: final, with the shortest length form (RFC 6455 §5.2); a server's unmasked, a client's masked.

/// Writes frames. Nothing here keeps state.
public enum FrameWriter {
    /// Of the longest header that a server writes.
    public static let headerBytesMax = 10

    /// Bytes of the header before a payload of this size: 2, 4 or 10.
    @inlinable
    public static func headerBytes(payload: Int) -> Int { payload < 126 ? 2 : payload < 65_536 ? 4 : 10 }

    /// Writes the header of a whole message, or of a control frame.
    ///
    /// - Parameters:
    ///   - payloadBytes: `0...`; for control frames at most 125.
    ///   - isCompressed: sets RSV1, which RFC 7692 §6 gives this meaning.
    ///   - target: room for `headerBytes(payload: payloadBytes)` bytes.
    /// - Returns: bytes written.
    @inlinable @discardableResult
    public static func writeHeader(
        _ opcode: Opcode, payloadBytes: Int, isCompressed: Bool = false, to target: UnsafeMutableRawPointer
    ) -> Int {
        target.storeBytes(of: (isCompressed ? 0xC0 : 0x80) | opcode.rawValue, as: UInt8.self)
        if payloadBytes < 126 {
            target.storeBytes(of: UInt8(truncatingIfNeeded: payloadBytes), toByteOffset: 1, as: UInt8.self)
            return 2
        }
        if payloadBytes < 65_536 {
            target.storeBytes(of: 126, toByteOffset: 1, as: UInt8.self)
            target.storeBytes(of: UInt16(truncatingIfNeeded: payloadBytes).bigEndian, toByteOffset: 2, as: UInt16.self)
            return 4
        }
        target.storeBytes(of: 127, toByteOffset: 1, as: UInt8.self)
        target.storeBytes(of: UInt64(truncatingIfNeeded: payloadBytes).bigEndian, toByteOffset: 2, as: UInt64.self)
        return 10
    }

    /// The header of a whole message.
    public static func header(_ opcode: Opcode, payloadBytes: Int, isCompressed: Bool) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: headerBytesMax) { buffer, initialized in
            guard let base = buffer.baseAddress else { return }
            initialized = writeHeader(opcode, payloadBytes: payloadBytes, isCompressed: isCompressed, to: UnsafeMutableRawPointer(base))
        }
    }

    /// A frame of ours among others, as it was written; borrowed from where it lies.
    public struct Written {
        public let opcode: Opcode
        public let payload: UnsafeRawBufferPointer
        /// Header and payload.
        public let bytes: UnsafeRawBufferPointer

        /// The first of some frames of a server; nil where there is none, or not all of it.
        public init?(_ frames: UnsafeRawBufferPointer) {
            guard frames.count >= 2 else { return nil }
            opcode = Opcode(rawValue: frames[0] & 0x0F)
            let lengthBytes = frames[1] == 127 ? 8 : frames[1] == 126 ? 2 : 0
            guard frames.count >= 2 + lengthBytes else { return nil }
            var length = lengthBytes == 0 ? Int(frames[1]) : 0
            for byte in frames[2..<(2 + lengthBytes)] { length = length << 8 | Int(byte) }
            guard length <= frames.count - 2 - lengthBytes else { return nil }
            bytes = UnsafeRawBufferPointer(rebasing: frames[..<(2 + lengthBytes + length)])
            payload = UnsafeRawBufferPointer(rebasing: bytes[(2 + lengthBytes)...])
        }
    }

    /// A whole frame. The payload of a control frame is cut to the 125 bytes that RFC 6455 §5.5 allows.
    public static func frame(_ opcode: Opcode, _ payload: UnsafeRawBufferPointer) -> [UInt8] {
        let count = opcode.isControl ? min(payload.count, 125) : payload.count
        return [UInt8](unsafeUninitializedCapacity: headerBytes(payload: count) + count) { buffer, initialized in
            guard let base = buffer.baseAddress else { return }
            let head = writeHeader(opcode, payloadBytes: count, to: UnsafeMutableRawPointer(base))
            if let source = payload.baseAddress, count > 0 {
                UnsafeMutableRawPointer(base + head).copyMemory(from: source, byteCount: count)
            }
            initialized = head + count
        }
    }

    /// A whole frame, as above.
    public static func frame(_ opcode: Opcode, _ payload: [UInt8]) -> [UInt8] {
        payload.withUnsafeBytes { frame(opcode, $0) }
    }

    /// A whole text frame.
    public static func text(_ payload: String) -> [UInt8] { frame(.text, Array(payload.utf8)) }

    /// A close frame. A reason beyond 123 bytes is cut between characters; a code that must not be sent gives an empty payload,
    /// which means "no status".
    public static func close(_ code: CloseCode?, _ reason: String = "") -> [UInt8] {
        guard let code, code.isSendableOnWire else { return frame(.close, []) }
        var payload = [UInt8(truncatingIfNeeded: code.rawValue >> 8), UInt8(truncatingIfNeeded: code.rawValue)]
        for scalar in reason.unicodeScalars {
            let bytes = UTF8.encode(scalar).map(Array.init) ?? []
            if payload.count + bytes.count > 125 { break }
            payload += bytes
        }
        return frame(.close, payload)
    }

    /// A whole frame as a client sends it.
    /// - Parameter key: a fresh one for each frame, that nobody can guess (RFC 6455 §5.3).
    public static func masked(_ frame: [UInt8], key: (UInt8, UInt8, UInt8, UInt8)) -> [UInt8] {
        guard frame.count >= 2 else { return frame }
        let headBytes = 2 + (frame[1] == 127 ? 8 : frame[1] == 126 ? 2 : 0)
        var masked = Array(frame.prefix(headBytes))
        masked[1] |= 0x80
        masked += [key.0, key.1, key.2, key.3]
        masked += frame.dropFirst(headBytes)
        masked.withUnsafeMutableBytes {
            unmask(UnsafeMutableRawBufferPointer(rebasing: $0[(headBytes + 4)...]), key: MaskingKey(key.0, key.1, key.2, key.3), offset: 0)
        }
        return masked
    }
}
