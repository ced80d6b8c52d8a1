import Protocol
import TestSupport
import Testing

@testable import GoLeapAIWSClient

struct EnvelopeTests {
    @Test func log() throws {
        let text = #"{"type":"log","id":"e-1","timestamp":"2026-02-05T10:30:00.123Z","data":{"level":"error","message":"no","component":"router","provider_id":"p","request_id":"r","fields":{"a":"b c","n":1.50,"o":{"x":[true,null]}},"unit":"u"}}"#
        guard case .log(let line)? = try #require(Envelope(text)).event else { return #expect(Bool(false)) }
        #expect(line.id == EventID("e-1") && line.level == "error" && line.severity == .error && line.component == "router" && line.providerID == "p")
        #expect(line.fields == [.init(name: "a", value: "b c"), .init(name: "n", value: "1.50"), .init(name: "o", value: #"{"x":[true,null]}"#)])
        #expect(line.rawJSON == text && line.instant?.rfc3339 == "2026-02-05T10:30:00.123Z")
    }

    @Test func stats() throws {
        let text = #"{"type":"stats_update","timestamp":"t","data":{"total_requests":1000,"success_rate":0.95,"avg_latency_ms":150.6,"requests_per_min":1e2,"provider_stats":[{"provider_id":"p","provider_name":"P","requests":3,"available":true}],"model_stats":[{"model_id":"m"}],"time_window":"1h","new":1}}"#
        guard case .stats(let stats)? = try #require(Envelope(text)).event else { return #expect(Bool(false)) }
        #expect(stats.totalRequests == 1000 && stats.successRate == 0.95 && stats.averageLatency == 151 && stats.requestsPerMinute == 100)
        #expect(stats.providers == [ProviderStats(providerID: "p", providerName: "P", requests: 3)] && stats.window == "1h" && stats.id == nil)
        #expect(stats.models == [ModelStats(modelID: "m", modelName: "")] && stats.instant == nil)
    }

    /// What is missing, or of another type, is as if nothing were said.
    @Test(arguments: ["null", "{}", "[]", "1", #"{"latency_ms":"x","success":"yes","status_code":1e99,"fields":[],"channels":{},"provider_stats":7}"#])
    func lenient(data: String) throws {
        for type in ["log", "request", "provider_status", "stats_update", "gap", "error", "caught_up", "own"] {
            let event = try #require(Envelope(#"{"type":"\#(type)","data":\#(data)}"#)).event?.event
            #expect(event?.timestamp == "" && event?.id == nil)
        }
    }

    @Test(arguments: ["", "{", "[]", "7", "null", #"{"data":1}"#, #"{"type":7}"#])
    func noMessages(text: String) {
        #expect(Envelope(text) == nil)
    }

    /// As deep as the daemon takes it, with the message around it.
    @Test func deep() throws {
        let data = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        guard case .other(let event)? = try #require(Envelope(#"{"type":"own","id":"e-1","channel":"logs","timestamp":"t","data":\#(data)}"#)).event
        else { return #expect(Bool(false)) }
        #expect(event.dataJSON == data && event.id == EventID("e-1") && event.channel == "logs")
    }

    /// The same event, however it came; numbers keep their kind, and what no Double holds is no number in either.
    @Test(arguments: [
        #"{"type":"log","id":"e-1","timestamp":"2026-02-05T10:30:00.123Z","data":{"level":"error","message":"é\n","fields":{"n":1.5,"w":2.0,"i":-7,"o":[true,null]}}}"#,
        #"{"type":"own","id":"e-2","timestamp":"t","channel":"all","data":{"a":1,"a":2,"big":18446744073709551615,"far":1e999}}"#,
        #"{"type":"caught_up","timestamp":"t","data":{"position":"e-9"}}"#,
    ])
    func packed(text: String) throws {
        let bytes = MessagePack.bytes(of: Array(text.utf8))
        let envelope = try #require(bytes.withUnsafeBytes { Envelope($0, as: .messagePack) })
        #expect(envelope.rawJSON == text && envelope.event == Envelope(text)?.event)
        #expect(Array(text.utf8).withUnsafeBytes { Envelope($0, as: .json) }?.rawJSON == text)
        #expect(bytes.dropLast().withUnsafeBytes { Envelope($0, as: .messagePack) } == nil)
    }

    @Test func packedDeep() throws {
        for depth in [1, 64] {
            let data = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
            let bytes = MessagePack.bytes(of: Array(#"{"type":"own","data":\#(data)}"#.utf8))
            guard case .other(let event)? = bytes.withUnsafeBytes({ Envelope($0, as: .messagePack) })?.event else { return #expect(Bool(false)) }
            #expect(event.dataJSON == data)
        }
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func anyBytes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let base = Array(#"{"type":"gap","id":"e-1","timestamp":"t","data":{"reason":"slow_consumer","channels":["logs"],"after":"e-1","resume":"e-9","dropped":8}}"#.utf8)
        for _ in 0..<3000 {
            var bytes = base
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            // That it comes to an end is what is asked.
            _ = bytes.withUnsafeBytes { Envelope($0) }?.event
        }
    }
}

struct RecentTests {
    @Test func bounds() {
        var recent = Recent()
        for number in 1...2500 {
            recent.take(.log(LogEvent(level: number % 2 == 0 ? "error" : "debug", message: "\(number)")))
            recent.take(.request(RequestEvent(requestID: "\(number)")))
        }
        #expect(recent.logs(limit: .max, level: .debug).map(\.message) == (1501...2500).map(String.init))
        #expect(recent.logs(limit: 2, level: .warn).map(\.message) == ["2498", "2500"])
        #expect(recent.requests(limit: 5000).map(\.requestID) == (2001...2500).map(String.init))
        #expect(recent.requests(limit: 0).isEmpty && recent.requests(limit: -1).isEmpty && recent.logs(limit: 9, level: .fatal).isEmpty)
    }

    @Test func providersByName() {
        var recent = Recent()
        for (id, name) in [("2", "B"), ("1", "B"), ("3", "A")] { recent.take(.provider(ProviderStatus(providerID: id, providerName: name))) }
        recent.take(.provider(ProviderStatus(providerID: "2", providerName: "B", status: "degraded")))
        #expect(recent.providers.map(\.providerID) == ["3", "1", "2"] && recent.providers.last?.status == "degraded")
    }
}

struct EventSequenceTests {
    /// A reader that sleeps gets the first ones, then a gap that counts the others, then what comes after it has woken.
    @Test func aSlowReader() async {
        var (stream, sequence) = EventSequence.make(most: 4)
        for number in 0..<10 { #expect(sequence.give(.log(LogEvent(message: "\(number)"))) == true) }
        var reader = stream.makeAsyncIterator()
        var got: [ClientEvent?] = []
        for _ in 0..<4 { got.append(await reader.next()) }
        #expect(sequence.give(.log(LogEvent(message: "10"))) == true)
        got.append(await reader.next())
        got.append(await reader.next())
        #expect(got[..<4].map { $0?.event?.rawJSON } == ["", "", "", ""] && got[3] == .log(LogEvent(message: "3")))
        #expect(got[4] == .gap(Gap(reason: "reader", dropped: 6)) && got[5] == .log(LogEvent(message: "10")))
        sequence.finish()
        #expect(await reader.next() == nil)
    }

    @Test func aReaderThatIsGone() {
        var sequence = EventSequence.make(most: 4).sequence
        #expect(sequence.give(.log(LogEvent(message: "x"))) == false)
    }
}

struct UpgradeAnswerTests {
    private func parse(_ text: String) -> UpgradeAnswer? {
        let bytes = Array(text.utf8)
        guard case .head(let head) = AnswerHead.parse(bytes) else { return nil }
        return UpgradeAnswer(head: head, rest: Array(bytes.dropFirst(head.headBytes)))
    }

    @Test func refused() throws {
        let text = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\ncontent-length:21\r\n\r\n{\"error\":\"draining\"}\n"
        let answer = try #require(parse(text))
        #expect(answer.status == 503 && answer.retryAfter == 7 && answer.isBodyWhole && answer.why == "draining")
        #expect(try #require(parse(String(text.dropLast()))).isBodyWhole == false)
    }

    @Test func accepted() throws {
        let key = "dGhlIHNhbXBsZSBub25jZQ=="
        let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        for (text, isGood) in [
            (good, true), (good + "Sec-WebSocket-Extensions: x\r\n", false), (good.replacing("s3p", with: "s4p"), false),
            (good.replacing("Upgrade: WebSocket", with: "Upgrade: h2c"), false), (good.replacing("101", with: "200"), false),
        ] {
            #expect(try #require(parse(text + "\r\n")).accepts(key: key) == isGood, "\(text)")
        }
        let packed = good + "Sec-WebSocket-Protocol: goleapai.v1.msgpack\r\n"
        for (text, subprotocol, isGood) in [
            (packed, Options.Encoding.messagePack.subprotocol, true), (good, Options.Encoding.messagePack.subprotocol, false),
            (packed, Options.Encoding.json.subprotocol, false), (packed.replacing("msgpack", with: "json"), Options.Encoding.messagePack.subprotocol, false),
        ] {
            #expect(try #require(parse(text + "\r\n")).accepts(key: key, subprotocol: subprotocol) == isGood, "\(text)")
        }
        for (extensions, isGood, keepsContext) in [
            ("", true, nil), ("permessage-deflate", true, true), ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", true, false),
            ("permessage-deflate; server_max_window_bits=9", true, true), ("permessage-deflate; server_max_window_bits=16", false, nil),
            ("permessage-deflate; client_max_window_bits=9", false, nil), ("permessage-deflate, permessage-deflate", false, nil), ("x", false, nil),
            ("permessage-deflate; x", false, nil), ("permessage-deflate;", false, nil),
        ] as [(String, Bool, Bool?)] {
            let answer = try #require(parse(good + (extensions.isEmpty ? "" : "Sec-WebSocket-Extensions: \(extensions)\r\n") + "\r\n"))
            #expect(answer.accepts(key: key, offersCompression: true) == isGood, "\(extensions)")
            #expect(answer.accepts(key: key) == extensions.isEmpty, "nothing was offered")
            #expect(answer.compression?.serverKeepsContext == keepsContext, "\(extensions)")
        }
        let twice = try #require(parse(good + "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: x\r\n\r\n"))
        #expect(!twice.accepts(key: key, offersCompression: true) && twice.compression == nil)
    }

    @Test(arguments: [(Options.Compression.toOthers, false, true), (.always, true, true), (.never, false, false)])
    func offers(compression: Options.Compression, toNear: Bool, toFar: Bool) {
        #expect(compression.isOffered(isNear: true) == toNear && compression.isOffered(isNear: false) == toFar)
    }
}

struct TargetTests {
    @Test(arguments: [
        ("ws://localhost:8080/ws/logs", "/ws?welcome=true", "localhost:8080", .logs), ("wss://[::1]/base/ws", "/base/ws?welcome=true", "[::1]", nil),
        ("http://h/base/", "/base/ws?welcome=true", "h", nil), ("https://h:8443", "/ws?welcome=true", "h:8443", nil), ("unix:/run/x.sock", "/ws?welcome=true", "localhost", nil),
        ("ws://h/ws/all", "/ws?welcome=true", "h", .all),
    ] as [(String, String, String, Channel?)])
    func parsed(url: String, path: String, host: String, channel: Channel?) throws {
        let (target, found) = try Target.parse(url)
        #expect(target.path == path && target.hostField == host && found == channel)
    }

    @Test(arguments: ["", "localhost:8080", "ftp://x", "unix:x", "unix:", "ws://", "ws://h/?a=b", "ws://user@h", "ws://h:0", "ws://h/a b"])
    func refused(url: String) {
        #expect(throws: OptionsError.self) { try Target.parse(url) }
    }
}
