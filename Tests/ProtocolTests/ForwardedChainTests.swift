// Whose word counts, and how far.

import Base
import Protocol
import TestSupport
import Testing

@Suite struct ForwardedChainTests {
    private static let trusted = ["10.0.0.0/8", "::1", "2001:db8:f::/48"].compactMap { IPNetwork($0) }

    private func client(_ fields: String) throws -> String {
        let head = try #require(try RequestHeadParser.whole("GET / HTTP/1.1\r\nHost: x\r\n\(fields)\r\n"))
        return ForwardedChain.client(of: head, peer: try #require(IPAddress("10.0.0.1")), trusted: ForwardedChainTests.trusted).description
    }

    @Test(arguments: [
        ("", "10.0.0.1"), ("192.0.2.1", "192.0.2.1"), ("198.51.100.9, 192.0.2.1", "192.0.2.1"), ("192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("192.0.2.9,192.0.2.1 ,\t10.0.0.3 , 10.0.0.2", "192.0.2.1"), ("10.0.0.3, 10.0.0.2", "10.0.0.3"), ("garbage", "10.0.0.1"), ("192.0.2.1, unknown", "10.0.0.1"),
        ("garbage, 192.0.2.1", "192.0.2.1"), ("garbage, 10.0.0.2", "10.0.0.2"), ("192.0.2.1, _hidden, 10.0.0.2", "10.0.0.2"), (",", "10.0.0.1"), ("192.0.2.1,", "10.0.0.1"),
        ("192.0.2.1:4711", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1"), ("[2001:db8::1]:4711", "2001:db8::1"), ("\"[2001:db8::1]:4711\"", "2001:db8::1"),
        ("2001:db8::1, 2001:db8:f::2, ::1", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("192.0.2.1:", "10.0.0.1"), ("192.0.2.1:x", "10.0.0.1"), ("192.0.2.1:123456", "10.0.0.1"),
        ("[192.0.2.1]", "10.0.0.1"), ("[2001:db8::1", "10.0.0.1"), ("[2001:db8::1]x", "10.0.0.1"), ("fe80::1%eth0", "10.0.0.1"), ("127.0.0.1", "127.0.0.1"),
        ("192.0.2.1 192.0.2.2", "10.0.0.1"), ("for=192.0.2.1", "10.0.0.1"),
    ])
    func forwardedFor(value: String, expected: String) throws {
        #expect(try client("X-Forwarded-For: \(value)\r\n") == expected)
    }

    @Test(arguments: [
        ("for=192.0.2.1", "192.0.2.1"), ("For=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1"), ("proto=http; for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
        ("for=198.51.100.9, for=192.0.2.1", "192.0.2.1"), ("for=192.0.2.1, for=10.0.0.2", "192.0.2.1"), ("for=unknown", "10.0.0.1"), ("for=_x, for=10.0.0.2", "10.0.0.2"),
        ("proto=https", "10.0.0.1"), ("for=192.0.2.1, proto=https", "10.0.0.1"), ("for=\"_a,b;c\", for=192.0.2.1", "192.0.2.1"), ("for=\"192.0.2.1, for=10.0.0.2", "10.0.0.2"),
        // A quote that the client has left open hides nothing of what the proxy writes behind it.
        ("for=\", for=192.0.2.1", "192.0.2.1"), ("for=\"x;by=\", for=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1"), ("\", for=192.0.2.1, for=\"[2001:db8:f::2]\"", "192.0.2.1"),
        ("for", "10.0.0.1"), ("for=", "10.0.0.1"), ("by=192.0.2.1", "10.0.0.1"),
    ])
    func forwarded(value: String, expected: String) throws { #expect(try client("Forwarded: \(value)\r\n") == expected) }

    @Test func several() throws {
        #expect(try client("X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 192.0.2.1, 10.0.0.2\r\n") == "192.0.2.1")
        // The client has written the one that the proxy does not know.
        #expect(try client("Forwarded: for=192.0.2.9\r\nX-Forwarded-For: 192.0.2.1\r\n") == "192.0.2.1")
        #expect(try client("X-Real-IP: 192.0.2.9\r\n") == "10.0.0.1")
    }

    @Test func fuzzed() {
        let samples = ["192.0.2.1, 10.0.0.2", "for=\"[2001:db8::1]:4711\";proto=https, for=192.0.2.1", "[2001:db8::1]:1,,unknown"].map { Array($0.utf8) }
        let finding = fuzz(samples, rounds: 5000) { input, _ in
            let value = String(decoding: input, as: UTF8.self).filter { $0.isASCII && !$0.isNewline && $0 >= " " }
            for name in ["Forwarded", "X-Forwarded-For"] {
                // Whatever it says, the answer is an address; what is not trusted ends the way.
                let answer = try? client("\(name): \(value)\r\n")
                if let answer, IPAddress(answer) == nil { return "no address: \(answer)" }
            }
            return nil
        }
        #expect(finding == nil)
    }
}

extension RequestHeadParser {
    fileprivate static func whole(_ text: String) throws -> RequestHead? {
        var parser = RequestHeadParser()
        return try Array(text.utf8).withUnsafeBytes { try parser.parse($0)?.head }
    }
}
