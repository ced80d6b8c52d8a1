// The body of a request, by its length or in chunks (RFC 9112 §6, §7.1). As strict as the head, for the same reason.

/// Takes one request body out of the bytes that follow its head.
public struct BodyDecoder: Sendable {
    private enum State: Equatable {
        case length(Int)
        case chunkSize(digits: Int)
        case chunkExtension
        case chunkSizeLF
        case chunk(Int)
        case chunkCR
        case chunkLF
        case trailerStart
        case trailer
        case trailerLF
        case endLF
        case complete
    }

    /// Limit of extensions and trailers together, which are read and forgotten.
    private static let overheadBytesMax = 8192

    private let bytesMax: Int
    private var state: State
    private var chunkBytes = 0
    private var bodyBytes = 0
    private var overheadBytes = 0

    /// - Parameter bytesMax: limit of the body; a longer one is refused with 413, by its announced length if there is one.
    public init(framing: BodyFraming, bytesMax: Int) {
        // Far beyond any memory, and far enough from Int's end that a chunk's size cannot overflow.
        self.bytesMax = min(max(0, bytesMax), 1 << 48)
        switch framing {
        case .none, .length(0): state = .complete
        case .length(let bytes): state = .length(bytes)
        case .chunked: state = .chunkSize(digits: 0)
        }
    }

    /// Whether the whole body has been taken.
    public var isComplete: Bool { state == .complete }

    /// Refuses a body that is announced as too long, before any of it has arrived (and before `100 Continue`).
    public static func check(_ framing: BodyFraming, bytesMax: Int) throws(HTTPError) {
        if case .length(let bytes) = framing, bytes > bytesMax { throw tooLarge }
    }

    private static let tooLarge = HTTPError(413, "request body too large")
    private static let malformed = HTTPError(400, "malformed chunked body")

    /// Takes body bytes from `bytes` and appends them to `body`.
    /// - Returns: bytes taken: all, unless the body ends before; what follows belongs to the next request.
    /// - Throws: what to answer; the decoder is then of no more use.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer, into body: inout [UInt8]) throws(HTTPError) -> Int {
        if case .length(let left) = state, left > bytesMax - bodyBytes { throw BodyDecoder.tooLarge }
        var i = 0
        while i < bytes.count && state != .complete {
            switch state {
            case .length(let left):
                let count = take(bytes, from: i, atMost: left, into: &body)
                i += count
                state = left == count ? .complete : .length(left - count)
            case .chunk(let left):
                let count = take(bytes, from: i, atMost: left, into: &body)
                i += count
                state = left == count ? .chunkCR : .chunk(left - count)
            default:
                try step(bytes[i])
                i += 1
            }
        }
        return i
    }

    private mutating func take(
        _ bytes: UnsafeRawBufferPointer, from start: Int, atMost most: Int, into body: inout [UInt8]
    ) -> Int {
        let count = min(most, bytes.count - start)
        body.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[start..<(start + count)]))
        bodyBytes += count
        return count
    }

    /// Takes one byte of what is around the chunks.
    private mutating func step(_ byte: UInt8) throws(HTTPError) {
        switch state {
        case .chunkSize(let digits):
            if let digit = HTTPSyntax.hexDigit(byte) {
                // Checked as it grows; the count bounds leading zeros.
                chunkBytes = chunkBytes << 4 | Int(digit)
                if chunkBytes > bytesMax - bodyBytes { throw BodyDecoder.tooLarge }
                guard digits < 16 else { throw BodyDecoder.malformed }
                state = .chunkSize(digits: digits + 1)
            } else if digits > 0 && byte == 0x0D {
                state = .chunkSizeLF
            } else if digits > 0 && byte == UInt8(ascii: ";") {
                state = .chunkExtension
            } else {
                throw BodyDecoder.malformed
            }
        case .chunkExtension:
            try discard(byte, end: .chunkSizeLF)
        case .chunkSizeLF:
            try expect(byte, 0x0A, then: chunkBytes > 0 ? .chunk(chunkBytes) : .trailerStart)
            chunkBytes = 0
        case .chunkCR: try expect(byte, 0x0D, then: .chunkLF)
        case .chunkLF: try expect(byte, 0x0A, then: .chunkSize(digits: 0))
        case .trailerStart:
            state = .trailer
            if byte == 0x0D { state = .endLF } else { try discard(byte, end: .trailerLF) }
        case .trailer: try discard(byte, end: .trailerLF)
        case .trailerLF: try expect(byte, 0x0A, then: .trailerStart)
        case .endLF: try expect(byte, 0x0A, then: .complete)
        case .length, .chunk, .complete: break
        }
    }

    private mutating func expect(_ byte: UInt8, _ wanted: UInt8, then next: State) throws(HTTPError) {
        guard byte == wanted else { throw BodyDecoder.malformed }
        state = next
    }

    /// Passes over an extension or a trailer, up to its CR.
    private mutating func discard(_ byte: UInt8, end: State) throws(HTTPError) {
        if byte == 0x0D {
            state = end
            return
        }
        guard HTTPSyntax.isFieldValue(byte) else { throw BodyDecoder.malformed }
        overheadBytes += 1
        if overheadBytes > BodyDecoder.overheadBytesMax { throw HTTPError(431, "chunk extensions or trailers too large") }
    }
}
