import Testing

@testable import Protocol

@Suite struct ResponseTests {
    private func text(_ response: Response, keepAlive: Bool = true, headOnly: Bool = false) -> String {
        String(decoding: response.serialize(keepAlive: keepAlive, headOnly: headOnly), as: UTF8.self)
    }

    @Test func json() {
        #expect(
            text(Response(status: 200, json: "{}", fields: [("Cache-Control", "no-store")]))
                == "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}"
        )
    }

    @Test func headOnlyTellsTheLength() {
        let answer = text(Response(status: 200, body: [1, 2, 3], contentType: "text/plain"), headOnly: true)
        #expect(answer.contains("Content-Length: 3\r\n") && answer.hasSuffix("\r\n\r\n"))
    }

    @Test func closing() { #expect(text(Response(status: 200), keepAlive: false).contains("Connection: close\r\n")) }

    @Test func errorText() {
        #expect(text(Response.error(400, "invalid \"x\"\n")).hasSuffix(#"{"error":"invalid \"x\"\n"}"#))
        #expect(text(HTTPError(405, "method not allowed", fields: [("Allow", "GET")]).response).contains("\r\nAllow: GET\r\n"))
    }

    @Test func upgradeIsNamedInConnection() {
        let answer = text(HTTPError(426, "upgrade", fields: Handshake.upgradeFields).response, keepAlive: false)
        #expect(answer.contains("Upgrade: websocket\r\n") && answer.contains("Connection: close, Upgrade\r\n"))
    }

    /// RFC 9110 §6.4.1.
    @Test(arguments: [101, 204, 304]) func noBody(_ status: Int) {
        let answer = text(Response(status: status, body: [1]))
        #expect(!answer.contains("Content-Length") && answer.hasSuffix("\r\n\r\n"))
    }

    @Test func streamEndsWithTheConnection() {
        let head = String(
            decoding: Response(status: 200, contentType: "text/event-stream").head(keepAlive: true, bodyBytes: nil), as: UTF8.self
        )
        #expect(head == "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    }

    @Test(arguments: ["a\r\nSet-Cookie: x", "a\nb", "a\r", "\0", "a\u{7F}", "\r\n\r\n<html>"])
    func valuesCannotEndTheField(_ value: String) {
        let bytes = Response(status: 200, fields: [("X-A", value)]).serialize(keepAlive: true, headOnly: false)
        let lines = bytes.split(separator: 0x0A).map { $0.filter { $0 != 0x0D } }
        #expect(lines.map { String(decoding: $0.prefix(4), as: UTF8.self) } == ["HTTP", "X-A:", "Cont", "Conn", ""])
        #expect(!bytes.contains(0) && !bytes.contains(0x7F))
    }

    @Test(arguments: ["", "a b", "a:", "a\r\nb", "Content-Length", "transfer-encoding", "CONNECTION"])
    func unusableNamesAreLeftOut(_ name: String) {
        let plain = Response(status: 200).serialize(keepAlive: true, headOnly: false)
        #expect(Response(status: 200, fields: [(name, "1")]).serialize(keepAlive: true, headOnly: false) == plain)
    }
}
