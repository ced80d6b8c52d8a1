// A server's answer over HTTP, as clients read it: just enough of RFC 9112 for what this daemon and proxies before it send.

/// The head of one answer.
public struct AnswerHead: Equatable, Sendable {
    public let status: Int
    /// With the empty line behind it.
    private let bytes: [UInt8]
    /// Bytes of the body; nil where the head does not tell: it goes on to the end of the connection, or comes in chunks.
    public let bodyBytes: Int?

    /// Bytes of the head, with the empty line.
    public var headBytes: Int { bytes.count }

    public enum Outcome: Equatable {
        case incomplete
        case head(AnswerHead)
        case broken
    }

    /// Of a head; a longer one is broken.
    public static let bytesMax = 65_536

    /// Reads the head at the beginning of `bytes`.
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard let count = headBytes(bytes.prefix(bytesMax)) else { return bytes.count >= bytesMax ? .broken : .incomplete }
        return AnswerHead(UnsafeRawBufferPointer(rebasing: bytes[..<count])).map { .head($0) } ?? .broken
    }

    /// Up to the end of the first empty line.
    private static func headBytes(_ bytes: UnsafeRawBufferPointer.SubSequence) -> Int? {
        var at = bytes.startIndex
        while let newline = bytes[at...].firstIndex(of: UInt8(ascii: "\n")) {
            at = newline + 1
            if at >= 4, bytes[at - 2] == 0x0D, bytes[at - 3] == 0x0A, bytes[at - 4] == 0x0D { return at }
        }
        return nil
    }

    public static func parse(_ bytes: [UInt8]) -> Outcome { bytes.withUnsafeBytes { parse($0) } }

    private init?(_ head: UnsafeRawBufferPointer) {
        // RFC 9112 §4: `HTTP/1.1 200 OK`; the words may be missing, with the blank before them.
        guard head.count >= 16, head.starts(with: "HTTP/1.".utf8), head[8] == UInt8(ascii: " "), [0x20, 0x0D].contains(head[12]),
            let status = HTTPSyntax.decimal(head[9..<12]), (100..<600).contains(status)
        else { return nil }
        var lengths: Set<Int> = []
        var isChunked = false
        for (name, value) in AnswerHead.fields(of: head) {
            guard let name else { return nil }
            if AnswerHead.isName(name, "content-length") {
                guard let length = HTTPSyntax.decimal(value) else { return nil }
                lengths.insert(length)
            } else if AnswerHead.isName(name, "transfer-encoding") {
                isChunked = true
            }
        }
        // Two lengths are two answers to whoever reads the other one.
        guard lengths.count <= 1 else { return nil }
        self.status = status
        bytes = Array(head)
        if (100..<200).contains(status) || status == 204 || status == 304 {
            bodyBytes = 0
        } else {
            bodyBytes = isChunked ? nil : lengths.first
        }
    }

    /// The value of the first field of a name, without the blanks around it.
    /// - Parameter name: in lower case.
    public func first(_ name: String) -> String? {
        bytes.withUnsafeBytes { head in
            for case (let found?, let value) in AnswerHead.fields(of: head) where AnswerHead.isName(found, name) {
                return String(decoding: value, as: UTF8.self)
            }
            return nil
        }
    }

    /// The values of all fields of a name, in their order.
    /// - Parameter name: in lower case.
    public func all(_ name: String) -> [String] {
        bytes.withUnsafeBytes { head in
            AnswerHead.fields(of: head).compactMap { found, value in
                found.flatMap { AnswerHead.isName($0, name) ? String(decoding: value, as: UTF8.self) : nil }
            }
        }
    }

    private static func isName(_ bytes: Slice<UnsafeRawBufferPointer>, _ name: String) -> Bool {
        bytes.count == name.utf8.count && zip(bytes, name.utf8).allSatisfy { HTTPSyntax.lowercased($0) == $1 }
    }

    /// The lines behind the first; a nil name where there is no colon.
    private static func fields(
        of head: UnsafeRawBufferPointer
    ) -> some Sequence<(name: Slice<UnsafeRawBufferPointer>?, value: Slice<UnsafeRawBufferPointer>)> {
        let newline = UInt8(ascii: "\n")
        // The last line is empty, and is none.
        let lines = head.dropLast(2)
        var at = (lines.firstIndex(of: newline) ?? lines.endIndex - 1) + 1
        return AnyIterator {
            guard at < lines.endIndex, let end = lines[at...].firstIndex(of: newline) else { return nil }
            var line = lines[at..<end]
            at = end + 1
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return (nil, line) }
            var value = line[(colon + 1)...]
            while let first = value.first, HTTPSyntax.isBlank(first) { value.removeFirst() }
            while let last = value.last, HTTPSyntax.isBlank(last) { value.removeLast() }
            return (line[..<colon], value)
        }
    }
}
