// The subscription protocol, message by message.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct ConversationTests {
    private func client(_ rig: Rig, _ filter: ModelFilter = ModelFilter([])) throws -> SocketClient { try rig.subscribe(filter) }

    /// The channels that the client is told to have.
    private func ack(_ client: SocketClient, _ text: String, id: String = "1") throws -> [String] {
        try client.send(text)
        let message = try #require(try client.message())
        #expect(message["type"]?.string == "ack", "\(message)")
        #expect(message["id"]?.string == id)
        return message["data"]?["channels"]?.array?.compactMap(\.string) ?? []
    }

    private func subscribe(_ channels: String, _ filters: String = "{}", id: String = "1", type: String = "subscribe") -> String {
        #"{"type":"\#(type)","id":"\#(id)","data":{"channels":[\#(channels.split(separator: ",").map { "\"\($0)\"" }.joined(separator: ","))],"filters":\#(filters)}}"#
    }

    static let refused: [(String, String, String)] = [
        ("", "invalid_json", "the message is not JSON"), ("{", "invalid_json", ""), ("ping", "invalid_json", ""),
        ("{}{}", "invalid_json", ""),
        (#"{"type":"ping",}"#, "invalid_json", ""), ("{\"type\":\"ping\u{1}\"}", "invalid_json", ""),
        (String(repeating: "[", count: 17) + String(repeating: "]", count: 17), "invalid_json", ""),
        ("[]", "invalid_message", "the message is not an object"), ("3", "invalid_message", ""), ("null", "invalid_message", ""),
        ("{}", "invalid_message", "the message has no type"), (#"{"type":3}"#, "invalid_message", "the message has no type"),
        (#"{"type":"ping","id":true}"#, "invalid_message", "id is neither text nor number"),
        (#"{"type":"ping","id":null}"#, "invalid_message", ""),
        (#"{"type":"ping","id":["1"]}"#, "invalid_message", ""), (#"{"type":"Ping"}"#, "unknown_type", "unknown type 'Ping'"),
        (#"{"type":""}"#, "unknown_type", "unknown type ''"), (#"{"type":"log"}"#, "unknown_type", ""),
        (#"{"type":"subscribe"}"#, "invalid_message", "data.channels is not a list"),
        (#"{"type":"subscribe","data":[]}"#, "invalid_message", ""),
        (#"{"type":"subscribe","data":{"channels":"logs"}}"#, "invalid_message", "data.channels is not a list"),
        (#"{"type":"subscribe","data":{"channels":[]}}"#, "invalid_message", "data.channels is empty"),
        (#"{"type":"subscribe","data":{"channels":["nope"]}}"#, "invalid_channel", "invalid channel"),
        (#"{"type":"subscribe","data":{"channels":["LOGS"]}}"#, "invalid_channel", ""),
        (#"{"type":"subscribe","data":{"channels":[1,null]}}"#, "invalid_channel", ""),
        (#"{"type":"subscribe","data":{"channels":["logs"],"filters":[]}}"#, "invalid_filter", "data.filters is not an object"),
        (
            #"{"type":"subscribe","data":{"channels":["logs"],"filters":{"logs":{"level":"loud"}}}}"#, "invalid_filter",
            "invalid filter"
        ),
        (#"{"type":"subscribe","data":{"channels":["logs"],"filters":{"logs":[]}}}"#, "invalid_filter", ""),
        (#"{"type":"subscribe","data":{"channels":["logs"],"filters":{"logs":{"window":"5m"}}}}"#, "invalid_filter", ""),
        (#"{"type":"subscribe","data":{"channels":["logs"],"filters":{"logs":{"q":{"a":1}}}}}"#, "invalid_filter", ""),
        (#"{"type":"subscribe","data":{"channels":["logs"],"filters":{"logs":{"level":["warn",1]}}}}"#, "invalid_filter", ""),
        (#"{"type":"unsubscribe","data":{"channels":["nope"]}}"#, "invalid_channel", ""),
        (#"{"type":"unsubscribe"}"#, "invalid_message", ""),
    ]

    /// Every failure is answered, and the connection stays up, subscribed to nothing.
    @Test(arguments: refused)
    func refusals(text: String, code: String, words: String) throws {
        let rig = try Rig(shards: 1)
        let client = try client(rig)
        try client.send(text)
        let message = try #require(try client.message())
        #expect(message["type"]?.string == "error")
        #expect(message["data"]?["code"]?.string == code, "\(message)")
        if !words.isEmpty { #expect(message["data"]?["message"]?.string == words) }
        #expect(message["data"]?["details"]?.string != nil)
        #expect(try ack(client, #"{"type":"auth","id":"1","data":{"token":"x"}}"#) == [])
    }

    /// An answer to a request carries its id as it was.
    @Test(arguments: [(#""a\"b""#, "a\"b"), ("17", nil), ("1.50e3", nil)])
    func idsComeBack(json: String, text: String?) throws {
        let rig = try Rig(shards: 1)
        let client = try client(rig)
        for message in [
            #"{"type":"ping","id":\#(json)}"#, #"{"type":"nope","id":\#(json)}"#,
            #"{"type":"subscribe","id":\#(json),"data":{"channels":["logs"]}}"#,
        ] {
            try client.send(message)
            #expect(try client.message()?["id"] == (text.map { .string($0) } ?? .number(json)))
        }
    }

    @Test func pong() throws {
        let rig = try Rig(shards: 1, clock: ManualClock())
        let client = try client(rig, ModelFilter([.logs]))
        rig.hub.publish([draft(.requests, "{}"), draft(.requests, "{}")])
        rig.settle()
        try client.send(#"{"type":"ping"}"#)
        let frame = try #require(try client.frame())
        #expect(frame.text == #"{"type":"pong","timestamp":"2026-02-05T10:30:00.000Z","data":{"position":"ml9bes00-2"}}"#)
        try client.send(#"{"type":"pong"}"#)
        try client.send(opcode: 9, Array("abc".utf8))
        #expect(try client.frame() == ServerFrame(opcode: 10, payload: Array("abc".utf8)))
    }

    @Test func acksNameWhatIsSubscribed() throws {
        let rig = try Rig(shards: 1)
        let client = try client(rig)
        #expect(try ack(client, subscribe("requests,logs")) == ["logs", "requests"])
        #expect(try ack(client, subscribe("stats", id: "x"), id: "x") == ["logs", "stats", "requests"])
        #expect(try ack(client, subscribe("logs")) == ["logs", "stats", "requests"])
        #expect(try ack(client, subscribe("stats,requests", type: "unsubscribe")) == ["logs"])
        #expect(try ack(client, subscribe("providers", type: "unsubscribe")) == ["logs"])
        #expect(try ack(client, subscribe("logs", type: "unsubscribe")) == [])
        #expect(try ack(client, subscribe("all")) == ["all"])
        #expect(rig.shards[0].counters.subscriptions(to: .all) == 1)
        #expect(rig.shards[0].counters.subscriptions(to: .logs) == 0)
        // Who has everything and gives one up keeps the others.
        #expect(try ack(client, subscribe("stats", type: "unsubscribe")) == ["logs", "providers", "requests"])
        #expect(try ack(client, subscribe("all", type: "unsubscribe")) == [])
        for channel in Channel.allCases { #expect(rig.shards[0].counters.subscriptions(to: channel) == 0) }
    }

    /// Without an id a success is silent.
    @Test func silentWithoutID() throws {
        let rig = try Rig(shards: 1)
        let client = try client(rig)
        try client.send(#"{"type":"subscribe","data":{"channels":["logs"]}}"#)
        try client.send(#"{"type":"unsubscribe","data":{"channels":["logs"]}}"#)
        try client.send(#"{"type":"auth","data":{"token":"x"}}"#)
        try client.send(#"{"type":"ping"}"#)
        #expect(try client.message()?["type"]?.string == "pong")
    }

    /// Valid channels take effect beside invalid ones.
    @Test func partlyValid() throws {
        let rig = try Rig(shards: 1)
        let client = try client(rig)
        try client.send(subscribe("nope,logs,what"))
        let message = try #require(try client.message())
        #expect(message["data"]?["code"]?.string == "invalid_channel")
        #expect(message["data"]?["details"]?.string == "nope, what")
        #expect(message["id"]?.string == "1")
        #expect(try client.message()?["data"]?["channels"] == .array([.string("logs")]))
        // A channel whose filter is not understood is not opened without it; the other one is.
        try client.send(
            subscribe("requests,providers", #"{"requests":{"only_errors":"perhaps"},"providers":{"provider_id":"x"}}"#))
        #expect(try client.message()?["data"]?["code"]?.string == "invalid_filter")
        #expect(try client.message()?["data"]?["channels"] == .array([.string("logs"), .string("providers")]))
    }

    /// Also where everything was asked for: the channel whose filter is not understood is left out.
    @Test func allWithAFilterThatIsNotUnderstood() throws {
        let rig = try Rig(shards: 1)
        let client = try client(rig)
        try client.send(subscribe("all", #"{"logs":{"level":"loud"},"requests":{"only_errors":"true"}}"#))
        #expect(try client.message()?["data"]?["code"]?.string == "invalid_filter")
        #expect(
            try client.message()?["data"]?["channels"] == .array([.string("stats"), .string("providers"), .string("requests")]))
        rig.hub.publish([draft(.logs, "1"), draft(.requests, "2"), draft(.requests, #"{"n":3,"success":false}"#)])
        #expect(try client.message()?["data"]?["n"]?.int == 3)
    }

    /// Who had a channel with a filter keeps both when the new filter is refused.
    @Test func refusedFilterLeavesTheOldOne() throws {
        let rig = try Rig(shards: 1)
        let client = try client(rig, ModelFilter([.logs], ["component": "mine"]))
        try client.send(subscribe("logs", #"{"logs":{"component":"other","level":"loud"}}"#))
        #expect(try client.message()?["data"]?["code"]?.string == "invalid_filter")
        #expect(try client.message()?["type"]?.string == "ack")
        rig.hub.publish([draft(.logs, #"{"n":1,"component":"other"}"#), draft(.logs, #"{"n":2,"component":"mine"}"#)])
        #expect(try client.message()?["data"]?["n"]?.int == 2)
    }

    @Test func filtersAreKeptReplacedAndForgotten() throws {
        let rig = try Rig(shards: 1)
        let client = try client(rig)
        func passing() throws -> [Int] {
            rig.hub.publish(
                ["debug", "info", "warn", "error"].enumerated().map {
                    draft(.logs, #"{"n":\#($0),"level":"\#($1)","component":"c"}"#)
                })
            rig.publishMarker()
            var ledger = Ledger()
            try ledger.read(client, until: "marker")
            return ledger.events.map(\.number)
        }
        _ = try ack(client, subscribe("logs", #"{"logs":{"level":"warn","component":"c"}}"#))
        #expect(try passing() == [2, 3])
        // Named without filters: kept.
        _ = try ack(client, subscribe("logs"))
        #expect(try passing() == [2, 3])
        _ = try ack(client, subscribe("requests"))
        #expect(try passing() == [2, 3])
        // Given again: all of them are replaced.
        _ = try ack(client, subscribe("logs", #"{"logs":{"level":"error,debug"}}"#))
        #expect(try passing() == [0, 3])
        _ = try ack(client, subscribe("logs", #"{"logs":{}}"#))
        #expect(try passing() == [0, 1, 2, 3])
        // A channel given up has no filters that it could keep.
        _ = try ack(client, subscribe("logs", #"{"logs":{"level":"error"}}"#))
        _ = try ack(client, subscribe("logs", type: "unsubscribe"))
        _ = try ack(client, subscribe("logs"))
        #expect(try passing() == [0, 1, 2, 3])
    }

    /// Values as JSON has them.
    @Test(arguments: [
        (#"{"level":["warn","error"]}"#, [2, 3]), (#"{"level":["warn"]}"#, [2, 3]), (#"{"level":"warn"}"#, [2, 3]),
        (#"{"component":["a","b"]}"#, [0, 1]),
        (#"{"component":7}"#, [3]),
    ])
    func filterValues(filter: String, wanted: [Int]) throws {
        let rig = try Rig(shards: 1)
        let client = try client(rig)
        _ = try ack(client, subscribe("logs", #"{"logs":\#(filter)}"#))
        let components = ["a", "b", "c", "7"]
        rig.hub.publish(
            ["debug", "info", "warn", "error"].enumerated().map {
                draft(.logs, #"{"n":\#($0),"level":"\#($1)","component":"\#(components[$0])"}"#)
            })
        rig.publishMarker()
        var ledger = Ledger()
        try ledger.read(client, until: "marker")
        #expect(ledger.events.map(\.number) == wanted)
    }

    @Test func requestFiltersAsJSON() throws {
        let rig = try Rig(shards: 1)
        let client = try client(rig)
        _ = try ack(client, subscribe("requests", #"{"requests":{"only_errors":true,"min_latency_ms":100}}"#))
        rig.hub.publish([
            draft(.requests, #"{"n":1,"success":false,"latency_ms":99}"#),
            draft(.requests, #"{"n":2,"success":true,"latency_ms":200}"#),
            draft(.requests, #"{"n":3,"success":false,"latency_ms":100}"#),
        ])
        #expect(try client.message()?["data"]?["n"]?.int == 3)
    }

    /// One message with very many mistakes costs its sender, not us: the answers stay bounded, and a slow client survives them.
    @Test func manyMistakesInOneMessage() throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        let rig = try Rig(limits, shards: 1, clock: ManualClock())
        let client = try client(rig)
        let filters = "{" + (0..<3000).map { #""c\#($0)":{}"# }.joined(separator: ",") + "}"
        try client.send(subscribe("logs", filters))
        try client.send(#"{"type":"ping","id":"last"}"#)
        var answers = 0
        var bytes = 0
        while let frame = try client.frame(), try JSON(parsing: frame.payload)["id"]?.string != "last" {
            answers += 1
            bytes += frame.payload.count
        }
        #expect(client.closeCode == nil)
        #expect(answers >= 2 && bytes < 65_536)
        #expect(rig.hub.clientCount == 1)
    }

    /// Subscriptions change while events flow: between two acks exactly what the subscription of that time passes.
    @Test(arguments: testSeeds(4))
    func changesWhileEventsFlow(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let rig = try Rig()
        let published = Published()
        var phases = [ModelFilter([.logs])]
        for _ in 0..<12 { phases.append(.random(using: &generator)) }
        let client = try rig.subscribe(phases[0], to: 1)
        let changes = phases
        let ledger = SharedLedger()
        let failures = SharedFailures()
        try onThreads(2) { role in
            failures.catching {
                if role == 0 {
                    try publish(60, of: 8, from: 3, seed: seed, to: rig.hub, into: published)
                    return
                }
                var own = Ledger()
                for (number, filter) in changes.enumerated().dropFirst() {
                    for message in ConversationTests.change(to: filter, id: "\(number)") { try client.send(message) }
                    while own.entries.last != .ack("\(number)") {
                        guard let message = try client.message() else { throw TestFailure("the connection ended") }
                        try own.enter(message)
                    }
                }
                ledger.set(own)
            }
        }
        #expect(failures.all == [])
        rig.publishMarker()
        var own = ledger.get
        try own.read(client, until: "marker")
        #expect(own.gaps == [])
        let complaint = ConversationTests.complaint(own, changes, published.events)
        #expect(complaint == nil, "seed \(seed)")
    }

    /// Messages that leave everything and take this; acks but the last have the id `-`.
    private static func change(to filter: ModelFilter, id: String) -> [String] {
        var writer = JSONWriter()
        writer.beginObject()
        for channel in filter.effective where channel != .stats {
            writer.key(channel.name)
            writer.beginObject()
            for (name, value) in filter.parameters where Filters.parameters[channel]?.contains(name) == true {
                writer.key(name)
                writer.string(value)
            }
            writer.endObject()
        }
        writer.endObject()
        let names = filter.channels.map { "\"\($0.name)\"" }.joined(separator: ",")
        return [
            #"{"type":"unsubscribe","data":{"channels":["all"]}}"#,
            #"{"type":"subscribe","id":"\#(id)","data":{"channels":[\#(names)],"filters":\#(writer.text)}}"#,
        ]
    }

    /// Each phase must be what its filter passes of a stretch of sequences; the stretches follow each other. Between two phases
    /// the client has nothing for as long as it takes the shard to read two messages.
    private static func complaint(_ ledger: Ledger, _ phases: [ModelFilter], _ published: [UInt64: ModelEvent]) -> String? {
        var got = [[UInt64]](repeating: [], count: phases.count)
        var phase = 0
        for entry in ledger.entries {
            switch entry {
            case .event(let sequence, _): got[phase].append(sequence)
            case .ack(let id) where id == "\(phase + 1)": phase += 1
            default: return "unexpected \(entry)"
            }
        }
        guard phase == phases.count - 1 else { return "only \(phase) changes" }
        let all = got.flatMap { $0 }
        guard zip(all, all.dropFirst()).allSatisfy({ $0 < $1 }) else { return "not in order" }
        var lastBefore: UInt64 = 0
        for (phase, filter) in phases.enumerated() {
            let isLast = phase == phases.count - 1
            guard let first = got[phase].first else { continue }
            let last = isLast ? UInt64.max : got[phase].last ?? first
            let wanted = published.filter { $0.key >= first && $0.key <= last && filter.passes($0.value) }.keys.sorted()
            guard wanted == got[phase] else { return "phase \(phase) (\(filter)): \(got[phase]) instead of \(wanted)" }
            guard first > lastBefore else { return "phase \(phase) begins too early" }
            lastBefore = got[phase].last ?? lastBefore
        }
        return nil
    }
}
