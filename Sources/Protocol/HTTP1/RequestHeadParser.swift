// Finds the end of a request head in what has arrived so far, then has it read. Strict where RFC 9112 lets servers be lenient:
// whatever two servers could read differently is how requests are smuggled past a proxy.

import Glibc

/// Waits for one request head. Make a new one for each request.
public struct RequestHeadParser: Sendable {
    private let headBytesMax: Int
    private let fieldsMax: Int
    /// Everything before this has been looked at.
    private var searched = 0
    /// Where the line being received begins.
    private var lineStart = 0
    /// Whole lines of the head so far.
    private var lines = 0
    /// 2 where an empty line preceded the request line.
    private var headStart = 0

    /// - Parameters:
    ///   - headBytesMax: limit of the whole head; the request line may be half of it.
    ///   - fieldsMax: limit of the number of fields.
    public init(headBytesMax: Int = 16_384, fieldsMax: Int = 100) {
        self.headBytesMax = max(0, headBytesMax)
        self.fieldsMax = max(0, fieldsMax)
    }

    /// Looks at what has arrived. `buffer` is always everything from the head's first byte on, and never shorter than before;
    /// what follows the head is not looked at. What was searched once is not searched again.
    ///
    /// The verdict depends on the bytes only, not on how they were cut.
    /// - Returns: nil while the head is not complete; else the head and its size.
    /// - Throws: what to answer; the parser is then of no more use.
    public mutating func parse(_ buffer: UnsafeRawBufferPointer) throws(HTTPError) -> (head: RequestHead, headBytes: Int)? {
        guard let base = buffer.baseAddress else { return nil }
        let limit = min(buffer.count, headBytesMax)
        while searched < limit {
            if searched == headStart { try checkFirst(buffer[searched]) }
            let isRequestLine = lines == 0
            // Bounded, so that a long line is refused the same way whether or not its end has arrived.
            let stop = isRequestLine ? min(limit, lineStart + requestLineBytesMax) : limit
            guard searched < stop, let found = memchr(base + searched, 0x0A, stop - searched) else {
                searched = stop
                if isRequestLine && stop - lineStart >= requestLineBytesMax { throw HTTPError(414, "request line too long") }
                break
            }
            let newline = UnsafeRawPointer(found) - base
            searched = newline + 1
            // RFC 9112 §2.2 would allow a lone LF.
            guard newline > lineStart, buffer[newline - 1] == 0x0D else { throw HTTPError(400, "line ends without CRLF") }
            let isEmpty = newline - lineStart == 1
            if isEmpty && lines == 0 {
                // RFC 9112 §2.2: clients may put an empty line before a request; one, not a stream of them.
                guard headStart == 0 else { throw HTTPError(400, "empty lines before the request") }
                headStart = searched
            } else if isEmpty {
                return (try RequestHead(lines: UnsafeRawBufferPointer(rebasing: buffer[headStart..<searched])), searched)
            } else {
                lines += 1
                if lines > fieldsMax + 1 { throw HTTPError(431, "too many header fields") }
            }
            lineStart = searched
        }
        if searched >= headBytesMax { throw HTTPError(431, "request head too large") }
        return nil
    }

    private var requestLineBytesMax: Int { headBytesMax / 2 }

    /// Refuses at its first byte what cannot become a request, such as TLS on a plain port.
    private func checkFirst(_ byte: UInt8) throws(HTTPError) {
        guard HTTPSyntax.isToken(byte) || byte == 0x0D else { throw HTTPError(400, "not an HTTP request") }
    }
}
