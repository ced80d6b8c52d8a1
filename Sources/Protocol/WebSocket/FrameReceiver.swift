// What the peer sends, from bytes to messages (RFC 6455 §5), without I/O. One of these lives in every connection, so it is small
// while idle: memory is taken only for a message or control frame that arrives in pieces, as much as really arrived, and given
// back at the next call.

import Glibc

/// The receiving side of one WebSocket connection: a server's, or with `isMasked: false` a client's.
///
/// Not thread safe: used by the connection's owner only. After a close or a failure it swallows all further input.
public struct FrameReceiver: ~Copyable, @unchecked Sendable {  // Sendable because it alone owns what its pointers point to.
    /// What the bytes meant. Pointers are borrowed: valid until the next call of `next(_:)`, and while the input buffer lives.
    public enum Action {
        /// A whole message, text or binary; unmasked, decompressed, and valid UTF-8 if text. One that was compressed lies in the inflater.
        case message(Opcode, UnsafeRawBufferPointer)
        case ping(UnsafeRawBufferPointer)
        case pong(UnsafeRawBufferPointer)
        /// The peer closes; a missing code is nil. Answer with a close frame, then end the connection.
        case close(CloseCode?, reason: String)
        /// The peer broke the rules: send a close frame with this, and end the connection.
        case fail(CloseCode, String)
    }

    /// Kinds of messages, in one byte: there are thousands of receivers.
    private struct Kinds: OptionSet {
        let rawValue: UInt8
        static let text = Kinds(rawValue: 1)
        static let binary = Kinds(rawValue: 2)
    }

    /// Smallest allocation for assembling.
    private static let assemblyBytesMin = 256

    // Limits.
    private let messageBytesMax: Int
    private let fragmentsMax: UInt32
    private let accepted: Kinds
    private let isMasked: Bool
    /// Whether compressed messages were agreed upon (RFC 7692), and so it wants an inflater.
    public var acceptsCompressed = false
    private var isFinished = false

    // The header of the next frame, as far as it has come.
    private var stagedBytes: UInt8 = 0
    private var staged = InlineArray<14, UInt8>(repeating: 0)

    // The frame whose payload is arriving.
    private var isInPayload = false
    private var isFinal = false
    private var opcode = Opcode.continuation
    /// Low two bits count: where in the key the next payload byte stands.
    private var keyOffset: UInt8 = 0
    private var key = MaskingKey(value: 0)
    private var payloadBytesLeft = 0

    // The message being assembled; `messageOpcode` is `continuation` while there is none.
    private var messageOpcode = Opcode.continuation
    private var utf8 = UTF8Validator()
    private var fragments: UInt32 = 0
    private var isCompressed = false
    private var message = Assembly()

    // A control frame in pieces, which may come between those of a message.
    private var control = Assembly()

    /// - Parameters:
    ///   - messageBytesMax: limit of a message over all its fragments, below 4 GiB; a declared length above it is refused at
    ///     once with 1009.
    ///   - fragmentsMax: limit of the frames of one message, empty ones included.
    ///   - acceptsText: whether text messages were agreed upon; else they are refused with 1003.
    ///   - acceptsBinary: the same of binary ones.
    ///   - isMasked: whether the peer is a client, whose frames are masked.
    public init(messageBytesMax: Int, fragmentsMax: Int = 65_536, acceptsText: Bool = true, acceptsBinary: Bool, isMasked: Bool = true) {
        self.messageBytesMax = Int(UInt32(clamping: messageBytesMax))
        self.fragmentsMax = UInt32(clamping: max(1, fragmentsMax))
        var accepted: Kinds = []
        if acceptsText { accepted.insert(.text) }
        if acceptsBinary { accepted.insert(.binary) }
        self.accepted = accepted
        self.isMasked = isMasked
    }

    deinit {
        free(message.base)
        free(control.base)
    }

    /// Most bytes of a compressed message as it comes. What does not compress becomes longer, by less than this allows; an empty block takes five bytes
    /// and says nothing, so there is a bound.
    private var compressedBytesMax: Int { messageBytesMax + messageBytesMax / 8 + 64 }

    /// Of the message that was handed over last: whether it came compressed.
    public var isMessageCompressed: Bool { isCompressed }

    /// Whether nothing has begun: no frame, no message.
    public var isIdle: Bool { stagedBytes == 0 && !isInPayload && messageOpcode == .continuation }

    /// Whether a close or a failure was reported, so that all further input is swallowed.
    public var isClosed: Bool { isFinished }

    /// Takes from `input`, advancing it and unmasking in place, up to the next thing that happened.
    ///
    /// A message that came in one frame and in one piece is handed over where it lies; others are put together.
    /// - Parameters:
    ///   - inflater: where compressed messages were agreed upon. It may serve many receivers.
    ///   - window: what they may refer to, this receiver's alone, asked for when one comes; nil where each stands for itself.
    /// - Returns: nil when `input` is used up. Call until then.
    /// - Complexity: O(bytes taken), amortised, however the bytes are cut.
    public mutating func next(_ input: inout UnsafeMutableRawBufferPointer, _ inflater: Inflater? = nil, _ window: () -> InflateWindow? = { nil }) -> Action? {
        releaseHandedOut(inflater)
        while !isFinished {
            if !isInPayload {
                switch readHeader(&input) {
                case .incomplete: return nil
                case .violation(let code, let what): return fail(code, what)
                case .complete(let header, _):
                    if let action = begin(header) { return action }
                }
            }
            if let action = readPayload(&input, inflater, window) { return action }
            if isInPayload { return nil }
        }
        input = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        return nil
    }

    // MARK: header

    private mutating func readHeader(_ input: inout UnsafeMutableRawBufferPointer) -> FrameHeader.Outcome {
        let rules = FrameHeader.Rules(
            expectsContinuation: messageOpcode != .continuation, acceptsText: accepted.contains(.text), acceptsBinary: accepted.contains(.binary),
            acceptsCompressed: acceptsCompressed, isMasked: isMasked, payloadBytesMax: messageMax - message.count, compressedBytesMax: compressedBytesMax)
        if stagedBytes == 0 {
            let outcome = FrameHeader.parse(UnsafeRawBufferPointer(input), rules)
            guard case .complete(_, let bytes) = outcome else {
                // Less than a header, so it fits; or a violation, after which nothing is read any more.
                if outcome == .incomplete { stage(&input, input.count) }
                return outcome
            }
            advance(&input, by: bytes)
            return outcome
        }
        // Byte by byte, so that a wrong header is refused by its first wrong byte however it was cut. Happens at most 13 times.
        while input.count > 0 {
            stage(&input, 1)
            let copy = staged
            let bytes = Int(stagedBytes)
            let outcome = withUnsafeBytes(of: copy) { FrameHeader.parse(UnsafeRawBufferPointer(rebasing: $0[..<bytes]), rules) }
            if outcome != .incomplete {
                stagedBytes = 0
                return outcome
            }
        }
        return .incomplete
    }

    /// Most bytes that the message in the making may have, as it comes.
    private var messageMax: Int { messageOpcode != .continuation && isCompressed ? compressedBytesMax : messageBytesMax }

    private mutating func stage(_ input: inout UnsafeMutableRawBufferPointer, _ bytes: Int) {
        for i in 0..<bytes {
            staged[Int(stagedBytes)] = input[i]
            stagedBytes += 1
        }
        advance(&input, by: bytes)
    }

    /// Enters the payload of a frame.
    private mutating func begin(_ header: FrameHeader) -> Action? {
        isInPayload = true
        isFinal = header.isFinal
        opcode = header.opcode
        key = header.key
        keyOffset = 0
        payloadBytesLeft = header.payloadBytes
        guard !opcode.isControl else { return nil }
        if opcode != .continuation {
            messageOpcode = opcode
            isCompressed = header.isCompressed
            utf8 = UTF8Validator()
            fragments = 0
        }
        fragments += 1
        // Empty fragments cost the peer six bytes each and are no bytes of the message: only a count bounds them.
        return fragments > fragmentsMax ? fail(.protocolError, "too many fragments") : nil
    }

    // MARK: payload

    private mutating func readPayload(_ input: inout UnsafeMutableRawBufferPointer, _ inflater: Inflater?, _ window: () -> InflateWindow?) -> Action? {
        let count = min(input.count, payloadBytesLeft)
        let piece = UnsafeMutableRawBufferPointer(rebasing: input[..<count])
        if isMasked { unmask(piece, key: key, offset: Int(keyOffset)) }
        advance(&input, by: count)
        payloadBytesLeft -= count
        keyOffset = UInt8(truncatingIfNeeded: (Int(keyOffset) + count) & 3)
        let isFrameComplete = payloadBytesLeft == 0
        if isFrameComplete { isInPayload = false }

        let bytes = UnsafeRawBufferPointer(piece)
        if opcode.isControl {
            if isFrameComplete && control.count == 0 { return finishControl(bytes) }
            if !control.append(bytes, most: 125) { return fail(.internalError, "out of memory") }
            return isFrameComplete ? finishControl(control.bytes) : nil
        }

        if messageOpcode == .text && !isCompressed && !utf8.feed(bytes) { return fail(.invalidPayload, CloseCode.invalidPayload.reason) }
        let isMessageComplete = isFrameComplete && isFinal
        if isMessageComplete {
            if messageOpcode == .text && !isCompressed && !utf8.isComplete { return fail(.invalidPayload, CloseCode.invalidPayload.reason) }
            let kind = messageOpcode
            messageOpcode = .continuation
            if message.count == 0 { return isCompressed ? inflate(bytes, kind, inflater, window) : .message(kind, bytes) }
            if !message.append(bytes, most: message.count + count) { return fail(.internalError, "out of memory") }
            return isCompressed ? inflate(message.bytes, kind, inflater, window) : .message(kind, message.bytes)
        }
        // The rest of this frame is announced, so doubling need not go beyond it; more fragments may go up to the limit.
        let most = isFinal ? message.count + count + payloadBytesLeft : messageMax
        return message.append(bytes, most: most) ? nil : fail(.internalError, "out of memory")
    }

    private mutating func inflate(_ payload: UnsafeRawBufferPointer, _ kind: Opcode, _ inflater: Inflater?, _ window: () -> InflateWindow?) -> Action {
        guard let inflater else { return fail(.internalError, "out of memory") }
        switch inflater.inflate(payload, bytesMax: messageBytesMax, window: window()) {
        case .message(let bytes):
            if kind == .text, !UTF8Validator.isValid(bytes) { return fail(.invalidPayload, CloseCode.invalidPayload.reason) }
            return .message(kind, bytes)
        case .tooLong: return fail(.messageTooBig, CloseCode.messageTooBig.reason)
        // RFC 7692 names no code; this one is for data that are not what the message says.
        case .garbage: return fail(.invalidPayload, "compressed data are damaged")
        case .outOfMemory: return fail(.internalError, "out of memory")
        }
    }

    private mutating func finishControl(_ payload: UnsafeRawBufferPointer) -> Action {
        switch opcode {
        case .ping: return .ping(payload)
        case .pong: return .pong(payload)
        default: return finishClose(payload)
        }
    }

    // RFC 6455 §5.5.1: nothing, or a code of two bytes and a reason in UTF-8.
    private mutating func finishClose(_ payload: UnsafeRawBufferPointer) -> Action {
        if payload.count == 0 {
            isFinished = true
            return .close(nil, reason: "")
        }
        guard payload.count >= 2 else { return fail(.protocolError, "close payload of one byte") }
        let code = CloseCode(rawValue: UInt16(payload[0]) << 8 | UInt16(payload[1]))
        guard code.isSendableOnWire else { return fail(.protocolError, "invalid close code") }
        let reason = UnsafeRawBufferPointer(rebasing: payload[2...])
        guard UTF8Validator.isValid(reason) else { return fail(.invalidPayload, "close reason is not UTF-8") }
        isFinished = true
        return .close(code, reason: String(decoding: reason, as: UTF8.self))
    }

    // MARK: end

    private mutating func fail(_ code: CloseCode, _ what: String) -> Action {
        isFinished = true
        isInPayload = false
        stagedBytes = 0
        messageOpcode = .continuation
        return .fail(code, what)
    }

    /// Gives back the memory of what the call before handed out.
    private mutating func releaseHandedOut(_ inflater: Inflater?) {
        inflater?.giveBack()
        if messageOpcode == .continuation && message.capacity > 0 { message.clear() }
        if control.capacity > 0 && !(isInPayload && opcode.isControl) { control.clear() }
    }

    private func advance(_ input: inout UnsafeMutableRawBufferPointer, by bytes: Int) {
        input = UnsafeMutableRawBufferPointer(rebasing: input[bytes...])
    }

    /// Bytes put together, less than 4 GiB. Freed by its owner; small, because every idle receiver has two.
    private struct Assembly {
        private(set) var base: UnsafeMutableRawPointer?
        private var usedBytes: UInt32 = 0
        private var allocatedBytes: UInt32 = 0

        var count: Int { Int(usedBytes) }
        var capacity: Int { Int(allocatedBytes) }
        var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

        /// Grows by doubling, not beyond `most` (which the caller has checked to be enough).
        /// - Returns: false without memory.
        mutating func append(_ piece: UnsafeRawBufferPointer, most: Int) -> Bool {
            guard let source = piece.baseAddress, piece.count > 0 else { return true }
            let needed = count + piece.count
            if needed > capacity {
                let wanted = max(needed, min(max(capacity * 2, FrameReceiver.assemblyBytesMin), most))
                guard let grown = realloc(base, wanted) else { return false }
                base = grown
                allocatedBytes = UInt32(wanted)
            }
            base?.advanced(by: count).copyMemory(from: source, byteCount: piece.count)
            usedBytes = UInt32(needed)
            return true
        }

        mutating func clear() {
            free(base)
            base = nil
            usedBytes = 0
            allocatedBytes = 0
        }
    }
}
