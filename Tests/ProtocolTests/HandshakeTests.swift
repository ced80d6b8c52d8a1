import Testing

@testable import Protocol

@Suite struct HandshakeTests {
    /// FIPS 180-4's examples, and lengths around the padding's limits.
    @Test(arguments: [
        ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"), ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
        (String(repeating: "a", count: 55), "c1c8bbdc22796e28c0e15163d20899b65621d65a"),
        (String(repeating: "a", count: 56), "c2db330f6083854c99d4b5bfb6e8f29f201be699"),
        (String(repeating: "a", count: 63), "03f09f5b158a7a8cdad920bddc29b81c18a551f5"),
        (String(repeating: "a", count: 64), "0098ba824b5c16427bd7a1122a5a442a25ec644d"),
    ])
    func digest(_ text: String, _ digest: String) { #expect(SHA1.digest(Array(text.utf8)) == hex(digest)) }

    /// RFC 4648 §10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func base64(_ text: String, _ encoded: String) { #expect(Base64.encode(Array(text.utf8)) == encoded) }

    @Test func acceptOfSection13() {
        #expect(Handshake.accept(for: "dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    @Test func responseOfSection13() {
        let text = String(decoding: Handshake.response(key: "dGhlIHNhbXBsZSBub25jZQ==", subprotocol: "chat"), as: UTF8.self)
        #expect(
            text == "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
    }

    @Test func subprotocolCannotBreakOut() {
        let text = String(decoding: Handshake.response(key: "test", subprotocol: "a\r\nX: y"), as: UTF8.self)
        #expect(!text.contains("X: y"))
    }

    private func status(_ head: String) throws -> Int? {
        let parsed = try #require(try parseHead(head))
        do throws(HTTPError) {
            try Handshake.check(parsed)
            return nil
        } catch {
            if error.status == 426 {
                #expect(error.response.fields.contains { $0 == ("Sec-WebSocket-Version", "13") })
                #expect(error.response.fields.contains { $0 == ("Upgrade", "websocket") })
            }
            return error.status
        }
    }

    static let good =
        "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: test\r\n"

    @Test(arguments: [
        ("plain", good),
        (
            "any case",
            "host: a\r\nCONNECTION: upgrade\r\nUPGRADE: WebSocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n"
        ),
        ("Firefox", good.replacing("Connection: Upgrade", with: "Connection: keep-alive, Upgrade")),
        ("several Connection fields", "Connection: keep-alive\r\n" + good),
        ("several protocols offered", good.replacing("Upgrade: websocket", with: "Upgrade: h2c, websocket")),
        ("empty body announced", good + "Content-Length: 0\r\n"),
        ("longest key", good.replacing("test", with: String(repeating: "k", count: 256))),
    ])
    func accepted(_ name: String, _ fields: String) throws {
        #expect(try status("GET /ws/logs HTTP/1.1\r\n\(fields)\r\n") == nil)
    }

    @Test(arguments: [
        ("POST", "POST / HTTP/1.1", good, 405), ("HEAD", "HEAD / HTTP/1.1", good, 426), ("HTTP/1.0", "GET / HTTP/1.0", good, 400),
        ("no upgrade", "GET / HTTP/1.1", "Host: a\r\n", 426),
        ("no Connection", "GET / HTTP/1.1", good.replacing("Connection: Upgrade\r\n", with: ""), 426),
        ("other Upgrade", "GET / HTTP/1.1", good.replacing("Upgrade: websocket", with: "Upgrade: websockets"), 426),
        ("no version", "GET / HTTP/1.1", good.replacing("Sec-WebSocket-Version: 13\r\n", with: ""), 426),
        ("version 8", "GET / HTTP/1.1", good.replacing("13", with: "8"), 426),
        ("two versions", "GET / HTTP/1.1", good + "Sec-WebSocket-Version: 8\r\n", 426),
        ("no key", "GET / HTTP/1.1", good.replacing("Sec-WebSocket-Key: test\r\n", with: ""), 400),
        ("empty key", "GET / HTTP/1.1", good.replacing("test", with: ""), 400),
        ("key with a blank", "GET / HTTP/1.1", good.replacing("test", with: "te st"), 400),
        ("key beyond ASCII", "GET / HTTP/1.1", good.replacing("test", with: "tést"), 400),
        ("two keys", "GET / HTTP/1.1", good + "Sec-WebSocket-Key: other\r\n", 400),
        ("key too long", "GET / HTTP/1.1", good.replacing("test", with: String(repeating: "k", count: 257)), 400),
        ("with a body", "GET / HTTP/1.1", good + "Content-Length: 5\r\n", 400),
        ("with a chunked body", "GET / HTTP/1.1", good + "Transfer-Encoding: chunked\r\n", 400),
    ])
    func refused(_ name: String, _ line: String, _ fields: String, _ expected: Int) throws {
        #expect(try status("\(line)\r\n\(fields)\r\n") == expected)
    }
}
