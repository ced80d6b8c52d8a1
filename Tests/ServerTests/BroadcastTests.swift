// Publishing: what is taken, what is refused with which words, all or none.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout
@testable import Server

@Suite struct BroadcastTests {
    private let clock: ManualClock
    private let hub: Hub
    private let router: Router

    init() {
        let clock = ManualClock()
        self.clock = clock
        hub = Hub(limits: Limits(), clock: clock)
        router = Router(hub: hub, options: .forTests(), rules: .forTests())
    }

    private func post(_ body: String, _ type: String = "application/json", key: String? = nil) throws -> Response {
        let fields = [("Content-Type", type)] + (key.map { [("Idempotency-Key", $0)] } ?? [])
        let answer = try router.answer(to: try head("POST", "/admin/ws/broadcast", fields), body: body)
        return try #require(answer)
    }

    private static let start = #"{"type":"x","id":"ml9bes00-1","timestamp":"2026-02-05T10:30:00.000Z","channel":"logs","data":"#

    static let accepted: [(String, String)] = [
        (#"{"channel":"logs","type":"x","data":{"a":1}}"#, start + #"{"a":1}}"#),
        (" {\n\"data\" : [ 1 , { } ],\t\"type\":\"x\" ,\r\n\"channel\":\"logs\"} \n", start + "[1,{}]}"),
        (#"{"channel":"logs","type":"x"}"#, start + "null}"), (#"{"channel":"logs","type":"x","data":null}"#, start + "null}"),
        // As given, but for white space: numbers, escapes and the order of members.
        (
            #"{"channel":"logs","type":"x","data":{"b":1.50e+3,"a":"\u00fc\/ ","a":-0}}"#,
            start + #"{"b":1.50e+3,"a":"\u00fc\/ ","a":-0}}"#
        ),
        (#"{"channel":"logs","type":"x","data":"text","other":[true],"id":7,"timestamp":0}"#, start + #""text"}"#),
        (#"{"channel":"logs","channel":"nope","type":"x","type":"","data":1,"data":2}"#, start + "1}"),
        (#"{"channel":"l\u006fgs","type":"\u0078","data":false}"#, start + "false}"),
    ]

    @Test(arguments: accepted)
    func takes(body: String, message: String) throws {
        let answer = try post(body)
        #expect(answer.status == 200)
        #expect(answer.text == #"{"success":true,"message":"Event broadcast","id":"ml9bes00-1"}"#)
        #expect(answer["content-type"] == "application/json")
        #expect(hub.messages(from: 1) == [message])
    }

    @Test(arguments: ["log", "request", "provider_status"])
    func typesOfAnotherChannel(type: String) throws {
        #expect(try post(#"{"channel":"all","type":"\#(type)","data":{}}"#).status == 200)
        #expect(
            hub.messages(from: 1) == [#"{"type":"\#(type)","id":"ml9bes00-1","timestamp":"2026-02-05T10:30:00.000Z","channel":"all","data":{}}"#])
    }

    static let refused: [(String, Int, String)] = [
        ("", 400, #"{"error":"invalid request"}"#), ("  \n ", 400, #"{"error":"invalid request"}"#),
        ("{", 400, #"{"error":"invalid request"}"#),
        ("null", 400, #"{"error":"invalid request"}"#), ("\"x\"", 400, #"{"error":"invalid request"}"#),
        ("17", 400, #"{"error":"invalid request"}"#),
        (#"{"channel":"logs","type":"x","data":{}} x"#, 400, #"{"error":"invalid request"}"#),
        (#"{"channel":"logs","type":"x","data":{}}{}"#, 400, #"{"error":"invalid request"}"#),
        (#"{"channel":"logs","type":"x","data":{},}"#, 400, #"{"error":"invalid request"}"#),
        (#"{"channel":"logs","type":"x","data":01}"#, 400, #"{"error":"invalid request"}"#),
        (#"{"channel":"logs","type":"x","data":NaN}"#, 400, #"{"error":"invalid request"}"#),
        ("{\"channel\":\"logs\",\"type\":\"x\",\"data\":\"\u{1}\"}", 400, #"{"error":"invalid request"}"#),
        (
            #"{"channel":"logs","type":"x","data":"# + String(repeating: "[", count: 70) + String(repeating: "]", count: 70)
                + "}", 400, #"{"error":"invalid request"}"#
        ),
        ("[]", 400, #"{"error":"invalid request"}"#), ("[ ]", 400, #"{"error":"invalid request"}"#),
        ("[", 400, #"{"error":"invalid request","index":0}"#),
        ("[1]", 400, #"{"error":"invalid request","index":0}"#),
        (#"[{"channel":"logs","type":"x"},]"#, 400, #"{"error":"invalid request","index":1}"#),
        (#"[{"channel":"logs","type":"x"} {"channel":"logs","type":"x"}]"#, 400, #"{"error":"invalid request","index":1}"#),
        (#"[{"channel":"logs","type":"x"}"#, 400, #"{"error":"invalid request","index":1}"#),
        (#"[{"channel":"logs","type":"x"}]]"#, 400, #"{"error":"invalid request"}"#),
        (#"[{"channel":"logs","type":"x"},{"channel":"nope","type":"x"}]"#, 400, #"{"error":"invalid channel","index":1}"#),
        (#"{"type":"x","data":{}}"#, 400, #"{"error":"invalid channel"}"#),
        (#"{"channel":"nope","type":"x"}"#, 400, #"{"error":"invalid channel"}"#),
        (#"{"channel":"","type":"x"}"#, 400, #"{"error":"invalid channel"}"#),
        (#"{"channel":1,"type":"x"}"#, 400, #"{"error":"invalid channel"}"#),
        (#"{"channel":["logs"],"type":"x"}"#, 400, #"{"error":"invalid channel"}"#),
        (#"{"channel":"LOGS","type":"x"}"#, 400, #"{"error":"invalid channel"}"#),
    ]

    @Test(arguments: refused)
    func refuses(body: String, status: Int, words: String) throws {
        let answer = try post(body)
        #expect(answer.status == status)
        #expect(answer.text == words)
        #expect(hub.newestSequence == 0)
    }

    /// Types of the protocol's own messages cannot be forged.
    @Test(arguments: MessageType.reserved.sorted() + ["ga\\u0070", String(repeating: "x", count: 129)])
    func refusesTypes(type: String) throws {
        let answer = try post(#"{"channel":"logs","type":"\#(type)","data":{}}"#)
        #expect(answer.status == 400)
        #expect(answer.json?["error"]?.string?.hasPrefix("invalid type '") == true)
        #expect(answer.body.count < 300)
        #expect(try post(#"{"channel":"logs","data":{}}"#).status == 400)
        #expect(try post(#"{"channel":"logs","type":3}"#).status == 400)
        #expect(hub.newestSequence == 0)
    }

    @Test(arguments: [(998, 200), (999, 413)])
    func eventBytes(characters: Int, status: Int) throws {
        let text = String(repeating: "x", count: characters)
        let answer = try post(#"{"channel":"logs","type":"x","data":  "\#(text)"  }"#)
        #expect(answer.status == status)
        if status == 413 { #expect(answer.text.contains("has 1001 bytes; broadcast.max_event_bytes is 1000")) }
        #expect(try post(#"[{"channel":"logs","type":"x"},{"channel":"logs","type":"x","data":"\#(text)"}]"#).status == status)
        #expect(hub.newestSequence == (status == 200 ? 3 : 0))
    }

    // MARK: many

    private func event(_ number: Int, _ channel: String = "logs") -> String {
        #"{"channel":"\#(channel)","type":"x","data":\#(number)}"#
    }

    @Test func arrays() throws {
        #expect(
            try post("[" + (0..<5).map { event($0) }.joined(separator: " ,\n") + "]").text
                == #"{"success":true,"message":"Event broadcast","count":5,"first_id":"ml9bes00-1","last_id":"ml9bes00-5"}"#)
        #expect(
            try post("[\(event(9))]").text
                == #"{"success":true,"message":"Event broadcast","count":1,"first_id":"ml9bes00-6","last_id":"ml9bes00-6"}"#)
        #expect(hub.messages(from: 1).compactMap { try? JSON(parsing: $0)["data"]?.int } == [0, 1, 2, 3, 4, 9])
    }

    @Test(arguments: [
        ("\n", false), ("\r\n", true), ("\n\n  \n", true), (" \t\n", false),
    ])
    func linesOfJSON(separator: String, isEnded: Bool) throws {
        let body = (0..<4).map { event($0) }.joined(separator: separator) + (isEnded ? separator : "")
        let answer = try post(body, "application/x-ndjson; charset=utf-8")
        #expect(answer.json?["count"]?.int == 4)
        #expect(hub.messages(from: 1).compactMap { try? JSON(parsing: $0)["data"]?.int } == [0, 1, 2, 3])
        #expect(try post(event(4), "Application/X-NDJSON").json?["count"]?.int == 1)
    }

    @Test func badLinesAreNamed() throws {
        for (body, words) in [
            ("", #"{"error":"invalid request"}"#), ("\n \n", #"{"error":"invalid request"}"#),
            ("\(event(0))\n{\n", #"{"error":"invalid request","index":1}"#),
            ("\(event(0)) \(event(1))", #"{"error":"invalid request","index":0}"#),
            ("\(event(0))\n\(event(1)),\n", #"{"error":"invalid request","index":1}"#),
            ("[\(event(0))]", #"{"error":"invalid request","index":0}"#),
            ("\(event(0))\n\(event(1))\n\(event(2, "nope"))\n\(event(3))", #"{"error":"invalid channel","index":2}"#),
        ] {
            let answer = try post(body, "application/x-ndjson")
            #expect(answer.status == 400)
            #expect(answer.text == words)
        }
        // All or none.
        #expect(hub.newestSequence == 0)
    }

    // MARK: rate

    @Test func rate() throws {
        #expect(try post("[" + (0..<51).map { event($0) }.joined(separator: ",") + "]").status == 413)
        #expect(try post("[" + (0..<30).map { event($0) }.joined(separator: ",") + "]").status == 200)
        let answer = try post("[" + (0..<30).map { event($0) }.joined(separator: ",") + "]")
        #expect(answer.status == 429)
        #expect(answer["retry-after"] == "1")
        #expect(answer.text.contains("broadcast.events_per_second (100); nothing was sent"))
        #expect(hub.newestSequence == 30)
        // What was refused cost nothing, a mistake neither.
        #expect(try post("[" + (0..<20).map { event($0) }.joined(separator: ",") + ",{}]").status == 400)
        #expect(try post("[" + (0..<20).map { event($0) }.joined(separator: ",") + "]").status == 200)
        #expect(try post(event(0)).status == 429)
        clock.advance(.milliseconds(10))
        #expect(try post(event(0)).status == 200)
        #expect(try post(event(0)).status == 429)
    }

    // MARK: Idempotency-Key

    @Test func equalKeysPublishOnce() throws {
        let first = try post(event(1), key: "k")
        #expect(try post(event(1), key: "k").text == first.text)
        clock.advance(.seconds(299))
        #expect(try post(event(1), key: "k").text == first.text)
        #expect(hub.newestSequence == 1)
        #expect(try post(event(2), key: "k").status == 422)
        #expect(try post(event(1) + " ", key: "k").status == 422)
        #expect(try post(event(2), key: "l").status == 200)
        #expect(try post(event(1)).status == 200)
        #expect(hub.newestSequence == 3)
        clock.advance(.seconds(1))
        #expect(try post(event(2), key: "k").status == 200)
        #expect(hub.newestSequence == 4)
    }

    /// A failure is not remembered: the retry may succeed.
    @Test func failuresAreForgotten() throws {
        #expect(try post("{", key: "k").status == 400)
        #expect(try post(event(1), key: "k").status == 200)
        #expect(try post("[" + (0..<49).map { event($0) }.joined(separator: ",") + "]", key: "b").status == 200)
        #expect(try post(event(2), key: "c").status == 429)
        clock.advance(.seconds(1))
        #expect(try post(event(2), key: "c").status == 200)
        #expect(hub.newestSequence == 51)
    }

    @Test(arguments: [(0, 400), (1, 200), (255, 200), (256, 400)])
    func lengthOfKeys(count: Int, status: Int) throws {
        #expect(try post(event(1), key: String(repeating: "k", count: count)).status == status)
    }

    @Test func equalRequestsAtOnce() throws {
        let texts = Locked<[String]>([])
        let router = router
        let body = event(1)
        let head = try head("POST", "/admin/ws/broadcast", [("Idempotency-Key", "k")])
        try onThreads(6) { _ in
            let request = Request(head: head, body: Array(body.utf8), peer: .local, principal: .anonymous)
            let answer = router.respond(to: request) { _ in }
            texts.withLock { $0.append(answer?.text ?? "later") }
        }
        #expect(Set(texts.withLock { $0 }) == [#"{"success":true,"message":"Event broadcast","id":"ml9bes00-1"}"#])
        #expect(hub.newestSequence == 1)
    }

    /// Large bodies are read beside the shards, with the same answers.
    @Test func largeBodies() throws {
        let body = "[" + String(repeating: " ", count: 70_000) + event(1) + "]"
        #expect(try post(body).json?["last_id"]?.string == "ml9bes00-1")
        #expect(try post(body + "x").status == 400)
    }
}
