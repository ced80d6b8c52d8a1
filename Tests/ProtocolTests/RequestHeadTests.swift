import TestSupport
import Testing

@testable import Protocol

/// The head of `text`, fed whole; nil while it is not complete.
func parseHead(_ text: String, headBytesMax: Int = 16_384) throws(HTTPError) -> RequestHead? {
    var parser = RequestHeadParser(headBytesMax: headBytesMax)
    var failure: HTTPError?
    let head = Array(text.utf8).withUnsafeBytes { buffer -> RequestHead? in
        do throws(HTTPError) { return try parser.parse(buffer)?.head } catch { failure = error }
        return nil
    }
    if let failure { throw failure }
    return head
}

/// What came of feeding a head: its target and size, or the status of the refusal, and how much had arrived by then.
enum HeadOutcome: Equatable {
    case incomplete
    case head(String, bytes: Int, body: BodyFraming)
    case refused(HTTPError)
}

func feedHead(_ bytes: [UInt8], cuts: [Int], headBytesMax: Int = 16_384, fieldsMax: Int = 100) -> HeadOutcome {
    var parser = RequestHeadParser(headBytesMax: headBytesMax, fieldsMax: fieldsMax)
    for stop in cuts + [bytes.count] {
        // Memory of exactly this size, so that reading beyond it is caught by a sanitizer.
        let part = Array(bytes[..<stop])
        let outcome = part.withUnsafeBytes { buffer -> HeadOutcome in
            do throws(HTTPError) {
                guard let found = try parser.parse(buffer) else { return .incomplete }
                return .head(found.head.target, bytes: found.headBytes, body: found.head.body)
            } catch { return .refused(error) }
        }
        if outcome != .incomplete { return outcome }
    }
    return .incomplete
}

@Suite struct RequestHeadTests {
    @Test func everythingOfARequest() throws {
        let head = try #require(
            try parseHead(
                "GET /ws/logs?level=warn,error&q=a+b%26c&empty=&flag HTTP/1.1\r\nHOST: localhost:8080\r\nX-Blank:\r\nAccept: a\r\n"
                    + "aCCept:\t b , C,, \r\nUser-Agent: curl/7.88 (x; y)  \r\n\r\n"))
        #expect(head.method == "GET")
        #expect(head.target == "/ws/logs?level=warn,error&q=a+b%26c&empty=&flag")
        #expect(head.path == "/ws/logs")
        #expect(head.query.map { "\($0.name)=\($0.value)" } == ["level=warn,error", "q=a b&c", "empty=", "flag="])
        #expect(head.parameter("q") == "a b&c")
        #expect(head.parameter("none") == nil)
        #expect(head.minorVersion == 1)
        #expect(head.host == "localhost:8080")
        #expect(head.fields.map(\.name) == ["host", "x-blank", "accept", "accept", "user-agent"])
        #expect(head.first("x-blank") == "")
        #expect(head.first("missing") == nil)
        #expect(head.all("accept") == ["a", "b , C,,"])
        #expect(head.tokens("accept") == ["a", "b", "c"])
        #expect(head.list("accept") == ["a", "b", "C"])
        #expect(head.first("user-agent") == "curl/7.88 (x; y)")
        #expect(head.body == .none)
        #expect(head.keepsAlive)
        #expect(!head.expectsContinue)
    }

    @Test(arguments: [
        ("origin form", "GET", "/a/b", "/a/b", "h"), ("root", "GET", "/", "/", "h"), ("encoded", "GET", "/%61%C3%A4", "/aä", "h"),
        ("plus stays in a path", "GET", "/a+b", "/a+b", "h"), ("dots stay", "GET", "/a/../b", "/a/../b", "h"),
        ("double slash stays", "GET", "//x", "//x", "h"), ("absolute", "GET", "http://Example:81/p?q", "/p", "Example:81"),
        ("absolute https", "GET", "HTTPS://e/", "/", "e"), ("absolute without path", "GET", "http://e", "/", "e"),
        ("absolute with query only", "GET", "http://e?x=1", "/", "e"),
        ("absolute IPv6", "GET", "http://[::1]:8080/x", "/x", "[::1]:8080"),
        ("asterisk", "OPTIONS", "*", "*", "h"), ("empty query", "GET", "/a?", "/a", "h"),
        ("question marks", "GET", "/a?b?c", "/a", "h"),
        ("unknown method", "BREW", "/", "/", "h"), ("quote and brackets", "GET", "/\"<>[]{}|\\^`", "/\"<>[]{}|\\^`", "h"),
    ])
    func targets(_ name: String, _ method: String, _ target: String, _ path: String, _ host: String) throws {
        let head = try #require(try parseHead("\(method) \(target) HTTP/1.1\r\nHost: h\r\n\r\n"))
        #expect(head.path == path)
        #expect(head.host == host)
        #expect(head.target == target)
    }

    @Test(arguments: [
        ("none", "", BodyFraming.none), ("length", "Content-Length: 12\r\n", .length(12)),
        ("zero", "content-length: 0\r\n", .length(0)),
        ("leading zeros", "Content-Length: 0012\r\n", .length(12)),
        ("repeated alike", "Content-Length: 5\r\nContent-Length: 5\r\n", .length(5)),
        ("largest", "Content-Length: 9223372036854775807\r\n", .length(.max)),
        ("chunked", "Transfer-Encoding: chunked\r\n", .chunked),
        ("Chunked", "Transfer-Encoding: \t Chunked \r\n", .chunked),
    ])
    func framings(_ name: String, _ fields: String, _ body: BodyFraming) throws {
        #expect(try parseHead("POST / HTTP/1.1\r\nHost: h\r\n\(fields)\r\n")?.body == body)
    }

    @Test(arguments: [
        ("HTTP/1.1", "", true), ("HTTP/1.1", "Connection: close\r\n", false), ("HTTP/1.1", "Connection: x, CLOSE\r\n", false),
        ("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", false), ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true), ("HTTP/1.9", "", true),
    ])
    func keepAlive(_ version: String, _ fields: String, _ keeps: Bool) throws {
        #expect(try parseHead("GET / \(version)\r\nHost: h\r\n\(fields)\r\n")?.keepsAlive == keeps)
    }

    @Test(arguments: [
        ("HTTP/1.1", "Content-Length: 5\r\n", true), ("HTTP/1.1", "Transfer-Encoding: chunked\r\n", true),
        ("HTTP/1.1", "", false),
        ("HTTP/1.1", "Content-Length: 0\r\n", false), ("HTTP/1.0", "Content-Length: 5\r\n", false),
    ])
    func expectation(_ version: String, _ fields: String, _ expects: Bool) throws {
        let text = "POST / \(version)\r\nHost: h\r\nExpect: 100-Continue\r\n\(fields)\r\n"
        #expect(try parseHead(text)?.expectsContinue == expects)
    }

    @Test(arguments: ["h", "h:80", "h:", "127.0.0.1:8080", "[::1]", "[::1]:8080", "[::ffff:1.2.3.4]", "a-b_c.example.", ""])
    func hosts(_ host: String) throws { #expect(try parseHead("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n")?.host == host) }

    @Test func valuesBeyondASCII() throws {
        let bytes =
            Array("GET / HTTP/1.1\r\nHost: h\r\nA: ".utf8) + [0xC3, 0xA4] + Array("\r\nB: x".utf8) + [0xE4]
            + Array("\r\n\r\n".utf8)
        var parser = RequestHeadParser()
        let head = try bytes.withUnsafeBytes { try parser.parse($0)?.head }
        #expect(head?.first("a") == "ä")
        #expect(head?.first("b") == "xä")
    }

    @Test func oldVersionNeedsNoHost() throws { #expect(try parseHead("GET / HTTP/1.0\r\n\r\n")?.host == "") }

    @Test func whatFollowsIsLeft() {
        let first = "\r\nPOST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
        #expect(
            feedHead(Array((first + "abcGET /b HTTP/1.1\r\n\n").utf8), cuts: [])
                == .head("/a", bytes: first.utf8.count, body: .length(3)))
    }

    // MARK: refusals

    static let good = "Host: h\r\n"

    static let abuse: [(String, String, Int)] = [
        // Request line.
        ("no version", "GET /\r\nHost: h\r\n\r\n", 400), ("HTTP/0.9", "GET / HTTP/0.9\r\n\r\n", 505),
        ("two blanks", "GET  / HTTP/1.1\r\n\(good)\r\n", 400),
        ("tab", "GET\t/ HTTP/1.1\r\n\(good)\r\n", 400), ("blank at the end", "GET / HTTP/1.1 \r\n\(good)\r\n", 400),
        ("blank at the beginning", " GET / HTTP/1.1\r\n\(good)\r\n", 400), ("empty target", "GET  HTTP/1.1\r\n\(good)\r\n", 400),
        ("method no token", "G(T / HTTP/1.1\r\n\(good)\r\n", 400), ("method beyond ASCII", "GÉT / HTTP/1.1\r\n\(good)\r\n", 400),
        ("method too long", "\(String(repeating: "A", count: 33)) / HTTP/1.1\r\n\(good)\r\n", 400),
        ("HTTP/2.0", "PRI * HTTP/2.0\r\n\r\n", 505),
        ("HTTP/3.0", "GET / HTTP/3.0\r\n\(good)\r\n", 505), ("http in lower case", "GET / http/1.1\r\n\(good)\r\n", 400),
        ("HTTP/1", "GET / HTTP/1\r\n\(good)\r\n", 400), ("HTTP/1.10", "GET / HTTP/1.10\r\n\(good)\r\n", 400),
        ("HTTP/+1.1", "GET / HTTP/+1.1\r\n\(good)\r\n", 400),
        ("HTTP/1.x", "GET / HTTP/1.x\r\n\(good)\r\n", 400), ("other protocol", "GET / ICAP/1.0\r\n\(good)\r\n", 400),
        ("TLS behind an empty line", "\r\n\u{16}\u{03}", 400), ("TLS", "\u{16}\u{03}\u{01}", 400),
        ("empty lines", "\r\n\r\nGET / HTTP/1.1\r\n\(good)\r\n", 400),
        ("bare LF first", "\nGET / HTTP/1.1\r\n\(good)\r\n", 400),
        ("blank behind the empty line", "\r\n GET / HTTP/1.1\r\n\(good)\r\n", 400),
        // Target.
        ("asterisk with GET", "GET * HTTP/1.1\r\n\(good)\r\n", 400),
        ("authority form", "CONNECT h:80 HTTP/1.1\r\n\(good)\r\n", 400),
        ("relative", "GET a/b HTTP/1.1\r\n\(good)\r\n", 400), ("fragment", "GET /a#b HTTP/1.1\r\n\(good)\r\n", 400),
        ("NUL", "GET /\0 HTTP/1.1\r\n\(good)\r\n", 400),
        ("encoded NUL", "GET /%00 HTTP/1.1\r\n\(good)\r\n", 400), ("bad percent", "GET /%zz HTTP/1.1\r\n\(good)\r\n", 400),
        ("percent at the end", "GET /a% HTTP/1.1\r\n\(good)\r\n", 400),
        ("cut percent", "GET /a%6 HTTP/1.1\r\n\(good)\r\n", 400), ("path not UTF-8", "GET /%ff HTTP/1.1\r\n\(good)\r\n", 400),
        ("overlong slash", "GET /%c0%af HTTP/1.1\r\n\(good)\r\n", 400),
        ("encoded slash", "GET /admin%2Fx HTTP/1.1\r\n\(good)\r\n", 400),
        ("query not UTF-8", "GET /?a=%ff HTTP/1.1\r\n\(good)\r\n", 400),
        ("query with bad percent", "GET /?a=%4 HTTP/1.1\r\n\(good)\r\n", 400),
        ("NUL in the query", "GET /?a=%00 HTTP/1.1\r\n\(good)\r\n", 400), ("beyond ASCII", "GET /ä HTTP/1.1\r\n\(good)\r\n", 400),
        ("unknown scheme", "GET ftp://h/ HTTP/1.1\r\n\(good)\r\n", 400),
        ("user in the authority", "GET http://u@h/ HTTP/1.1\r\n\(good)\r\n", 400),
        ("no authority", "GET http:///a HTTP/1.1\r\n\(good)\r\n", 400),
        ("port too large", "GET http://h:65536/ HTTP/1.1\r\n\(good)\r\n", 400),
        // Line ends.
        ("bare LF in the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
        ("bare LF in a field", "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", 400),
        ("bare LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
        ("bare CR in a value", "GET / HTTP/1.1\r\n\(good)A: b\rC: d\r\n\r\n", 400),
        ("bare CR in the request line", "GET /\r HTTP/1.1\r\n\(good)\r\n", 400),
        ("CR CR LF", "GET / HTTP/1.1\r\n\(good)A: b\r\r\n\r\n", 400),
        ("CR CR LF as end", "GET / HTTP/1.1\r\n\(good)\r\r\n\r\n", 400),
        // Fields.
        ("folded", "GET / HTTP/1.1\r\n\(good)A: b\r\n c\r\n\r\n", 400),
        ("folded by tab", "GET / HTTP/1.1\r\n\(good)A: b\r\n\tc\r\n\r\n", 400),
        ("folded first", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
        ("blank before the colon", "GET / HTTP/1.1\r\n\(good)A : b\r\n\r\n", 400),
        ("tab before the colon", "GET / HTTP/1.1\r\n\(good)A\t: b\r\n\r\n", 400),
        ("no colon", "GET / HTTP/1.1\r\n\(good)Ab\r\n\r\n", 400), ("no name", "GET / HTTP/1.1\r\n\(good): b\r\n\r\n", 400),
        ("blank in the name", "GET / HTTP/1.1\r\n\(good)A B: c\r\n\r\n", 400),
        ("name beyond ASCII", "GET / HTTP/1.1\r\n\(good)Ä: c\r\n\r\n", 400),
        ("NUL in the name", "GET / HTTP/1.1\r\n\(good)A\0: c\r\n\r\n", 400),
        ("NUL in a value", "GET / HTTP/1.1\r\n\(good)A: b\0c\r\n\r\n", 400),
        ("DEL", "GET / HTTP/1.1\r\n\(good)A: b\u{7F}\r\n\r\n", 400),
        ("escape character", "GET / HTTP/1.1\r\n\(good)A: \u{1B}[2J\r\n\r\n", 400),
        ("backspace", "GET / HTTP/1.1\r\n\(good)A: \u{8}\r\n\r\n", 400),
        // Host.
        ("no Host", "GET / HTTP/1.1\r\n\r\n", 400), ("two Hosts", "GET / HTTP/1.1\r\n\(good)\(good)\r\n", 400),
        ("two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\n\(good)\(good)\r\n", 400),
        ("Host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("Host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("Host with user", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
        ("Host with bad port", "GET / HTTP/1.1\r\nHost: h:8o\r\n\r\n", 400),
        ("Host with two ports", "GET / HTTP/1.1\r\nHost: h:1:2\r\n\r\n", 400),
        ("Host is a port", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
        ("Host not closed", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("Host behind brackets", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
        ("absolute target, no Host", "GET http://h/ HTTP/1.1\r\n\r\n", 400),
        // Smuggling.
        ("CL.TE", "POST / HTTP/1.1\r\n\(good)Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("TE.CL", "POST / HTTP/1.1\r\n\(good)Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400),
        ("differing lengths", "POST / HTTP/1.1\r\n\(good)Content-Length: 4\r\nContent-Length: 5\r\n\r\n", 400),
        ("alike but not the same", "POST / HTTP/1.1\r\n\(good)Content-Length: 4\r\nContent-Length: 04\r\n\r\n", 400),
        ("list of lengths", "POST / HTTP/1.1\r\n\(good)Content-Length: 4, 4\r\n\r\n", 400),
        ("length with sign", "POST / HTTP/1.1\r\n\(good)Content-Length: +4\r\n\r\n", 400),
        ("negative length", "POST / HTTP/1.1\r\n\(good)Content-Length: -4\r\n\r\n", 400),
        ("empty length", "POST / HTTP/1.1\r\n\(good)Content-Length:\r\n\r\n", 400),
        ("hexadecimal length", "POST / HTTP/1.1\r\n\(good)Content-Length: 0x4\r\n\r\n", 400),
        ("fraction", "POST / HTTP/1.1\r\n\(good)Content-Length: 4.0\r\n\r\n", 400),
        ("length beyond Int", "POST / HTTP/1.1\r\n\(good)Content-Length: 9223372036854775808\r\n\r\n", 400),
        (
            "length beyond everything", "POST / HTTP/1.1\r\n\(good)Content-Length: \(String(repeating: "9", count: 100))\r\n\r\n",
            400
        ),
        ("length in other digits", "POST / HTTP/1.1\r\n\(good)Content-Length: ４\r\n\r\n", 400),
        ("gzip", "POST / HTTP/1.1\r\n\(good)Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("chunked not last", "POST / HTTP/1.1\r\n\(good)Transfer-Encoding: chunked, gzip\r\n\r\n", 501),
        // Its lower case, by Unicode, is a k.
        ("chunked with a Kelvin sign", "POST / HTTP/1.1\r\n\(good)Transfer-Encoding: chun\u{212A}ed\r\n\r\n", 501),
        ("xchunked", "POST / HTTP/1.1\r\n\(good)Transfer-Encoding: xchunked\r\n\r\n", 501),
        ("chunked twice", "POST / HTTP/1.1\r\n\(good)Transfer-Encoding: chunked, chunked\r\n\r\n", 501),
        (
            "chunked in two fields", "POST / HTTP/1.1\r\n\(good)Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            501
        ),
        ("identity", "POST / HTTP/1.1\r\n\(good)Transfer-Encoding: identity\r\n\r\n", 501),
        ("empty coding", "POST / HTTP/1.1\r\n\(good)Transfer-Encoding:\r\n\r\n", 501),
        ("coding hidden by vertical tab", "POST / HTTP/1.1\r\n\(good)Transfer-Encoding: \u{B}chunked\r\n\r\n", 400),
        ("chunked in HTTP/1.0", "POST / HTTP/1.0\r\n\(good)Transfer-Encoding: chunked\r\n\r\n", 400),
        ("unknown expectation", "POST / HTTP/1.1\r\n\(good)Content-Length: 1\r\nExpect: 200-ok\r\n\r\n", 417),
    ]

    @Test(arguments: abuse) func refuses(_ name: String, _ text: String, _ status: Int) {
        let bytes = Array(text.utf8)
        let whole = feedHead(bytes, cuts: [])
        guard case .refused(let error) = whole else {
            Issue.record("\(whole)")
            return
        }
        #expect(error.status == status, "\(error)")
        for cuts in cuttings(of: bytes.count) where feedHead(bytes, cuts: cuts) != whole { Issue.record("cut at \(cuts)") }
    }

    // MARK: limits

    @Test func headLimit() {
        func head(_ bytes: Int) -> [UInt8] {
            let frame = "GET / HTTP/1.1\r\nHost: h\r\nA: \r\n\r\n"
            return Array(frame.replacing("A: ", with: "A: " + String(repeating: "a", count: bytes - frame.utf8.count)).utf8)
        }
        for cuts in [[], Array(1..<1000), [1]] {
            #expect(feedHead(head(1000), cuts: cuts, headBytesMax: 1000) == .head("/", bytes: 1000, body: .none))
            #expect(
                feedHead(head(999), cuts: cuts.filter { $0 < 999 }, headBytesMax: 1000) == .head("/", bytes: 999, body: .none))
            #expect(feedHead(head(1001), cuts: cuts, headBytesMax: 1000) == .refused(HTTPError(431, "request head too large")))
        }
        // Refused before its end, which may never come.
        #expect(
            feedHead(Array(head(5000).prefix(1000)), cuts: [], headBytesMax: 1000)
                == .refused(HTTPError(431, "request head too large")))
        #expect(feedHead(Array(head(5000).prefix(999)), cuts: [], headBytesMax: 1000) == .incomplete)
    }

    @Test func requestLineLimit() {
        func line(_ bytes: Int) -> [UInt8] {
            Array("GET /\(String(repeating: "a", count: bytes - 16)) HTTP/1.1\r\nHost: h\r\n\r\n".utf8)
        }
        for cuts in [[], Array(1..<500), [499]] {
            guard case .head = feedHead(line(500), cuts: cuts, headBytesMax: 1000) else {
                Issue.record("500 bytes refused")
                return
            }
            #expect(feedHead(line(501), cuts: cuts, headBytesMax: 1000) == .refused(HTTPError(414, "request line too long")))
        }
        #expect(
            feedHead(Array(line(900).prefix(500)), cuts: [], headBytesMax: 1000)
                == .refused(HTTPError(414, "request line too long")))
    }

    @Test func fieldLimit() {
        func head(_ fields: Int) -> [UInt8] {
            Array(("GET / HTTP/1.1\r\nHost: h\r\n" + String(repeating: "A: b\r\n", count: fields - 1) + "\r\n").utf8)
        }
        guard case .head = feedHead(head(100), cuts: []) else {
            Issue.record("100 fields refused")
            return
        }
        #expect(feedHead(head(101), cuts: []) == .refused(HTTPError(431, "too many header fields")))
        #expect(feedHead(Array(head(101).dropLast(2)), cuts: []) == .refused(HTTPError(431, "too many header fields")))
    }

    // MARK: split feeding and fuzz

    static let samples = [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\nGET /ws?channels=a,b HTTP/1.1\r\nHost: localhost:8080\r\nConnection: Upgrade\r\n\r\n",
        "POST /admin/ws/broadcast HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 17\r\n\r\n{\"channel\":\"all\"}",
        "GET http://a.example:80/%C3%A4?x=1+2&y=%20 HTTP/1.0\r\nA:b\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]

    @Test(arguments: samples) func cutAnywhere(_ text: String) {
        let bytes = Array(text.utf8)
        let whole = feedHead(bytes, cuts: [])
        guard case .head = whole else {
            Issue.record("\(whole)")
            return
        }
        for cuts in cuttings(of: bytes.count) { #expect(feedHead(bytes, cuts: cuts) == whole, "\(cuts)") }
    }

    /// Whatever comes, the verdict does not depend on the cuts; and what is accepted has none of the bytes that split requests.
    @Test func fuzzHeads() {
        let samples = (RequestHeadTests.samples + RequestHeadTests.abuse.map(\.1)).map { Array($0.utf8) }
        let finding = fuzz(samples, rounds: 3000) { input, generator in
            let limit = Bool.random(using: &generator) ? 16_384 : Int.random(in: 0...120, using: &generator)
            let cuts = randomCuts(input.count, using: &generator)
            let whole = feedHead(input, cuts: [], headBytesMax: limit, fieldsMax: 4)
            if feedHead(input, cuts: cuts, headBytesMax: limit, fieldsMax: 4) != whole { return "cut at \(cuts)" }
            guard case .head(_, let bytes, _) = whole else { return nil }
            guard bytes <= limit, input[..<bytes].suffix(4) == Array("\r\n\r\n".utf8)[...] else { return "wrong end" }
            var parser = RequestHeadParser(headBytesMax: limit, fieldsMax: 4)
            guard let head = try? input.withUnsafeBytes({ try parser.parse($0)?.head }) else { return "not the same twice" }
            let isClean = head.fields.allSatisfy { field in
                field.name.utf8.allSatisfy(HTTPSyntax.isToken) && field.value.utf8.allSatisfy(HTTPSyntax.isFieldValue)
            }
            return isClean && !head.path.utf8.contains(0) && (head.path.hasPrefix("/") || head.path == "*") ? nil : "not clean"
        }
        #expect(finding == nil)
    }

    /// A head that trickles in is found at its last byte, once.
    @Test func trickling() {
        let text =
            "GET / HTTP/1.1\r\nHost: h\r\n" + String(repeating: "A: \(String(repeating: "b", count: 500))\r\n", count: 30)
            + "\r\n"
        let bytes = Array(text.utf8)
        var parser = RequestHeadParser()
        var sizes: [Int] = []
        for stop in 0...bytes.count {
            let found = bytes.withUnsafeBytes { try? parser.parse(UnsafeRawBufferPointer(rebasing: $0[..<stop])) }
            if let found { sizes.append(found.headBytes) }
        }
        #expect(sizes == [bytes.count])
    }
}
