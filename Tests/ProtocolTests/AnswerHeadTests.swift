import Testing

@testable import Protocol

struct AnswerHeadTests {
    private func parse(_ text: String) -> AnswerHead.Outcome { AnswerHead.parse(Array(text.utf8)) }

    private func head(_ text: String) throws -> AnswerHead {
        guard case .head(let head) = parse(text) else { throw Broken(text: text) }
        return head
    }

    private struct Broken: Error { let text: String }

    @Test func whole() throws {
        let text = "HTTP/1.1 429 Too Many Requests\r\nRetry-After:  3 \r\nX: a:b\r\nx: 2\r\ncontent-LENGTH:\t12\t\r\nempty:\r\n\r\n"
        let head = try head(text + "HTTP/1.1 200 OK\r\nx: 9\r\n\r\n")
        #expect(head.status == 429 && head.headBytes == text.utf8.count && head.bodyBytes == 12)
        #expect(head.first("retry-after") == "3" && head.first("x") == "a:b" && head.first("empty")?.isEmpty == true && head.first("y") == nil)
        for count in 0..<text.utf8.count { #expect(AnswerHead.parse(Array(text.utf8.prefix(count))) == .incomplete) }
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 5), ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n", 5),
        ("HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n", nil), ("HTTP/1.1 101 Switching Protocols\r\n\r\n", 0), ("HTTP/1.1 204\r\n\r\n", 0),
        ("HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", 0), ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", nil),
    ] as [(String, Int?)])
    func bodies(text: String, bytes: Int?) throws {
        #expect(try head(text).bodyBytes == bytes)
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH\r\n\r\n", "\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 20x OK\r\n\r\n", "HTTP/1.1 20 OK!\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 999 OK\r\n\r\n", "HTTP/2 200 OKAY\r\n\r\n", "HTTP/1.1 200 OK\r\nbroken\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ])
    func noAnswer(text: String) {
        #expect(parse(text) == .broken)
    }

    @Test func endless() {
        #expect(parse(String(repeating: "a", count: AnswerHead.bytesMax)) == .broken)
        #expect(parse("HTTP/1.1 200 x\r\n" + String(repeating: "a: b\r\n", count: 12_000) + "\r\n") == .broken)
    }

    /// Whatever comes, it is read or refused.
    @Test func fuzz() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("HTTP/1.1 2003\r\n\r\n: content-length\n\t".utf8)
        for _ in 0..<2000 {
            let bytes = Array("HTTP/1.1 200\r\n".utf8) + (0..<Int.random(in: 0..<60, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? 0 }
            if case .head(let head) = AnswerHead.parse(bytes + Array("\r\n\r\n".utf8)) {
                #expect(head.status == 200 && head.headBytes <= bytes.count + 4)
                _ = head.first("content-length")
            }
        }
    }
}
