// The header of a frame, judged byte by byte: what is wrong is refused before the rest arrives.

/// The header of one frame.
struct FrameHeader: Equatable {
    var opcode: Opcode
    var isFinal: Bool
    /// RSV1: the message that it begins is compressed (RFC 7692 §6).
    var isCompressed = false
    var payloadBytes: Int
    /// Zero where the frame is not masked, so that unmasking changes nothing.
    var key: MaskingKey

    /// Longest form: two bytes, a 64-bit length, the masking key.
    static let bytesMax = 14

    /// What a header is judged against besides RFC 6455.
    struct Rules {
        /// A fragmented message has begun, so that only its continuation or a control frame may come.
        var expectsContinuation: Bool
        var acceptsText = true
        var acceptsBinary: Bool
        /// Compressed messages were agreed upon.
        var acceptsCompressed = false
        /// Frames of a client are masked, those of a server are not.
        var isMasked = true
        /// What the message may still grow by.
        var payloadBytesMax: Int
        /// The same of a compressed one that begins.
        var compressedBytesMax = 0
    }

    enum Outcome: Equatable {
        /// Right so far; more bytes are needed.
        case incomplete
        /// A header of `bytes` bytes.
        case complete(FrameHeader, bytes: Int)
        case violation(CloseCode, String)
    }

    /// Reads the header at the beginning of `bytes`, which may hold less or more than it.
    static func parse(_ bytes: UnsafeRawBufferPointer, _ rules: Rules) -> Outcome {
        guard bytes.count >= 1 else { return .incomplete }
        let first = bytes[0]
        let opcode = Opcode(rawValue: first & 0x0F)
        let isFinal = first & 0x80 != 0
        // RFC 6455 §5.2: reserved bits are 0 unless an extension gave them a meaning.
        // RFC 7692 §6.1: its bit stands on the first frame of a message, and on no control frame.
        let isCompressed = first & 0x70 == 0x40 && rules.acceptsCompressed && !opcode.isControl && opcode != .continuation
        if first & 0x70 != 0 && !isCompressed { return .violation(.protocolError, "reserved bits are set") }
        if !opcode.isDefined { return .violation(.protocolError, "reserved opcode") }
        if opcode.isControl {
            if !isFinal { return .violation(.protocolError, "fragmented control frame") }
        } else {
            // RFC 6455 §5.4: the fragments of one message are not mixed with another message.
            let continues = opcode == .continuation
            if continues && !rules.expectsContinuation {
                return .violation(.protocolError, "continuation without a message")
            }
            if !continues && rules.expectsContinuation {
                return .violation(.protocolError, "new message inside a fragmented one")
            }
            if opcode == .binary && !rules.acceptsBinary {
                return .violation(.unsupportedData, CloseCode.unsupportedData.reason)
            }
            if opcode == .text && !rules.acceptsText { return .violation(.unsupportedData, "text not agreed") }
        }

        guard bytes.count >= 2 else { return .incomplete }
        // RFC 6455 §5.1: a server closes the connection upon a frame that is not masked, a client upon one that is.
        if (bytes[1] & 0x80 != 0) != rules.isMasked {
            return .violation(.protocolError, rules.isMasked ? "frame is not masked" : "frame is masked")
        }
        var length = UInt64(bytes[1] & 0x7F)
        // RFC 6455 §5.5: control payloads are at most 125 bytes.
        if opcode.isControl && length > 125 { return .violation(.protocolError, "control frame too long") }
        let lengthBytes = length == 126 ? 2 : length == 127 ? 8 : 0
        if lengthBytes > 0 {
            guard bytes.count >= 2 + lengthBytes else { return .incomplete }
            length = 0
            for i in 2..<(2 + lengthBytes) { length = length << 8 | UInt64(bytes[i]) }
            // RFC 6455 §5.2: the shortest form must be used, and the highest bit of the 64-bit form is 0.
            if length < (lengthBytes == 2 ? 126 : 65_536) {
                return .violation(.protocolError, "length is not in its shortest form")
            }
            if length >> 63 != 0 { return .violation(.protocolError, "length has its highest bit set") }
        }
        let payloadBytes = Int(truncatingIfNeeded: length)
        if !opcode.isControl && payloadBytes > (isCompressed ? rules.compressedBytesMax : rules.payloadBytesMax) {
            return .violation(.messageTooBig, CloseCode.messageTooBig.reason)
        }

        let keyAt = 2 + lengthBytes
        guard rules.isMasked else {
            let header = FrameHeader(
                opcode: opcode, isFinal: isFinal, isCompressed: isCompressed, payloadBytes: payloadBytes, key: MaskingKey(value: 0))
            return .complete(header, bytes: keyAt)
        }
        guard bytes.count >= keyAt + 4 else { return .incomplete }
        let key = MaskingKey(bytes[keyAt], bytes[keyAt + 1], bytes[keyAt + 2], bytes[keyAt + 3])
        let header = FrameHeader(opcode: opcode, isFinal: isFinal, isCompressed: isCompressed, payloadBytes: payloadBytes, key: key)
        return .complete(header, bytes: keyAt + 4)
    }
}
