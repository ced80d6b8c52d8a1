import Testing

@testable import Host

struct TextRulesTests {
    @Test(arguments: [
        ("127.0.0.1", true), ("127.255.0.9", true), ("::1", true), ("::ffff:127.0.0.1", true), ("0.0.0.0", false), ("::", false),
        ("192.168.1.1", false), ("::2", false), ("::ffff:10.0.0.1", false), ("localhost", false), ("", false), ("127.0.0", false),
    ])
    func loopback(text: String, isLoopback: Bool) {
        #expect(IPLiteral.isLoopback(text) == isLoopback)
    }

    @Test(arguments: [
        ("http://Host.Example", "http://host.example"), ("HTTPS://host:443", "https://host"), ("http://host:443", "http://host:443"),
        ("http://host:80", "http://host"), ("http://[::1]:8080", "http://[::1]:8080"), ("http://[0:0:0::1]", "http://[::1]"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"), ("http://a:65535", "http://a:65535"),
    ])
    func origin(text: String, normal: String) {
        #expect(WebOrigin(parsing: text)?.description == normal)
    }

    @Test(arguments: [
        "", "null", "host", "http://", "ftp://host", "http://host/", "http://host:0", "http://host:65536", "http://host:", "http://host:+8",
        "http://user@host", "http://host?x", "http://[::1", "http://[127.0.0.1]", "http://[::1]x", "http://ho st", "http://host:8080x",
    ])
    func noOrigin(text: String) {
        #expect(WebOrigin(parsing: text) == nil)
    }

    @Test(arguments: [
        ("", ""), ("https://Host.example/", "https://host.example"), ("https://host/live/ws", "https://host/live/ws"),
        ("http://host:8080/a", "http://host:8080/a"),
    ])
    func publicURL(text: String, normal: String) {
        #expect(TextRules.publicURL(text) == .fine(normal))
    }

    @Test(arguments: ["host", "https:/host", "https://host/?a", "https://host/#a", "https://host/a b", "//host", ":", "https://"])
    func noPublicURL(text: String) {
        #expect(TextRules.publicURL(text) == .wrong("is not the address of a site; write it like https://host.example/path"))
    }

    @Test(arguments: [("10.0.0.0/8", true), ("::1", true), ("fd00::/128", true), ("10.0.0.0/33", false), ("10.0.0.0/", false), ("x/8", false), ("::/129", false), ("", false)])
    func network(text: String, isFine: Bool) {
        #expect((TextRules.network(text) == .fine(text)) == isFine)
    }
}
