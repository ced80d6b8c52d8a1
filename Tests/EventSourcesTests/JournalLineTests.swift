// Lines of the gateway as events: tables, the gateway's own lines, and properties.

import Base
import Host
import Protocol
import Testing

@testable import EventSources

private let timestamp = Instant(milliseconds: 1_795_400_000_123)
private let tail = #""timestamp":"2026-11-23T02:13:20.123Z","unit":"goleapai.service","source":"journal""#

private func line(_ text: [UInt8], priority: UInt8? = 6) -> JournalLine {
    JournalLine(text: text, priority: priority, unit: gatewayUnit, timestamp: timestamp)
}

private func data(_ text: String, priority: UInt8? = 6, names: ProviderNames = noNames, bytesMax: Int = 262_144) -> String {
    String(decoding: line(Array(text.utf8), priority: priority).data(bytesMax: bytesMax, names: names).bytes, as: UTF8.self)
}

@Suite struct JournalLineTests {
    struct Row: CustomTestStringConvertible, Sendable {
        let name: String
        let line: String
        /// Everything before `tail`.
        let data: String
        var testDescription: String { name }

        init(_ name: String, _ line: String, _ data: String) {
            self.name = name
            self.line = line
            self.data = data
        }
    }

    @Test(arguments: [
        Row("nothing in it", "{}", #""level":"info","message":"","fields":{}"#),
        Row(
            "the gateway's",
            #"{"level":"debug","provider":"Groq","latency_ms":0.25,"time":1795400000,"message":"Health check completed"}"#,
            #""level":"debug","message":"Health check completed","fields":{"provider":"Groq","latency_ms":0.25,"time":1795400000}"#
        ),
        Row(
            "all members",
            #"{"request_id":"r","provider_id":"p","component":"c","message":"m","level":"warn","x":[1, {"y": null}]}"#,
            #""level":"warn","message":"m","component":"c","provider_id":"p","request_id":"r","fields":{"x":[1,{"y":null}]}"#),
        Row(
            "time as text", #"{"level":"info","time":"2026-11-23T02:22:25Z","message":"m"}"#,
            #""level":"info","message":"m","fields":{"time":"2026-11-23T02:22:25Z"}"#),
        Row(
            "equal keys: the first counts",
            #"{"level":"info","level":"error","a":1,"a":2,"message":"m","message":"n","\u0061":3}"#,
            #""level":"info","message":"m","fields":{"a":1}"#),
        Row("key with escapes", #"{"le\u0076el":"error","mess\u0061ge":"m"}"#, #""level":"error","message":"m","fields":{}"#),
        Row(
            "members that are no strings", #"{"component":1,"provider_id":null,"request_id":{},"level":30,"message":"m"}"#,
            #""level":"info","message":"m","fields":{"component":1,"provider_id":null,"request_id":{},"level":30}"#),
        Row(
            "no string first", #"{"level":5,"level":"error","message":"m"}"#,
            #""level":"info","message":"m","fields":{"level":5}"#),
        Row("message is a number", #"{"message":1.50}"#, #""level":"info","message":"1.50","fields":{}"#),
        Row("message is an object", #"{"message":{"a": "\""}}"#, #""level":"info","message":"{\"a\":\"\\\"\"}","fields":{}"#),
        Row("message is null", #"{"message":null}"#, #""level":"info","message":"null","fields":{}"#),
        Row(
            "escapes as they were", #"{"message":"\ud83d\ude80\/\u00e9\n\ud800"}"#,
            #""level":"info","message":"\ud83d\ude80\/\u00e9\n\ud800","fields":{}"#),
        Row("white space around", " \t{ \"message\" : \"m\" }\r", #""level":"info","message":"m","fields":{}"#),
        Row("trace", #"{"level":"TRACE"}"#, #""level":"debug","message":"","fields":{}"#),
        Row("warning", #"{"level":"Warning"}"#, #""level":"warn","message":"","fields":{}"#),
        Row("fatal", #"{"level":"FATAL"}"#, #""level":"fatal","message":"","fields":{}"#),
        Row("panic", #"{"level":"panic"}"#, #""level":"panic","message":"","fields":{}"#),
        Row("unknown level", #"{"level":"Notice"}"#, #""level":"Notice","message":"","fields":{}"#),
        Row("level with escapes", #"{"level":"\u0045rror"}"#, #""level":"error","message":"","fields":{}"#),
        Row("empty line", "", #""level":"info","message":"","fields":{}"#),
        Row("text", "http: TLS handshake error", #""level":"info","message":"http: TLS handshake error","fields":{}"#),
        Row("an array", "[1]", #""level":"info","message":"[1]","fields":{}"#),
        Row("JSON and more", #"{"a":1} x"#, #""level":"info","message":"{\"a\":1} x","fields":{}"#),
        Row("JSON cut off", #"{"a":1"#, #""level":"info","message":"{\"a\":1","fields":{}"#),
        Row(
            "colours", "\u{1B}[34;1m/build/database.go:80\r\n\u{1B}[0m\u{1B}[35m[warn] \u{1B}[0mModel\r",
            #""level":"info","message":"/build/database.go:80\r\n[warn] Model","fields":{}"#),
    ])
    func table(_ row: Row) { #expect(data(row.line) == "{\(row.data),\(tail)}") }

    @Test(
        arguments: [
            (nil, "info"), (0, "panic"), (1, "fatal"), (2, "fatal"), (3, "error"), (4, "warn"), (5, "info"), (6, "info"),
            (7, "debug"),
        ] as [(UInt8?, String)])
    func priorities(_ priority: UInt8?, _ level: String) {
        #expect(data("x", priority: priority) == #"{"level":"\#(level)","message":"x","fields":{},\#(tail)}"#)
        #expect(data(#"{"message":"x"}"#, priority: priority).hasPrefix(#"{"level":"info""#), "of a JSON line it says nothing")
    }

    @Test func providersByName() {
        let names = ProviderNames()
        let text = #"{"provider":"Gr\u006fq","message":"m"}"#
        #expect(data(text, names: names) == #"{"level":"info","message":"m","fields":{"provider":"Gr\u006fq"},\#(tail)}"#)
        names.set([("Groq", "id\"1"), ("Other", "2")])
        #expect(
            data(text, names: names)
                == #"{"level":"info","message":"m","provider_id":"id\"1","fields":{"provider":"Gr\u006fq"},\#(tail)}"#)
        #expect(data(#"{"provider":"Groq","provider_id":"own"}"#, names: names).contains(#""provider_id":"own""#))
        #expect(!data(#"{"provider":"Nobody"}"#, names: names).contains("provider_id"))
        #expect(!data(#"{"provider":["Groq"]}"#, names: names).contains("provider_id"))
    }

    @Test(arguments: [
        ("\u{1B}[31mred\u{1B}[0m", "red"), ("a\u{1B}]0;title\u{07}b", "ab"), ("a\u{1B}]8;;http://x\u{1B}\\b", "ab"),
        ("\u{1B}(B\u{1B}7x\u{1B}8\u{1B}c", "x"), ("\u{1B}[1;2", ""), ("x\u{1B}", "x"), ("\u{1B}[\u{1B}[0mx", "x"),
        ("\u{1B}]unfinished", "unfinished"), ("\u{1B}]a\u{1B}[0mb", "ab"), ("\u{1B}\u{1B}x", ""), ("\u{1B}é", "é"),
        ("\u{1B}[3é", "é"),
        ("\u{1B}P1$r\u{1B}\\x", "x"), ("a\r\r", "a"), ("a\rb", "a\rb"), ("\u{1B}[?25hx", "x"), ("\u{1B}[0 qx", "x"),
    ])
    func escapeSequences(_ text: String, _ plain: String) {
        #expect(String(decoding: JournalText.plain(Array(text.utf8)), as: UTF8.self) == plain)
    }

    @Test func manyUnfinishedSequencesAreOnePass() {
        let text = [UInt8]((0..<500_000).flatMap { _ in [0x1B, 0x5D] as [UInt8] })
        #expect(JournalText.plain(text) == [])
    }

    @Test func invalidUTF8IsReplaced() {
        let (bytes, _) = line([0x61, 0xFF, 0x62, 0xC3]).data(bytesMax: 262_144, names: noNames)
        #expect(
            String(decoding: bytes, as: UTF8.self) == #"{"level":"info","message":"a\#u{FFFD}b\#u{FFFD}","fields":{},\#(tail)}"#)
        let object = Array(#"{"message":""#.utf8) + [0xFF] + Array(#""}"#.utf8)
        #expect(
            String(decoding: line(object).data(bytesMax: 262_144, names: noNames).bytes, as: UTF8.self).contains(
                #"{\"message\":\""#))
    }

    @Test(arguments: [62, 63, 64, 5000]) func depth(_ depth: Int) throws {
        let text = #"{"a":"# + String(repeating: "[", count: depth - 1) + String(repeating: "]", count: depth - 1) + "}"
        let bytes = Array(data(text).utf8)
        #expect(try bytes.withUnsafeBytes { try JSONScanner.validate($0, at: 0) } == bytes.count)
        #expect(data(text).contains(#""fields":{"a""#) == (depth <= 63))
    }

    // MARK: cutting

    @Test(arguments: [1024, 1025, 1026, 1027, 4096]) func longMessagesAreCutBetweenCharacters(_ bytesMax: Int) throws {
        for character in ["a", "é", "…", "🚀", "\"", "\u{01}", "\n"] {
            let text = String(repeating: character, count: 5000)
            let quoted = JournalLineTests.quoted(text)
            for whole in [text, #"{"message":\#(quoted),"a":1}"#] {
                let (bytes, isTruncated) = line(Array(whole.utf8)).data(bytesMax: bytesMax, names: noNames)
                #expect(isTruncated && bytes.count <= bytesMax && bytes.count > bytesMax - 10)
                let value = try json(bytes)
                let message = try #require(value["message"]?.string)
                #expect(message.hasSuffix("…") && text.hasPrefix(message.dropLast()))
                #expect(value["truncated"]?.bool == true)
            }
        }
    }

    @Test func aLineOfExactlyTheBoundIsWhole() {
        let whole = data(String(repeating: "x", count: 3000)).utf8.count
        #expect(!data(String(repeating: "x", count: 3000), bytesMax: whole).contains("truncated"))
        #expect(data(String(repeating: "x", count: 3000), bytesMax: whole - 1).contains(#""truncated":true"#))
    }

    @Test func fieldsGoWhereTheMessageAloneIsNotEnough() throws {
        let long = String(repeating: "y", count: 5000)
        let kept = try json(Array(data(#"{"message":"\#(long)","stack":"\#(long.prefix(2000))"}"#, bytesMax: 4096).utf8))
        #expect(kept["fields"]?["stack"]?.string?.count == 2000 && kept["message"]?.string?.hasSuffix("…") == true)
        let dropped = try json(Array(data(#"{"message":"short","stack":"\#(long)"}"#, bytesMax: 4096).utf8))
        #expect(
            dropped["message"]?.string == "short" && dropped["fields"]?.object?.isEmpty == true
                && dropped["truncated"]?.bool == true)
        let members = try json(
            Array(data(#"{"level":"\#(long)","component":"\#(long)","message":"short"}"#, bytesMax: 4096).utf8))
        #expect(members["message"]?.string == "short" && members["component"]?.string?.hasPrefix("yyy") == true)
        #expect(members["component"]?.string?.hasSuffix("…") == true)
    }

    @Test func whatIsCutAlreadyIsMarked() {
        var cut = line(Array("x".utf8))
        cut.isCut = true
        let (bytes, isTruncated) = cut.data(bytesMax: 4096, names: noNames)
        #expect(
            isTruncated
                && String(decoding: bytes, as: UTF8.self)
                    == #"{"level":"info","message":"x","fields":{},\#(tail),"truncated":true}"#
        )
    }

    // MARK: the gateway's own lines

    @Test(arguments: ["journal-sample.jsonl", "output-sample.txt"]) func samples(_ file: String) throws {
        let lines = try Fixture.bytes(file).split(separator: 0x0A, omittingEmptySubsequences: true)
        #expect(lines.count > 50)
        for text in lines {
            let (bytes, isTruncated) = line(Array(text)).data(bytesMax: 262_144, names: noNames)
            #expect(!isTruncated)
            try expectSame(Array(text), bytes)
        }
    }

    @Test func journaldSample() throws {
        var assembler = JournalAssembler(journalOptions())
        var output: [SourceEvent] = []
        let lines = try Fixture.bytes("journald-sample.jsonl").split(separator: 0x0A)
        for (number, text) in lines.enumerated() {
            let fields = try json(Array(text))
            var entry = JournalEntry(
                cursor: fields["__CURSOR"]?.string ?? "", sequenceID: 1, sequence: UInt64(number),
                realtime: Instant(microseconds: Int64(fields["__REALTIME_TIMESTAMP"]?.string ?? "") ?? 0))
            for (name, value) in try #require(fields.object) { entry.set(name, JournalLineTests.bytes(value)) }
            assembler.add(entry, at: 0, names: noNames, into: &output)
        }
        #expect(assembler.counts.entries == UInt64(lines.count) && assembler.counts.lines > 100)
        for event in output where event.kind == .log {
            let value = try json(event.data)
            #expect(value["source"]?.string == "journal" && value["unit"]?.string == gatewayUnit)
            #expect(value["timestamp"]?.string == event.timestamp.rfc3339)
        }
    }

    /// What is in the line is in the event.
    private func expectSame(_ text: [UInt8], _ bytes: [UInt8]) throws {
        let value = try json(bytes)
        guard let object = try? json(text), let members = object.object else {
            #expect(value["message"]?.string?.contains("\u{1B}") == false && value["level"]?.string == "info")
            return
        }
        var seen: Set<String> = []
        for (name, member) in members where seen.insert(name).inserted {
            let isTop = ["level", "message", "component", "provider_id", "request_id"].contains(name)
            #expect(isTop ? value[name] == member : value["fields"]?[name] == member, "\(name)")
        }
    }

    /// journalctl writes what is no text as an array of numbers.
    private static func bytes(_ value: JSON) -> [UInt8] {
        value.string.map { Array($0.utf8) } ?? value.array?.map { UInt8(clamping: $0.int ?? 0) } ?? []
    }

    private static func quoted(_ text: String) -> String {
        var writer = JSONWriter()
        writer.string(text)
        return writer.text
    }
}
