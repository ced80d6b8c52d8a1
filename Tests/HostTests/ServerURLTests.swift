import Testing

@testable import Host

struct ServerURLTests {
    @Test(arguments: [
        ("http://127.0.0.1:8080", false, "127.0.0.1", 8080, "", "127.0.0.1:8080"), ("ws://LOCALHOST", false, "localhost", 80, "", "localhost"),
        ("wss://[::1]:9/a/b/", true, "::1", 9, "/a/b", "[::1]:9"), ("https://h/", true, "h", 443, "", "h"),
    ])
    func parts(text: String, isSecure: Bool, host: String, port: Int, basePath: String, hostField: String) throws {
        let url = try ServerURL(parsing: text)
        #expect(url.isSecure == isSecure && url.host == host && url.port == port && url.basePath == basePath && url.hostField == hostField)
    }

    @Test func aUnixSocket() throws {
        let url = try ServerURL(parsing: "unix:/run/goleapai-ws/publish.sock")
        #expect(url.socketPath == "/run/goleapai-ws/publish.sock" && !url.isSecure && url.hostField == "localhost" && url.basePath.isEmpty)
        #expect(url.description == "unix:/run/goleapai-ws/publish.sock")
        #expect(try ServerURL(parsing: "unix:/" + String(repeating: "x", count: 106)).socketPath?.utf8.count == 107)
        for text in ["unix:", "unix:x", "unix:/" + String(repeating: "x", count: 107), "unix:/a\0b"] {
            #expect(throws: ServerURL.Refusal.self) { try ServerURL(parsing: text) }
        }
    }

    @Test(arguments: ["", "x", "ftp://x", "http://", "http:///x", "http://h:0", "http://h:65536", "http://u@h", "http://h/?q", "http://h/#f", "http://h/a b", "127.0.0.1:80"])
    func refused(text: String) {
        #expect(throws: ServerURL.Refusal.self) { try ServerURL(parsing: text) }
    }
}
