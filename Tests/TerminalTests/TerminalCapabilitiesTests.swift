import Testing

@testable import Terminal

struct TerminalCapabilitiesTests {
    @Test(
        arguments: [
            (["TERM": "xterm-256color", "LANG": "en_US.UTF-8"], TerminalCapabilities.Colors.indexed256, true, true),
            (["TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.utf8"], .exact, true, true),
            (["TERM": "xterm", "LC_ALL": "", "LC_CTYPE": "de_DE.utf8@euro"], .basic16, true, true),
            (["TERM": "xterm", "LC_ALL": "C", "LANG": "en_US.UTF-8"], .basic16, false, true),
            (["TERM": "xterm", "LC_CTYPE": "C", "LANG": "en_US.UTF-8"], .basic16, false, true),
            (["TERM": "screen", "LANG": "de_DE.ISO-8859-1"], .basic16, false, true),
            (["TERM": "linux", "LANG": "C.UTF-8"], .basic16, false, true),
            (["TERM": "tmux-256color", "NO_COLOR": "1", "LANG": "C.UTF-8"], .none, true, true),
            (["TERM": "tmux-256color", "NO_COLOR": ""], .indexed256, false, true),
            (["TERM": "vt100"], .none, false, true), (["TERM": "xterm-direct"], .exact, false, true),
            (["TERM": "dumb", "LANG": "C.UTF-8"], .none, true, false), ([:], .none, false, false),
        ] as [([String: String], TerminalCapabilities.Colors, Bool, Bool)])
    func table(environment: [String: String], colors: TerminalCapabilities.Colors, isUnicode: Bool, isAddressable: Bool) {
        let capabilities = TerminalCapabilities(environment: environment)
        #expect(capabilities.colors == colors)
        #expect(capabilities.isUnicode == isUnicode)
        #expect(capabilities.isAddressable == isAddressable)
    }
}

struct SparklineTests {
    @Test func oneRow() {
        #expect(Sparkline.text([0, 1, 2, 3, 4, 5, 6, 7, 8], isUnicode: true) == " ▁▂▃▄▅▆▇█")
        #expect(Sparkline.text([0, 1, 2, 3, 4, 5, 6, 7, 8], isUnicode: false) == " _.:-=+*#")
        #expect(Sparkline.text([], isUnicode: true) == "")
        #expect(Sparkline.text([nil, 0, .nan, -1, .infinity], isUnicode: true) == "     ")
        #expect(Sparkline.text([1000, 0.001], isUnicode: true) == "█▁")
    }

    @Test func manyRows() {
        #expect(Sparkline.heights([1, 2, 4], rows: 2) == [4, 8, 16])
        #expect(Sparkline.heights([5, 20], rows: 1, top: 10) == [4, 8])
        #expect((0..<3).map { Sparkline.sign(height: 12, row: $0, isUnicode: true) } == ["█", "▄", " "])
    }
}
