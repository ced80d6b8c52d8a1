// Lines in parts, notices of loss, our own lines.

import Base
import Host
import Protocol
import Testing

@testable import EventSources

/// A loss that the journal told, in words.
func gapText(_ event: SourceEvent) throws -> String {
    let data = try json(event.data)
    #expect(data["reason"]?.string == "source_lost" && data["channels"] == .array([.string("logs")]))
    return "gap \(data["dropped"]?.int.map(String.init) ?? "?")"
}

/// An assembler that is fed entries one after the other.
private struct Feed {
    var assembler = JournalAssembler(journalOptions())
    var output: [SourceEvent] = []
    var sequence: UInt64 = 0

    mutating func add(_ entry: TestEntry, atMilliseconds time: UInt64 = 0) {
        sequence += 1
        assembler.add(entry.entry(sequence), at: time * 1_000_000, names: noNames, into: &output)
    }

    mutating func expire(atMilliseconds time: UInt64) { assembler.expire(at: time * 1_000_000, names: noNames, into: &output) }

    /// What came out, in words.
    func said() throws -> [String] {
        try output.map { item in
            if item.kind == .gap { return try gapText(item) }
            return try message(item) + (try json(item.data)["truncated"] == nil ? "" : " (truncated)")
        }
    }

    var events: [SourceEvent] { output.filter { $0.kind == .log } }
}

private func part(_ text: String, stream: String = "a", isLast: Bool = false, at: Int64 = 0) -> TestEntry {
    TestEntry(
        text, at: at,
        [("_SYSTEMD_UNIT", gatewayUnit), ("_STREAM_ID", stream)] + (isLast ? [] : [("_LINE_BREAK", "line-max")]))
}

@Suite struct JournalAssemblerTests {
    @Test func partsBecomeOneLine() throws {
        let text = #"{"level":"warn","message":""# + String(repeating: "é", count: 50_000) + #"","n":1}"#
        let bytes = Array(text.utf8)
        var feed = Feed()
        // As journald cuts them: anywhere, also inside of a character.
        for (number, start) in stride(from: 0, to: bytes.count, by: 49_152).enumerated() {
            let end = min(start + 49_152, bytes.count)
            var entry = part("", isLast: end == bytes.count, at: Int64(number) * 1000)
            entry.fields[0].1 = Array(bytes[start..<end])
            feed.add(entry)
        }
        let event = try #require(feed.events.first)
        #expect(feed.output.count == 1)
        let value = try json(event.data)
        #expect(value["level"]?.string == "warn" && value["message"]?.string?.count == 50_000 && value["fields"]?["n"]?.int == 1)
        #expect(event.timestamp == TestEntry.began, "the first part's")
        #expect(event.entry?.sequence == 3, "the last part's")
        #expect(feed.assembler.counts == .init(entries: 3, lines: 1, parts: 3, truncated: 0, suppressed: 0, own: 0))
    }

    /// journald cuts a line at 48 KiB, and drops a rest of nothing: of JSON it can be seen that nothing is missing.
    @Test func objectsThatEndWhereTheyAreCut() throws {
        var feed = Feed()
        feed.add(part(#"{"message":"one"}"#), atMilliseconds: 0)
        feed.add(part(#"{"message":"two"}"#, isLast: true), atMilliseconds: 1)
        feed.add(part(#"{"message":"thr"#), atMilliseconds: 2)
        feed.add(part(#"ee"}"#), atMilliseconds: 3)
        feed.add(part(#"{"message":"four"}"#), atMilliseconds: 4)
        feed.expire(atMilliseconds: 5000)
        #expect(try feed.said() == ["one", "two", "three", "four"])
        #expect(feed.events.map { $0.entry?.sequence } == [1, 2, 4, 6], "places grow")
    }

    @Test func streamsInterleave() throws {
        var feed = Feed()
        feed.add(part("a1", stream: "a"))
        feed.add(part("b1", stream: "b"))
        feed.add(part("c", stream: "c", isLast: true))
        feed.add(part("a2", stream: "a"))
        feed.add(part("b2", stream: "b", isLast: true))
        feed.add(TestEntry("native", at: 0))
        feed.add(part("a3", stream: "a", isLast: true))
        #expect(try feed.said() == ["c", "b1b2", "native", "a1a2a3"])
    }

    @Test(arguments: ["eof", "nul", "pid-change"]) func otherBreaksEndALine(_ lineBreak: String) throws {
        var feed = Feed()
        feed.add(part("1"))
        feed.add(TestEntry("2", at: 0, [("_SYSTEMD_UNIT", gatewayUnit), ("_STREAM_ID", "a"), ("_LINE_BREAK", lineBreak)]))
        feed.add(part("3", isLast: true))
        #expect(try feed.said() == ["12", "3"])
    }

    @Test func aRestThatDoesNotComeIsNotWaitedFor() throws {
        var feed = Feed()
        feed.add(part("first"), atMilliseconds: 1000)
        feed.add(part("second"), atMilliseconds: 1500)
        feed.add(part("other", stream: "b", isLast: true), atMilliseconds: 3000)
        feed.expire(atMilliseconds: 3500)
        #expect(try feed.said() == ["other"])
        feed.expire(atMilliseconds: 3501)
        #expect(try feed.said() == ["other", "firstsecond (truncated)"])
        #expect(feed.events.map { $0.entry?.sequence } == [3, 4], "places grow")
        feed.add(part("rest", isLast: true), atMilliseconds: 9000)
        #expect(try feed.said().last == "rest")
    }

    @Test func theSeventeenthStreamEndsTheOldestLine() throws {
        var feed = Feed()
        for number in 0..<16 { feed.add(part("line \(number)", stream: "\(number)")) }
        #expect(feed.output.isEmpty)
        feed.add(part("line 16", stream: "16"))
        #expect(try feed.said() == ["line 0 (truncated)"])
    }

    @Test func aLineHasABound() throws {
        var feed = Feed()
        let half = String(repeating: "x", count: JournalAssembler.lineBytesMax / 2)
        feed.add(part(half))
        feed.add(part(half))
        feed.add(part("beyond"))
        feed.add(part("the end", isLast: true))
        let event = try #require(feed.events.first)
        #expect(feed.output.count == 1 && event.data.count <= 262_144)
        #expect(try json(event.data)["truncated"]?.bool == true)
        #expect(feed.assembler.counts.truncated == 1)
        feed.add(part("next", isLast: true))
        #expect(try feed.said().last == "next")
    }

    // MARK: notices

    @Test func suppressedLinesAreAGapInTheirPlace() throws {
        var feed = Feed()
        feed.add(TestEntry("before", at: 0))
        feed.add(TestEntry.suppressed(12, at: 1))
        feed.add(TestEntry("behind", at: 2))
        feed.add(TestEntry.suppressed(5, unit: "other.service", at: 3))
        feed.add(TestEntry.suppressed(6, unit: "not-goleapai.service", at: 4))
        var object = TestEntry.suppressed(7, unit: "?", at: 5)
        object.fields.append(("OBJECT_SYSTEMD_UNIT", Array(gatewayUnit.utf8)))
        feed.add(object)
        #expect(try feed.said() == ["before", "gap 12", "behind", "gap 7"])
        #expect(feed.assembler.counts.suppressed == 19)
    }

    @Test func missedLinesAreAGapOfUnknownSize() throws {
        var feed = Feed()
        feed.add(TestEntry("Missed 3 kernel messages", at: 0, [("_TRANSPORT", "driver"), ("MESSAGE_ID", Journal.missedID)]))
        #expect(try feed.said() == ["gap ?"])
    }

    @Test func aNoticeThatIsNotJournaldsIsALine() throws {
        var feed = Feed()
        feed.add(
            TestEntry(
                "Suppressed 9 messages from goleapai.service", at: 0,
                [
                    ("_TRANSPORT", "journal"), ("MESSAGE_ID", Journal.suppressedID), ("_SYSTEMD_UNIT", gatewayUnit),
                    ("N_DROPPED", "9"),
                ]))
        #expect(try feed.said() == ["Suppressed 9 messages from goleapai.service"])
        #expect(feed.assembler.counts.suppressed == 0)
    }

    @Test func aCountThatIsAbsurdDoesNoHarm() throws {
        var feed = Feed()
        for number in ["18446744073709551615", "1", "x", "-1"] {
            var notice = TestEntry.suppressed(0, at: 0)
            notice.fields = notice.fields.map { $0.0 == "N_DROPPED" ? ($0.0, Array(number.utf8)) : $0 }
            feed.add(notice)
        }
        #expect(try feed.said() == ["gap \(Int.max)", "gap 1", "gap ?", "gap ?"])
    }

    // MARK: own lines

    @Test func ownLinesAreNotFedBack() throws {
        var feed = Feed()
        feed.add(TestEntry("by name", at: 0, [("_SYSTEMD_UNIT", gatewayUnit), ("_COMM", "goleapai-ws")]))
        feed.add(TestEntry("by process", at: 0, [("_SYSTEMD_UNIT", gatewayUnit), ("_PID", "4711")]))
        feed.add(TestEntry("by unit", at: 0, [("_SYSTEMD_UNIT", "goleapai-ws.service")]))
        feed.add(TestEntry("the gateway's", at: 0, [("_SYSTEMD_UNIT", gatewayUnit), ("_COMM", "goleapai"), ("_PID", "47")]))
        #expect(try feed.said() == ["the gateway's"])
        #expect(feed.assembler.counts.own == 3)
    }

    /// Before we were started, the number was another process's.
    @Test func aProcessIdIsOursOnlySinceWeRun() throws {
        var options = journalOptions()
        options.own = OwnService(processID: 4711, since: TestEntry.began.advanced(byMilliseconds: 1), unit: gatewayUnit)
        var feed = Feed(assembler: JournalAssembler(options))
        feed.add(TestEntry("before", at: 0, [("_SYSTEMD_UNIT", gatewayUnit), ("_PID", "4711")]))
        feed.add(TestEntry("ours", at: 1000, [("_SYSTEMD_UNIT", gatewayUnit), ("_PID", "4711")]))
        feed.add(TestEntry("beside us in the same unit", at: 1000, [("_SYSTEMD_UNIT", gatewayUnit), ("_PID", "4712")]))
        #expect(try feed.said() == ["before", "beside us in the same unit"])
    }
}
