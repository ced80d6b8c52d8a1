// Lines of random bytes: what comes out is JSON, within the bound, whatever went in.

import Base
import Glibc
import Protocol
import Testing

@testable import EventSources

@Suite struct JournalFuzzTests {
    /// A smoke run by default; `GOLEAPAI_WS_FUZZ_ROUNDS` makes it longer, `GOLEAPAI_WS_FUZZ_SEED` another or the same again.
    @Test func everyLineBecomesValidJSON() throws {
        let seed = getenv("GOLEAPAI_WS_FUZZ_SEED").flatMap { UInt64(String(cString: $0)) } ?? 20_260_205
        let rounds = getenv("GOLEAPAI_WS_FUZZ_ROUNDS").flatMap { Int(String(cString: $0)) } ?? 3000
        var generator = SeededGenerator(seed: seed)
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
        for round in 0..<rounds {
            var assembler = JournalAssembler(
                journalOptions(bytesMax: [1024, 1500, 4096, 262_144].randomElement(using: &generator) ?? 1024))
            var output: [JournalAssembler.Output] = []
            let input = mutate(samples, using: &generator)
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
            for case .event(let event) in output {
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
                #expect(isGood, "GOLEAPAI_WS_FUZZ_SEED=\(seed), round \(round): \(input)")
                if !isGood { return }
            }
        }
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

    private func mutate(_ samples: [[UInt8]], using generator: inout SeededGenerator) -> [UInt8] {
        var input = samples.randomElement(using: &generator) ?? []
        let interesting: [UInt8] =
            [0, 0x07, 0x0A, 0x0D, 0x1B, 0x20, 0x22, 0x5C, 0x80, 0xC0, 0xED, 0xFF] + Array("{}[]:,-0u".utf8)
        for _ in 0..<Int.random(in: 0...4, using: &generator) {
            let at = Int.random(in: 0...input.count, using: &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0 where at < input.count: input[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 1: input.insert(interesting.randomElement(using: &generator) ?? 0, at: at)
            case 2: input.insert(contentsOf: input[at..<min(input.count, at + Int.random(in: 0...32, using: &generator))], at: at)
            case 3: input = Array(input[..<at]) + (samples.randomElement(using: &generator) ?? []).suffix(at)
            default: input.removeSubrange(at..<min(input.count, at + Int.random(in: 0...8, using: &generator)))
            }
        }
        return input
    }
}
