// Blocks of an event stream against a parser that follows the specification.

import Protocol
import TestSupport
import Testing

@Suite struct EventStreamWriterTests {
    private func parsed(_ bytes: [UInt8]) -> (events: [StreamEvent], parser: StreamParser) {
        var parser = StreamParser()
        var events: [StreamEvent] = []
        for byte in bytes { if let event = parser.take(byte) { events.append(event) } }
        return (events, parser)
    }

    @Test func asOnTheWire() {
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        #expect(text(EventStreamWriter.event("log", id: "e-1", data: Array("{}".utf8))) == "id: e-1\nevent: log\ndata: {}\n\n")
        #expect(text(EventStreamWriter.event("close", data: Array("1".utf8))) == "event: close\ndata: 1\n\n")
        #expect(text(EventStreamWriter.event("drain", retryMilliseconds: 20, data: Array("1".utf8))) == "retry: 20\nevent: drain\ndata: 1\n\n")
        #expect(text(EventStreamWriter.block(comment: "heartbeat", id: "e-7")) == ": heartbeat\nid: e-7\n\n")
        #expect(text(EventStreamWriter.block(retryMilliseconds: 3000)) == "retry: 3000\n\n")
        #expect(text(EventStreamWriter.block(comment: "heartbeat")) == ": heartbeat\n\n")
    }

    /// What is no event changes the id, and nothing else is seen of it.
    @Test func blocksThatAreNoEvents() {
        let (events, parser) = parsed(
            EventStreamWriter.event("log", id: "e-1", data: Array("1".utf8)) + EventStreamWriter.block(comment: "heartbeat", id: "e-5")
                + EventStreamWriter.block(comment: "heartbeat") + EventStreamWriter.event("gap", data: Array("2".utf8)))
        #expect(events == [StreamEvent(type: "log", data: "1", lastID: "e-1"), StreamEvent(type: "gap", data: "2", lastID: "e-5")])
        #expect(parser.comments == [" heartbeat", " heartbeat"] && parser.blocks == 4)
    }

    /// Nothing that is in a value makes a line of its own.
    @Test(arguments: testSeeds(20))
    func valuesStayInTheirLines(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let pieces = ["\n", "\r", "\r\n", "data: x", "event: forged", "id: 9", ":", " ", "\n\n", "é🚀", "{", "\"", "\u{0}", ""]
        func some() -> String { (0..<generator.int(0...6)).map { _ in generator.pick(pieces) }.joined() }
        func flat(_ text: String) -> String { String(text.unicodeScalars.map { $0 == "\n" || $0 == "\r" ? " " : Character($0) }) }
        for _ in 0..<200 {
            let (type, data, id) = (some() + "t", some() + "d", generator.chance(50) ? "e-\(generator.int(0...99))" : nil)
            let bytes = EventStreamWriter.event(type, id: id, data: Array(data.utf8))
            #expect(bytes.count <= EventStreamWriter.overheadBytes + type.utf8.count + data.utf8.count + (id?.utf8.count ?? 0))
            #expect(parsed(bytes).events == [StreamEvent(type: flat(type), data: flat(data), lastID: id ?? "")], "seed \(seed)")
        }
    }
}
