// The addresses of streams: what they ask for, and what is refused.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout
@testable import Server

@Suite struct EventStreamRouteTests {
    private let router = Router(
        hub: Hub(limits: Limits(), clock: ManualClock()), options: .forTests(), rules: .forTests { $0.allowedOrigins = ["https://page.example"] })

    private func stream(_ target: String, _ fields: [(String, String)] = []) throws -> Upgrade? {
        if case .upgrade(let upgrade) = router.route(try head("GET", target, fields), from: .local) { return upgrade }
        return nil
    }

    @Test(
        arguments: [
            ("/sse/logs", [.logs]), ("/sse/stats", [.stats]), ("/sse/providers", [.providers]), ("/sse/requests", [.requests]), ("/sse/all", [.all]),
            ("/sse?channels=logs,stats", [.logs, .stats]), ("/sse?channels=all", [.all]),
        ] as [(String, [Channel])])
    func channels(target: String, wanted: [Channel]) throws {
        let upgrade = try #require(try stream(target))
        #expect(upgrade.encoding == .eventStream && upgrade.encoding.spoken.rawValue == "sse")
        #expect(upgrade.subscription.channels.channels == wanted)
        #expect(!upgrade.welcomes && !upgrade.heartbeatIsJSON && upgrade.replay == nil && upgrade.fields.isEmpty && !upgrade.awaitsAuthentication)
    }

    /// The header says where a stream goes on; the query, where it began.
    @Test func lastEventID() throws {
        func replay(_ target: String, _ id: String?) throws -> ReplayRequest? {
            try #require(try stream(target, id.map { [("Last-Event-ID", $0)] } ?? [])).replay
        }
        let id = ReplayRequest.Since.id(epoch: "e", sequence: 7)
        #expect(try replay("/sse/logs", "e-7") == ReplayRequest(since: id))
        #expect(try replay("/sse/logs?since=5m&history=3", "e-7") == ReplayRequest(since: id))
        #expect(try replay("/sse/logs?since=5m&history=3", nil) == ReplayRequest(since: .ago(milliseconds: 300_000), last: 3))
        #expect(try replay("/sse/logs?history=3", "") == ReplayRequest(last: 3), "an empty one means none")
    }

    @Test func fields() throws {
        let upgrade = try #require(try stream("/sse/logs?heartbeat=json&welcome=true&level=warn", [("Origin", "https://page.example")]))
        #expect(upgrade.fields.map(\.0) == ["Access-Control-Allow-Origin", "Vary"])
        #expect(upgrade.heartbeatIsJSON && upgrade.welcomes && upgrade.subscription.filters.logs.severities == Severity.warn.andWorse)
    }

    @Test(
        arguments: [
            ("/sse", "needs channels from the start"), ("/sse?channels=", "invalid channel ''"), ("/sse/logs?channels=stats", "unknown parameter 'channels'"),
            ("/sse/logs?heartbeat=ping", "heartbeat 'ping' is not json or comment"), ("/sse/logs?auth=message", "a stream takes no messages"),
            ("/sse/logs?since=x", "since 'x' is neither"), ("/sse/stats?level=warn", "unknown parameter 'level'"),
        ])
    func refused(target: String, words: String) throws {
        let answer = try #require(try router.answer(to: head("GET", target, [("Origin", "https://page.example")])))
        #expect(answer.status == 400 && answer.text.contains(words), "\(answer.text)")
        #expect(answer["access-control-allow-origin"] == "https://page.example", "a page may see why")
    }

    @Test(arguments: ["5m", "2026-02-05T10:30:00Z", "e-7x", "E-7", "e", "gla_0123456789abcdef0123456789abcdef"])
    func idsThatAreNone(id: String) throws {
        let answer = try #require(try router.answer(to: head("GET", "/sse/logs", [("Last-Event-ID", id)])))
        #expect(answer.status == 400 && answer.text.contains("is not the id of an event"))
        #expect(!answer.text.contains("0123456789abcdef"))
        #expect(try router.answer(to: head("GET", "/sse/logs", [("Last-Event-ID", "e-7"), ("Last-Event-ID", "e-7")]))?.status == 400)
    }

    @Test func turnedOffOrStopping() throws {
        let hub = Hub(limits: Limits(), clock: ManualClock())
        let off = Router(hub: hub, options: .forTests(), rules: .forTests { $0.servesWebSockets = false })
        #expect(try off.answer(to: head("GET", "/sse/logs"))?.status == 404)
        #expect(try off.answer(to: head("GET", "/sse?channels=logs"))?.status == 404)
        let stopping = Router(hub: hub, options: .forTests { $0.isDraining = { true } }, rules: .forTests())
        #expect(try stopping.answer(to: head("GET", "/sse/logs"))?.status == 503)
        for (path, status) in [("/sse/nope", 404), ("/sse/", 404), ("/sse/logs/", 404)] {
            #expect(try router.answer(to: head("GET", path))?.status == status)
        }
        #expect(try router.answer(to: head("POST", "/sse/logs"))?["allow"] == "GET, HEAD")
    }
}
