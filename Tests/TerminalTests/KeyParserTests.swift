import TestSupport
import Testing

@testable import Terminal

struct KeyParserTests {
    static let table: [(bytes: String, keys: [Key])] = [
        ("q", [.character("q")]), ("ä日🚀", [.character("ä"), .character("日"), .character("🚀")]),
        ("\r", [.enter]), ("\n", [.enter]), ("\t", [.tab]), ("\u{7F}", [.backspace]), ("\u{8}", [.backspace]),
        ("\u{C}", [.control("l")]), ("\u{3}", [.control("c")]), ("\u{1A}", [.control("z")]), ("\u{0}", [.unknown]),
        ("\u{1B}[A", [.up]), ("\u{1B}OA", [.up]), ("\u{1B}[B", [.down]), ("\u{1B}[C", [.right]), ("\u{1B}[D", [.left]),
        ("\u{1B}[H", [.home]), ("\u{1B}OH", [.home]), ("\u{1B}[1~", [.home]), ("\u{1B}[7~", [.home]),
        ("\u{1B}[F", [.end]), ("\u{1B}OF", [.end]), ("\u{1B}[4~", [.end]), ("\u{1B}[8~", [.end]),
        ("\u{1B}[5~", [.pageUp]), ("\u{1B}[6~", [.pageDown]), ("\u{1B}[3~", [.delete]), ("\u{1B}[Z", [.backTab]),
        ("\u{1B}[1;5A", [.up]), ("\u{1B}[5;2~", [.pageUp]), ("\u{1B}OM", [.enter]),
        ("\u{1B}[99~", [.unknown]), ("\u{1B}[?1;2c", [.unknown]), ("\u{1B}[x", [.unknown]), ("\u{1B}[200~a", [.unknown, .character("a")]),
        ("\u{1B}q", [.escape, .character("q")]), ("\u{1B}\u{1B}[A", [.escape, .up]), ("\u{1B}[\u{1B}[A", [.unknown, .up]),
        ("\u{1B}[1\r", [.unknown, .enter]),
        ("\u{1B}[" + String(repeating: "1", count: 40) + "Aq", [.unknown, .character("q")]),
        ("ab\u{1B}[Ac", [.character("a"), .character("b"), .up, .character("c")]),
    ]

    @Test(arguments: table)
    func keys(bytes: String, keys: [Key]) {
        var parser = KeyParser()
        #expect(parser.feed(bytes.utf8) == keys)
        #expect(!parser.isWaiting)
    }

    @Test(
        arguments: [
            ([0x1B], [Key.escape]), ([0x1B, 0x5B], [.escape, .character("[")]), ([0x1B, 0x4F], [.escape, .character("O")]),
            ([0x1B, 0x5B, 0x31], [.escape]), ([0xC3], [.unknown]), ([0xE6, 0x97], [.unknown]),
        ] as [([UInt8], [Key])])
    func whatNothingFollows(bytes: [UInt8], keys: [Key]) {
        var parser = KeyParser()
        #expect(parser.feed(bytes).isEmpty)
        #expect(parser.isWaiting)
        #expect(parser.finish() == keys)
        #expect(!parser.isWaiting)
        #expect(parser.feed([0x71]) == [.character("q")])
    }

    @Test(
        arguments: [
            ([0xC3, 0x71], [Key.unknown, .character("q")]), ([0xFF], [.unknown]), ([0xC0, 0x80], [.unknown, .unknown]),
            ([0xED, 0xA0, 0x80], [.unknown]), ([0xC2, 0x9B], [.unknown]), ([0xF4, 0x90, 0x80, 0x80], [.unknown]),
            ([0xE2, 0x80, 0xAE], [.unknown]),
        ] as [([UInt8], [Key])])
    func brokenText(bytes: [UInt8], keys: [Key]) {
        var parser = KeyParser()
        #expect(parser.feed(bytes) == keys)
    }

    /// Cut at every place, and byte by byte: the same keys.
    @Test(arguments: table)
    func cutAnywhere(bytes: String, keys: [Key]) {
        let all = Array(bytes.utf8)
        for cut in 0...all.count {
            var parser = KeyParser()
            #expect(parser.feed(all[..<cut]) + parser.feed(all[cut...]) == keys)
        }
        var parser = KeyParser()
        #expect(all.flatMap { parser.feed([$0]) } == keys)
    }

    /// Any bytes in any pieces: the same keys, nothing kept without a bound, and a key afterwards is a key.
    @Test func anyBytes() {
        let samples = KeyParserTests.table.map { Array($0.bytes.utf8) }
        let finding = fuzz(samples) { input, random in
            var whole = KeyParser()
            let keys = whole.feed(input)
            var parts = KeyParser()
            var rest = input[...]
            var found: [Key] = []
            while !rest.isEmpty {
                let piece = rest.prefix(random.int(1...5))
                rest = rest.dropFirst(piece.count)
                found += parts.feed(piece)
            }
            guard found == keys else { return "\(keys) and in pieces \(found)" }
            guard whole.finish() == parts.finish() else { return "another end" }
            return whole.feed([0x71]) == [.character("q")] ? nil : "a key afterwards is lost"
        }
        #expect(finding == nil)
    }
}
