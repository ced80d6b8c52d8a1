// Queries of WebSocket addresses, mutated: an upgrade, or an answer that says why not.

import Protocol
import TestSupport
import Testing

@testable import Fanout
@testable import Server

@Suite struct QueryFuzzTests {
    @Test func everyQueryIsAnswered() throws {
        let samples = [
            "/ws/logs?level=warn&component=a,b&q=x&since=5m&history=10", "/ws?channels=logs,stats&window=1h&interval=5&since=8f3k2-1045",
            "/ws/requests?provider_id=x&model_id=y&only_errors=true&min_latency_ms=100&since=2026-02-05T10:30:00%2B01:00",
            "/ws/all?welcome=true&heartbeat=json&since=2026-02-05T10:30:00Z", "/ready?source=journal", "/admin/ws/clients/1",
        ]
        let router = Router(hub: Hub(limits: Limits(), clock: ManualClock()), options: .forTests(), rules: .forTests())
        let finding = fuzz(samples.map { Array($0.utf8) }, rounds: 3000) { input, _ in
            let text = Array("GET ".utf8) + input + Array(" HTTP/1.1\r\nHost: localhost\r\n".utf8)
                + upgradeFields.flatMap { Array("\($0.0): \($0.1)\r\n".utf8) } + Array("\r\n".utf8)
            var parser = RequestHeadParser()
            // A head that is refused as such never comes here.
            guard let parsed = try? text.withUnsafeBytes({ try parser.parse($0) }) else { return nil }
            if case .answer(let response) = router.route(parsed.head, from: .local) {
                guard (400..<600).contains(response.status), response.json?["error"]?.string?.isEmpty == false else { return "\(response.status)" }
                // An answer is no larger than its cause, the words of our own aside.
                if response.body.count > input.count * 6 + 400 { return "\(response.body.count) bytes" }
            }
            return nil
        }
        #expect(finding == nil)
    }
}
