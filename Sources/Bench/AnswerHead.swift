// The server's answers over HTTP, from a stream of bytes: just enough of RFC 9112 for pipelined requests.

import CLinux
import Glibc

/// The head of one answer.
struct AnswerHead: Equatable {
    let status: Int
    /// Bytes of the head, with the empty line.
    let headBytes: Int
    /// nil where it is not told.
    let bodyBytes: Int?
    /// The value of `Sec-WebSocket-Accept`.
    let accept: String?

    enum Outcome: Equatable {
        case incomplete
        case head(AnswerHead)
        case broken
    }

    static let bytesMax = 65_536

    /// Reads the head at the beginning of `bytes`.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard let base = bytes.baseAddress, let end = clinux_find(base, bytes.count, "\r\n\r\n", 4) else {
            return bytes.count > bytesMax ? .broken : .incomplete
        }
        let headBytes = end - base + 4
        let head = UnsafeRawBufferPointer(rebasing: bytes[..<headBytes])
        guard headBytes >= 16, head.starts(with: "HTTP/1.".utf8), head[8] == UInt8(ascii: " "),
            let status = Int(String(decoding: head[9..<12], as: UTF8.self)), (100..<600).contains(status)
        else { return .broken }
        var bodyBytes: Int?
        if let text = field("content-length", in: head) {
            guard let number = Int(text), number >= 0 else { return .broken }
            bodyBytes = number
        } else if (100..<200).contains(status) || status == 204 || status == 304 {
            bodyBytes = 0
        }
        return .head(AnswerHead(status: status, headBytes: headBytes, bodyBytes: bodyBytes, accept: status == 101 ? field("sec-websocket-accept", in: head) : nil))
    }

    /// The value of the first field of a name in lower case.
    private static func field(_ name: StaticString, in head: UnsafeRawBufferPointer) -> String? {
        var line = 0
        while line < head.count {
            guard let end = head[line...].firstIndex(of: 10) else { return nil }
            defer { line = end + 1 }
            let count = name.utf8CodeUnitCount
            guard end - line > count, head[line + count] == UInt8(ascii: ":"),
                (0..<count).allSatisfy({ head[line + $0] | 0x20 == name.utf8Start[$0] | 0x20 })
            else { continue }
            let value = String(decoding: head[(line + count + 1)..<end], as: UTF8.self)
            return String(value.drop { $0 == " " || $0 == "\t" }.prefix { $0 != "\r" && $0 != "\r\n" && $0 != " " })
        }
        return nil
    }
}
