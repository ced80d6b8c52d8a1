import Testing

@testable import Daemon

struct StatusTests {
    @Test(arguments: [
        (0, "0 ms"), (999, "999 ms"), (1000, "1.0 s"), (6120, "6.1 s"), (59_999, "59.9 s"), (60_000, "1 min 0 s"), (3_599_999, "59 min 59 s"),
        (3_600_000, "1 h 0 min"), (11_520_000, "3 h 12 min"), (86_400_000, "1 d 0 h"), (.max, "106751991167 d 7 h"), (-5, "-5 ms"),
    ])
    func times(milliseconds: Int, text: String) { #expect(DaemonStatus.time(milliseconds: milliseconds) == text) }

    @Test(arguments: [
        ("plain ünï 你好 🙂", "plain ünï 你好 🙂"), ("\u{1B}[31mred\u{7}", " [31mred "), ("a\nb\r\tc", "a b  c"), ("\u{202E}right\u{200B}", " right "), ("\u{9B}0m", " 0m"),
    ])
    func foreignTextForTerminals(text: String, shown: String) { #expect(Output.harmless(text) == shown) }

    @Test func findings() {
        let findings = [Finding.fine("name", "x"), .warning("clock", "y \"", "z"), .failure("origin", "\u{1B}a", "b")]
        #expect(
            Finding.text(findings)
                == "ok    name    x\nwarn  clock   y \"\n              → z\nFAIL  origin   a\n              → b\nit does not work: see FAIL above\n")
        #expect(Finding.text(Array(findings.prefix(2))).hasSuffix("it works; see the warnings above\n"))
        #expect(Finding.text([findings[0]]).hasSuffix("everything is fine\n"))
        #expect(
            Finding.json(findings)
                == #"[{"step":"name","verdict":"ok","what":"x","remedy":""},{"step":"clock","verdict":"warning","what":"y \"","remedy":"z"},"#
                + #"{"step":"origin","verdict":"failed","what":"\u001ba","remedy":"b"}]"#)
    }
}
