// That nothing goes around the masking: events, their types, state, and rows whose place must still be found.

import Base
import Protocol
import Testing

@testable import Fanout

@Suite struct RedactionTests {
    private let hub = Hub(limits: Limits(), clock: SystemClock())
    private static let key = "gla_0123456789abcdef"

    private func messages() -> [String] {
        let (segments, head) = hub.snapshot()
        return (1..<head).compactMap { sequence in
            segments.last { $0.firstSequence <= sequence }.map { segment in
                String(decoding: segment.text(of: segment.entry(at: Int(sequence - segment.firstSequence)).pointee.json), as: UTF8.self)
            }
        }
    }

    private func publish(_ data: String, type: String = "log", origin: EventOrigin = .producer) {
        hub.publish([EventDraft(channel: .logs, type: type, timestamp: Instant(milliseconds: 0), data: Array(data.utf8), origin: origin)])
    }

    @Test func events() {
        publish(#"{"message":"\#(RedactionTests.key)"}"#)
        publish("{}", type: "order.\(RedactionTests.key)")
        publish("\"\(RedactionTests.key)\"")
        let all = messages()
        #expect(all[0].hasSuffix(#""data":{"message":"gla_[redacted]"}}"#))
        #expect(all[1].hasPrefix(#"{"type":"order.gla_[redacted]","#))
        #expect(all[2].hasSuffix(#""data":"gla_[redacted]"}"#))
        #expect(hub.redaction.count(.gatewayKey) == 3)
    }

    @Test func indexed() throws {
        hub.redaction.apply(isEnabled: true, fields: ["component", "user_id"])
        publish(#"{"message":"a \#(RedactionTests.key)","component":"router","user_id":"u1","provider_id":"p1"}"#)
        let segment = try #require(hub.snapshot().segments.last)
        let entry = segment.entry(at: 0).pointee
        func text(_ range: FieldRange) -> String { String(decoding: segment.text(of: range), as: UTF8.self) }
        #expect(text(entry.message) == "a gla_[redacted]")
        #expect(text(entry.component) == "[redacted]" && text(entry.userID) == "[redacted]" && text(entry.providerID) == "p1")
    }

    @Test func rowsAreFoundAgain() throws {
        hub.redaction.apply(isEnabled: true, fields: ["request_id"])
        publish(#"{"request_id":"r-\u00411"}"#, type: "request", origin: .table)
        publish(#"{"request_id":"r-2"}"#, type: "request", origin: .producer)
        let segment = try #require(hub.snapshot().segments.last)
        func id(_ index: Int) -> String { String(decoding: segment.text(of: segment.entry(at: index).pointee.requestID), as: UTF8.self) }
        #expect(id(0) == "r-A1")
        #expect(id(1) == "[redacted]")
        #expect(messages().allSatisfy { $0.hasSuffix(#""data":{"request_id":"[redacted]"}}"#) })
    }

    @Test func state() {
        hub.updateProviders([(id: "p", timestamp: Instant(milliseconds: 0), data: Array(#"{"message":"\#(RedactionTests.key)"}"#.utf8))])
        #expect(String(decoding: hub.providerFrames(.text, wanted: []).frames, as: UTF8.self).contains(#"{"message":"gla_[redacted]"}"#))
        let group = StatsGroup(window: "5m", interval: 5)
        _ = hub.join(group, .text)
        hub.updateStats(group, at: Instant(milliseconds: 0), data: Array(#"{"m":"\#(RedactionTests.key)"}"#.utf8))
        #expect(hub.redaction.count(.gatewayKey) == 2)
    }

    @Test func off() {
        hub.redaction.apply(isEnabled: false, fields: ["message"])
        publish(#"{"message":"\#(RedactionTests.key)"}"#)
        #expect(messages()[0].contains(RedactionTests.key))
        #expect(RedactionRule.allCases.allSatisfy { hub.redaction.count($0) == 0 })
    }
}
