import TestSupport
import Testing

@testable import Terminal

struct CharacterWidthTests {
    @Test(
        arguments: [
            ("a", CharacterWidth.one), ("~", .one), ("é", .one), ("ж", .one), ("─", .one), ("█", .one), ("●", .one), ("…", .one), ("€", .one),
            ("日", .two), ("가", .two), ("Ａ", .two), ("。", .two), ("🚀", .two), ("😀", .two), ("⚡", .two), ("𠀀", .two), ("\u{1100}", .two),
            ("\u{0301}", .zero), ("\u{20DD}", .zero), ("\u{1160}", .zero), ("\u{FE0F}", .zero),
            ("\u{00}", .forbidden), ("\u{1B}", .forbidden), ("\u{7F}", .forbidden), ("\u{9B}", .forbidden), ("\u{AD}", .forbidden),
            ("\u{200B}", .forbidden), ("\u{200D}", .forbidden), ("\u{202E}", .forbidden), ("\u{2028}", .forbidden), ("\u{2066}", .forbidden),
            ("\u{FEFF}", .forbidden), ("\u{E000}", .forbidden), ("\u{FFFF}", .forbidden), ("\u{E0041}", .forbidden),
        ] as [(Unicode.Scalar, CharacterWidth)])
    func table(scalar: Unicode.Scalar, width: CharacterWidth) {
        #expect(CharacterWidth(of: scalar) == width)
    }

    @Test(arguments: [
        ("plain", "plain"), ("a\tb\nc\rd", "a b c d"), ("\u{1B}[2J", "·[2J"), ("\u{9B}31m", "·31m"), ("x\u{202E}y", "x·y"),
        ("e\u{301}", "e\u{301}"), ("日本", "日本"), ("✌\u{FE0F}", "✌"), ("\u{07}\u{08}", "··"),
    ])
    func foreignLine(text: String, line: String) {
        #expect(SafeText.line(text) == line)
    }

    @Test(arguments: [("日a", "??a"), ("é…", "?~"), ("● up ▲", "* up ^"), ("\u{1B}x", "?x"), ("e\u{301}", "e"), ("─│", "-|")])
    func foreignLineInASCII(text: String, line: String) {
        #expect(SafeText.line(text, isUnicode: false) == line)
        #expect(SafeText.width(text, isUnicode: false) == line.count)
    }

    /// Whatever a text holds: nothing of it is a command to a terminal.
    @Test func nothingIsObeyed() {
        for seed in testSeeds(20) {
            var random = SeededGenerator(seed: seed)
            let text = randomText(&random, count: 200)
            for isUnicode in [true, false] {
                let line = SafeText.line(text, isUnicode: isUnicode)
                let isHarmless = line.unicodeScalars.allSatisfy { CharacterWidth(of: $0) != .forbidden && (isUnicode || $0.isASCII) }
                #expect(isHarmless, "seed \(seed)")
            }
        }
    }

    @Test(arguments: [
        ("abc", 3, "abc"), ("abcd", 3, "abc…"), ("日本", 6, "日本"), ("日本", 5, "日…"), ("日本", 3, "日…"), ("日本", 2, "…"), ("é", 1, "…"),
    ])
    func prefixes(text: String, bytes: Int, prefix: String) {
        #expect(SafeText.prefix(text, bytes: bytes) == prefix)
    }
}

/// Texts as nobody should send them.
func randomText(_ random: inout SeededGenerator, count: Int) -> String {
    let odd: [Unicode.Scalar] = [
        "\u{1B}", "\n", "\t", "\r", "\u{7}", "\u{9B}", "\u{200D}", "\u{202E}", "日", "가", "🚀", "\u{301}", "\u{20DD}", "é", "█", "\u{FE0F}", "\u{0}",
    ]
    var text = String.UnicodeScalarView()
    for _ in 0..<random.int(0...count) {
        switch random.int(0..<4) {
        case 0: text.append(random.pick(odd))
        case 1: text.append(Unicode.Scalar(UInt32(random.int(0..<0xD800))) ?? " ")
        case 2: text.append(Unicode.Scalar(UInt32(random.int(0xE000...0x10FFFF))) ?? " ")
        default: text.append(Unicode.Scalar(UInt8(random.int(0x20..<0x7F))))
        }
    }
    return String(text)
}
