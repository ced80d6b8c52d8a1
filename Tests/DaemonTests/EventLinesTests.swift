import Testing

@testable import Daemon

/// All events of a text, or the error; fed in pieces of `size` bytes.
private func events(_ text: String, size: Int, channel: String? = nil, type: String? = nil) -> ([String], LineError?) {
    var lines = EventLines(channel: channel, type: type)
    var events: [EventLine] = []
    let bytes = Array(text.utf8)
    do throws(LineError) {
        for start in stride(from: 0, to: bytes.count, by: size) {
            try lines.feed(bytes[start..<min(start + size, bytes.count)], into: &events)
        }
        if let last = try lines.finish() { events.append(last) }
        return (shown(events), nil)
    } catch {
        return (shown(events), error)
    }
}

private func shown(_ events: [EventLine]) -> [String] { events.map { "\($0.number) " + String(decoding: $0.json, as: UTF8.self) } }

struct EventLinesTests {
    @Test(arguments: [1, 2, 3, 7, 1000])
    func wholeEvents(size: Int) {
        let text = "{ \"channel\": \"logs\" }\n\n  \r\n[1,\t2]\r\n\"ä\""
        let (lines, error) = events(text, size: size)
        #expect(lines == ["1 {\"channel\":\"logs\"}", "4 [1,2]", "5 \"ä\""])
        #expect(error == nil)
    }

    @Test(arguments: [1, 5, 1000])
    func dataOnly(size: Int) {
        let (lines, error) = events("{\"a\": 1}\n2\n", size: size, channel: "lo\"gs", type: "log")
        #expect(
            lines == [
                #"1 {"channel":"lo\"gs","type":"log","data":{"a":1}}"#, #"2 {"channel":"lo\"gs","type":"log","data":2}"#,
            ])
        #expect(error == nil)
    }

    /// A line cannot add members to the event around it.
    @Test(arguments: ["1},{\"type\":\"x\"", "1,\"channel\":\"stats\"", "{}{}", "x", "{", "'a'"])
    func brokenLines(line: String) {
        for size in [1, 1000] {
            let (lines, error) = events("1\n\(line)\n3\n", size: size, channel: "logs", type: "log")
            #expect(lines == [#"1 {"channel":"logs","type":"log","data":1}"#])
            #expect(error?.number == 2 && error?.message.hasPrefix("is not JSON: ") == true)
        }
    }

    @Test func endlessLine() {
        let (lines, error) = events(String(repeating: " ", count: EventLines.lineBytesMax + 1), size: 1 << 20)
        #expect(lines.isEmpty)
        #expect(error == LineError(number: 1, message: "is longer than \(EventLines.lineBytesMax) bytes"))
    }
}
