// Messages of a client, mutated: every one is answered or obeyed, and the connection stays.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct MessageFuzzTests {
    static let samples = [
        #"{"type":"subscribe","id":"1","data":{"channels":["stats","providers"],"filters":{"logs":{"level":"warn"},"stats":{"window":"1h","interval":10}},"since":"8f3k2-1045","history":100}}"#,
        #"{"type":"subscribe","id":2,"data":{"channels":["logs"],"since":"5m","filters":{"logs":{"q":"x","component":["a","b"]}}}}"#,
        #"{"type":"subscribe","data":{"channels":["requests"],"since":"2026-02-05T10:30:00Z","history":3}}"#,
        #"{"type":"subscribe","data":{"channels":["all"],"since":"ml9bes00-3"}}"#, #"{"type":"unsubscribe","id":"3","data":{"channels":["stats"]}}"#,
        #"{"type":"ping","id":"4"}"#, #"{"type":"pong"}"#, #"{"type":"auth","data":{"token":"x"}}"#,
    ].map { Array($0.utf8) }

    @Test func everyMessageIsSurvived() throws {
        var limits = Limits()
        limits.messagesPerSecond = 0
        limits.historyEventsMax = 32
        let clock = ManualClock()
        let rig = try Rig(limits, shards: 1, clock: clock)
        for number in 0..<60 { rig.hub.publish([draft(number % 2 == 0 ? .logs : .requests, #"{"n":\#(number),"level":"warn"}"#)]) }
        var client = try rig.connect()
        try client.upgrade(rig.desk.register(Upgrade(subscription: try ModelFilter([.providers]).subscription())))
        let target = rig.desk.register(Upgrade(subscription: try ModelFilter([.providers]).subscription()))
        var number = 0
        let finding = try fuzz(MessageFuzzTests.samples, rounds: 2000) { input, generator in
            number += 1
            try client.send(opcode: 1, input)
            // What follows says that the message has been dealt with.
            try client.send(#"{"type":"ping","id":"end \#(number)"}"#)
            var isValid = false
            while true {
                guard let message = try client.message() else {
                    // Text that is no UTF-8 ends a connection (RFC 6455 §8.1); everything else does not.
                    guard client.closeCode == 1007, !UTF8Validator.isValid(input.withUnsafeBytes { UnsafeRawBufferPointer($0) }) else {
                        return "closed with \(client.closeCode.map { "\($0)" } ?? "nothing")"
                    }
                    client.end()
                    client = try rig.connect()
                    try client.upgrade(target)
                    return nil
                }
                if message["type"]?.string == "pong", message["id"]?.string == "end \(number)" { break }
                isValid = isValid || message["type"]?.string == "error"
            }
            if generator.chance(10) { rig.hub.publish([draft(.logs, #"{"n":1}"#)]) }
            return nil
        }
        #expect(finding == nil)
        rig.settle()
        #expect(rig.imbalance() == nil)
    }

    /// A `since` that is taken for an id is one, and says the same as its text.
    @Test func wordsOfSince() {
        let samples = ["8f3k2-1045", "5m", "1h30m", "2026-02-05T10:30:00Z", "2026-02-05T12:30:00.000 02:00", "0", "zz-18446744073709551615"]
        let finding = fuzz(samples.map { Array($0.utf8) }, rounds: 5000) { input, _ in
            let text = String(decoding: input, as: UTF8.self)
            switch ReplayRequest.since(text) {
            case .id(let epoch, let sequence):
                let digits = text.split(separator: "-").last.map { $0.drop { $0 == "0" } } ?? ""
                let isSame = text.hasPrefix(epoch + "-") && (String(sequence) == (digits.isEmpty ? "0" : String(digits)) || sequence == .max)
                return isSame ? nil : "\(epoch)-\(sequence)"
            case .ago(let milliseconds): return milliseconds >= 0 ? nil : "in the future"
            case .instant, nil: return nil
            }
        }
        #expect(finding == nil)
    }
}
