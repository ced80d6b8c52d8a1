// The Unix socket for publishers: what is served there, and to whom.

import Base
import Fanout
import Host
import Protocol
import TestSupport
import Testing

@testable import Server

extension PeerAddress {
    fileprivate static let producer = PeerAddress.local(LocalPeer(process: 812, user: 998, group: 997, isTrusted: true))
    fileprivate static let intruder = PeerAddress.local(LocalPeer(process: 813, user: 1000, group: 1001, isTrusted: false))
}

@Suite struct LocalRoutesTests {
    private let hub: Hub
    private let router: Router

    init() {
        hub = Hub(limits: Limits(), clock: ManualClock())
        router = Router(hub: hub, options: .forTests(), rules: .forTests { $0.allowedOrigins = ["https://page.example"] })
    }

    static let answers: [(method: String, path: String, status: Int)] = [
        ("GET", "/health", 200), ("HEAD", "/health", 200), ("GET", "/ready", 503), ("GET", "/version", 200), ("GET", "/asyncapi.yaml", 403),
        ("POST", "/admin/ws/broadcast", 400), ("GET", "/admin/ws/broadcast", 405), ("POST", "/health", 405), ("DELETE", "/version", 405),
        ("OPTIONS", "/health", 405), ("GET", "/ws", 403), ("GET", "/ws/all", 403), ("GET", "/sse/all", 403), ("GET", "/admin/ws/stats", 403),
        ("GET", "/admin/ws/clients", 403), ("DELETE", "/admin/ws/clients/1", 403), ("GET", "/", 403), ("GET", "/none", 404),
    ]

    @Test(arguments: answers) func served(method: String, path: String, status: Int) throws {
        let answer = try #require(try router.answer(to: head(method, path, path == "/ws" ? upgradeFields : []), from: .producer))
        #expect(answer.status == status, "\(answer.text)")
        if status >= 400, path != "/ready" { #expect(answer.json?["error"] != nil) }
    }

    @Test func whileStopping() throws {
        let router = Router(hub: hub, options: .forTests { $0.isDraining = { true } }, rules: .forTests())
        let answer = try #require(try router.answer(to: head("POST", "/admin/ws/broadcast"), from: .producer))
        #expect(answer.status == 503)
        #expect(answer["retry-after"] == "5")
    }

    @Test(arguments: answers) func nothingForOthers(method: String, path: String, status: Int) throws {
        let answer = try #require(try router.answer(to: head(method, path), from: .intruder))
        #expect(answer.status == 403)
        #expect(answer.text.contains("members of its group; you are user 1000 with group 1001"))
    }

    /// Host and Origin are about browsers, and a proxy's fields about peers behind it.
    @Test func noChecksOfBrowsers() throws {
        let fields = [("Host", "anything.example"), ("Origin", "https://evil.example"), ("Via", "1.1 x")]
        let event = #"{"channel":"logs","type":"x","data":{}}"#
        #expect(try router.answer(to: head("POST", "/admin/ws/broadcast", fields), body: event, from: .producer)?.status == 200)
        #expect(try router.answer(to: head("POST", "/admin/ws/broadcast", fields), body: event, from: .local)?.status == 403)
        // Nor is anything said to pages.
        let answer = try router.answer(to: head("GET", "/health", [("Origin", "https://page.example")]), from: .producer)
        #expect(answer?["access-control-allow-origin"] == nil)
    }

    /// One bucket and one memory of keys for both ways in.
    @Test func theSameLimits() throws {
        let event = #"{"channel":"logs","type":"x","data":{}}"#
        let batch = "[" + Array(repeating: event, count: 51).joined(separator: ",") + "]"
        #expect(try router.answer(to: head("POST", "/admin/ws/broadcast"), body: batch, from: .producer)?.status == 413)
        let keyed = try head("POST", "/admin/ws/broadcast", [("Idempotency-Key", "k")])
        let first = try router.answer(to: keyed, body: event, from: .producer)
        #expect(first?.status == 200)
        #expect(try router.answer(to: keyed, body: event, from: .producer)?.text == first?.text)
        // Who publishes is who asks: a key of somebody else is another one.
        let other = try router.answer(to: keyed, body: event, from: .local)
        #expect(other?.status == 200 && other?.text != first?.text)
    }
}
