// Lines of random bytes: what comes out is JSON, within the bound, whatever went in.

import Base
import Protocol
import TestSupport
import Testing

@testable import EventSources

@Suite struct JournalFuzzTests {
    @Test func everyLineBecomesValidJSON() throws {
        var samples = try ["journal-sample.jsonl", "output-sample.txt"].flatMap { name in
            try Fixture.bytes(name).split(separator: 0x0A).map(Array.init)
        }
        samples += [
            #"{"level":"a","level":5,"message":{"a":[1,2]},"provider":"Groq","provider_id":null,"component":"\u00e9","request_id":"\ud800"}"#,
            #"{"\u006cevel":"ERROR","a":1,"\u0061":2,"message":"\u0000\"\\"}"#, "\u{1B}[31m\u{1B}]0;x\u{07}\u{1B}(B", "{}", "[]",
            "\r",
            #"{"a":"# + String(repeating: "[", count: 70) + String(repeating: "]", count: 70) + "}",
        ].map { Array($0.utf8) }
        let names = ProviderNames()
        names.set([("Groq", "1")])
        let finding = fuzz(samples) { input, generator in
            var assembler = JournalAssembler(
                journalOptions(bytesMax: [1024, 1500, 4096, 262_144].randomElement(using: &generator) ?? 1024))
            var output: [SourceEvent] = []
            for (number, piece) in cut(input, using: &generator).enumerated() {
                let stream = ["a", "b"].randomElement(using: &generator) ?? "a"
                let others =
                    [("_SYSTEMD_UNIT", gatewayUnit), ("_STREAM_ID", stream)]
                    + (Bool.random(using: &generator) ? [("_LINE_BREAK", "line-max")] : [])
                assembler.add(
                    TestEntry(piece, at: 0, others).entry(UInt64(number)), at: UInt64(number) * 700_000_000, names: names,
                    into: &output)
            }
            assembler.expire(at: .max, names: names, into: &output)
            for event in output where event.kind == .log {
                let end = try? event.data.withUnsafeBytes { try JSONScanner.validate($0, at: 0) }
                let isCompact = try? event.data.withUnsafeBytes { bytes in
                    var copy: [UInt8] = []
                    _ = try JSONScanner.compact(bytes, at: 0, into: &copy)
                    return copy == event.data
                }
                let keys = (try? json(event.data))?.object?.map(\.key) ?? []
                let isGood =
                    end == event.data.count && isCompact == true && Set(keys).count == keys.count && keys.contains("fields")
                    && event.data.count <= 262_144
                if !isGood { return String(decoding: event.data, as: UTF8.self) }
            }
            return nil
        }
        #expect(finding == nil)
    }

    /// The bound holds exactly, whatever is long.
    @Test func neverMoreThanTheBound() throws {
        var generator = SeededGenerator(seed: 7)
        for round in 0..<300 {
            var writer = JSONWriter()
            writer.beginObject()
            for key in ["level", "message", "component", "provider_id", "request_id", "a", "b"].shuffled(using: &generator) {
                let piece = ["x", "é", "🚀", "\"", "\u{01}", "\\"].randomElement(using: &generator) ?? "x"
                writer.key(key)
                writer.string(String(repeating: piece, count: Int.random(in: 0..<1500, using: &generator)))
            }
            writer.endObject()
            let bytesMax = Int.random(in: 1024...6000, using: &generator)
            let unit = String(repeating: "\\", count: 200) + ".service"
            let line = JournalLine(text: writer.bytes, priority: 6, unit: unit, timestamp: TestEntry.began)
            let (bytes, _) = line.data(bytesMax: bytesMax, names: noNames)
            #expect(bytes.count <= bytesMax, "round \(round)")
            #expect(throws: Never.self) { _ = try json(bytes) }
        }
    }

    private func cut(_ input: [UInt8], using generator: inout SeededGenerator) -> [[UInt8]] {
        let first = Int.random(in: 0...input.count, using: &generator)
        let second = Int.random(in: first...input.count, using: &generator)
        return [Array(input[..<first]), Array(input[first..<second]), Array(input[second...])]
    }
}
