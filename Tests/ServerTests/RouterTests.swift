// Addresses and methods, and what an address may ask for.

import Base
import Host
import Protocol
import TestSupport
import Testing

@testable import Fanout
@testable import Server

@Suite struct RouterTests {
    private func router(
        _ change: (inout RouterOptions) -> Void = { _ in }, rules: (inout RouterRules) -> Void = { _ in }
    ) -> Router {
        Router(hub: Hub(limits: Limits(), clock: ManualClock()), options: .forTests(change), rules: .forTests(rules))
    }

    static let answers: [(String, String, Int, String?)] = [
        ("GET", "/health", 200, nil), ("HEAD", "/health", 200, nil), ("POST", "/health", 405, "GET, HEAD"),
        ("GET", "/version", 200, nil), ("POST", "/asyncapi.yaml", 405, "GET, HEAD"),
        ("DELETE", "/version", 405, "GET, HEAD"), ("GET", "/admin/ws/stats", 200, nil),
        ("PUT", "/admin/ws/stats", 405, "GET, HEAD"),
        ("GET", "/admin/ws/broadcast", 405, "POST"), ("GET", "/admin/ws/clients/1", 405, "DELETE"),
        ("POST", "/admin/ws/clients", 405, "GET, HEAD"),
        ("DELETE", "/admin/ws/clients/x", 404, nil), ("DELETE", "/admin/ws/clients/", 404, nil),
        ("DELETE", "/admin/ws/clients/-1", 404, nil),
        ("DELETE", "/admin/ws/clients/18446744073709551616", 404, nil), ("GET", "/nope", 404, nil), ("POST", "/", 405, "GET, HEAD"), ("GET", "/index.html", 404, nil),
        ("GET", "/Health", 404, nil),
        ("GET", "/health/", 404, nil), ("GET", "//health", 404, nil), ("GET", "/%68ealth", 200, nil), ("GET", "/ws", 426, nil),
        ("GET", "/ws/logs", 426, nil),
        ("HEAD", "/ws/logs", 426, nil), ("POST", "/ws/logs", 405, "GET, HEAD"), ("GET", "/ws/nope", 404, nil),
        ("GET", "/ws/", 404, nil),
        ("GET", "/ws/logs/", 404, nil), ("OPTIONS", "/health", 405, "GET, HEAD"), ("GET", "/ready", 503, nil),
    ]

    @Test(arguments: answers)
    func addresses(method: String, target: String, status: Int, allow: String?) throws {
        let answer = try #require(try router().answer(to: head(method, target)))
        #expect(answer.status == status)
        #expect(answer["allow"] == allow)
        #expect(answer.json != nil)
        if status >= 400, target != "/ready" { #expect(answer.json?["error"]?.string != nil) }
        if status == 426 { #expect(answer["sec-websocket-version"] == "13") }
    }

    /// Without authentication, `/admin` is for this machine alone.
    @Test(arguments: ["/admin/ws/stats", "/admin/ws/clients"])
    func adminIsLocal(target: String) throws {
        let router = router()
        #expect(try router.answer(to: head("GET", target), from: .stranger)?.status == 403)
        #expect(try router.answer(to: head("GET", target, [("X-Forwarded-For", "127.0.0.1")]))?.status == 403)
        #expect(try router.answer(to: head("GET", target, version: "1.0"))?.status == 403)
        #expect(try router.answer(to: head("POST", "/admin/ws/broadcast"), body: "{}", from: .stranger)?.status == 403)
        #expect(try router.answer(to: head("GET", "/health"), from: .stranger)?.status == 200)
        #expect(try router.answer(to: head("GET", target, [("Host", "evil.example")]))?.status == 403)
    }

    @Test func bodiesAreBounded() throws {
        let router = router()
        guard case .request(let most, _) = router.route(try head("POST", "/admin/ws/broadcast"), from: .local) else {
            Issue.record("no request")
            return
        }
        #expect(most == 1_000_000)
        guard case .request(0, _) = router.route(try head("GET", "/health"), from: .local) else {
            Issue.record("a body for /health")
            return
        }
    }

    // MARK: upgrade

    private func upgrade(
        _ target: String, _ fields: [(String, String)] = [], _ change: (inout RouterOptions) -> Void = { _ in }
    ) throws -> Upgrade? {
        if case .upgrade(let upgrade) = router(change).route(try head("GET", target, upgradeFields + fields), from: .local) {
            return upgrade
        }
        return nil
    }

    @Test(
        arguments: [
            ("/ws", []), ("/ws/logs", [.logs]), ("/ws/stats", [.stats]), ("/ws/providers", [.providers]),
            ("/ws/requests", [.requests]), ("/ws/all", [.all]),
            ("/ws?channels=logs", [.logs]), ("/ws?channels=logs,stats", [.logs, .stats]), ("/ws?channels=all", [.all]),
            ("/ws?channels=logs%2Crequests", [.logs, .requests]),
            ("/ws?channels=logs,logs", [.logs]),
        ] as [(String, [Channel])])
    func channels(target: String, wanted: [Channel]) throws {
        let upgrade = try #require(try upgrade(target))
        #expect(upgrade.subscription.channels.channels == wanted)
        #expect(upgrade.subscription.filters == Filters(statsInterval: 5))
        #expect(!upgrade.welcomes && !upgrade.heartbeatIsJSON && upgrade.subprotocol == nil)
    }

    @Test func parameters() throws {
        let upgrade = try #require(
            try upgrade(
                "/ws/all?level=warn&provider_id=p&q=Caf%C3%A9+au&window=1h&interval=60&only_errors=true&min_latency_ms=5&welcome=true&heartbeat=json"
            ))
        let filters = upgrade.subscription.filters
        #expect(filters.logs.severities == Severity.warn.andWorse)
        #expect(String(decoding: filters.logs.contains, as: UTF8.self) == "café au")
        #expect(filters.stats == StatsGroup(window: "1h", interval: 60))
        #expect(filters.requests.onlyErrors && filters.requests.minLatency == 5)
        // One parameter for each channel that knows it.
        #expect(
            filters.logs.providerIDs == [Array("p".utf8)] && filters.requests.providerIDs == filters.logs.providerIDs
                && filters.providers == filters.logs.providerIDs)
        #expect(upgrade.welcomes && upgrade.heartbeatIsJSON)
    }

    static let refused: [(String, String)] = [
        ("/ws?channels=nope", "invalid channel 'nope'"), ("/ws?channels=", "invalid channel ''"),
        ("/ws?channels=logs,", "invalid channel ''"),
        ("/ws?channels=LOGS", "invalid channel"), ("/ws/logs?channels=stats", "unknown parameter 'channels'"),
        ("/ws/logs?foo=1", "unknown parameter 'foo'; known here are welcome, heartbeat, since, history, component, level, provider_id, q"),
        ("/ws?level=warn", "unknown parameter 'level'; known here are welcome, heartbeat"),
        ("/ws/stats?level=warn", "unknown parameter 'level'"),
        ("/ws/logs?window=5m", "unknown parameter 'window'"), ("/ws/logs?level=loud", "level 'loud'"),
        ("/ws/logs?level", "level ''"),
        ("/ws/logs?level=warn&level=warn", "the parameter 'level' stands twice"),
        ("/ws?channels=logs&channels=stats", "the parameter 'channels' stands twice"),
        ("/ws/stats?interval=0", "interval '0'"), ("/ws/logs?welcome=yes", "welcome 'yes' is not true or false"),
        ("/ws/logs?heartbeat=xml", "heartbeat 'xml' is not json or ping"),
        ("/ws/logs?q=" + String(repeating: "x", count: 257), "q is longer than 256 bytes"),
    ]

    @Test(arguments: refused)
    func refusesParameters(target: String, words: String) throws {
        let answer = try #require(try router().answer(to: head("GET", target, upgradeFields)))
        #expect(answer.status == 400)
        #expect(answer.json?["error"]?.string?.hasPrefix(words) == true, "\(answer.text)")
    }

    @Test func subprotocols() throws {
        #expect(try upgrade("/ws", [("Sec-WebSocket-Protocol", "goleapai.v1.json")])?.subprotocol == "goleapai.v1.json")
        #expect(try upgrade("/ws", [("Sec-WebSocket-Protocol", "other, goleapai.v1.json")])?.subprotocol == "goleapai.v1.json")
        let packed = try upgrade("/ws", [("Sec-WebSocket-Protocol", "other, goleapai.v1.msgpack, goleapai.v1.json")])
        #expect(packed?.subprotocol == "goleapai.v1.msgpack" && packed?.encoding.form == .messagePack)
        #expect(try upgrade("/ws", [("Sec-WebSocket-Protocol", "goleapai.v1.json, goleapai.v1.msgpack")])?.encoding.form == .text)
        #expect(try upgrade("/ws")?.encoding.form == .text)
        #expect(try upgrade("/ws", [("Sec-WebSocket-Protocol", "other")]) == nil)
        #expect(try upgrade("/ws", [("Sec-WebSocket-Protocol", "GoLeapAI.v1.json")]) == nil)
        let answer = try router().answer(to: head("GET", "/ws", upgradeFields + [("Sec-WebSocket-Protocol", "other")]))
        #expect(answer?.status == 400)
    }

    @Test func whenItDoesNotServe() throws {
        let draining = try router { $0.isDraining = { true } }.answer(to: head("GET", "/ws/logs", upgradeFields))
        #expect(draining?.status == 503)
        #expect(draining?["retry-after"] == "5")
        let publishing = try router { $0.isDraining = { true } }.answer(to: head("POST", "/admin/ws/broadcast"))
        #expect(publishing?.status == 503)
        #expect(publishing?["retry-after"] == "5")
        let off = router(rules: { $0.servesWebSockets = false })
        for target in ["/ws", "/ws/logs"] { #expect(try off.answer(to: head("GET", target, upgradeFields))?.status == 404) }
        #expect(try off.answer(to: head("GET", "/health"))?.status == 200)
    }

    // MARK: pages of other origins

    @Test func preflight() throws {
        let router = router(rules: { $0.allowedOrigins = ["https://page.example.org"] })
        let page = [("Origin", "https://page.example.org")]
        let answer = try #require(try router.answer(to: head("OPTIONS", "/health", page)))
        #expect(answer.status == 204)
        #expect(answer["access-control-allow-origin"] == "https://page.example.org")
        #expect(answer["access-control-allow-methods"] == "GET, HEAD")
        #expect(answer["vary"] == "Origin")
        #expect(
            try router.answer(to: head("GET", "/version", page))?["access-control-allow-origin"] == "https://page.example.org")
        #expect(
            try router.answer(to: head("GET", "/ws/logs?x=1", upgradeFields + page))?["access-control-allow-origin"]
                == "https://page.example.org")
        // Never on /admin.
        for (method, path) in [("OPTIONS", "/admin/ws/broadcast"), ("POST", "/admin/ws/broadcast"), ("GET", "/admin/ws/stats")] {
            let answer = try #require(try router.answer(to: head(method, path, page)))
            #expect(answer.status == 403 && answer["access-control-allow-origin"] == nil)
        }
        #expect(router.hub.refusals.count(.origin) == 3)
        #expect(try router.answer(to: head("GET", "/version", [("Origin", "https://evil.example")]))?.status == 403)
        #expect(try upgrade("/ws/logs", [("Origin", "https://evil.example")]) == nil)
    }

    // MARK: readiness

    static let readiness: [([(String, Bool)], Bool, String, Int, [String])] = [
        ([], false, "", 503, []), ([("stats", true)], false, "", 200, ["stats"]), ([("stats", false)], false, "", 503, ["stats"]),
        ([("stats", false), ("requests", true)], false, "", 200, ["stats", "requests"]),
        ([("stats", true)], true, "", 503, ["stats"]),
        ([("stats", false), ("requests", true)], false, "?source=stats", 503, ["stats"]),
        ([("stats", false), ("requests", true)], false, "?source=requests", 200, ["requests"]),
        ([("stats", false), ("journal", true)], false, "?source=database", 503, ["stats"]),
        ([("stats", true), ("requests", false), ("journal", false)], false, "?source=database", 200, ["stats", "requests"]),
        ([("stats", true)], false, "?source=journal", 400, []), ([("stats", true)], false, "?source=", 400, []),
        ([("stats", true)], false, "?x=1", 400, []),
        ([("journal", true)], false, "?source=database", 400, []),
    ]

    @Test(arguments: readiness)
    func ready(sources: [(String, Bool)], isDraining: Bool, query: String, status: Int, named: [String]) throws {
        let router = router {
            $0.sources = {
                sources.map {
                    SourceReport(
                        name: $0.0, isWorking: $0.1, state: $0.1 ? "working" : "failing", lagMilliseconds: 7,
                        why: $0.1 ? "" : "no such file")
                }
            }
            $0.isDraining = { isDraining }
        }
        let answer = try #require(try router.answer(to: head("GET", "/ready" + query)))
        #expect(answer.status == status)
        #expect((answer["retry-after"] != nil) == (status == 503))
        guard status != 400 else { return }
        #expect(answer.json?["ready"]?.bool == (status == 200))
        #expect(answer.json?["draining"]?.bool == isDraining)
        #expect(answer.json?["sources"]?.array?.compactMap { $0["name"]?.string } ?? [] == named)
        for source in answer.json?["sources"]?.array ?? [] {
            #expect(source["lag_ms"]?.int == 7)
            #expect(source["why"]?.string == (source["state"]?.string == "working" ? "" : "no such file"))
        }
    }

    @Test func specification() throws {
        let answer = try #require(try router().answer(to: head("GET", "/asyncapi.yaml")))
        #expect(answer.status == 200 && answer["content-type"] == "application/yaml" && answer.text.contains("\nasyncapi: 3.0.0\n"))
        let tag = try #require(answer["etag"])
        for (known, status) in [(tag, 304), ("W/\(tag)", 304), ("\"x\", \(tag)", 304), ("*", 304), ("\"x\"", 200)] {
            #expect(try router().answer(to: head("GET", "/asyncapi.yaml", [("If-None-Match", known)]))?.status == status, "\(known)")
        }
    }

    @Test func version() throws {
        #expect(
            try router().answer(to: head("GET", "/version"))?.text
                == #"{"name":"goleapai-ws","version":"1.2.3","commit":"abc","swift":"6"}"#)
    }
}
