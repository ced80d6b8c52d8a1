// Cursors of the journal: taken apart, or refused.

import TestSupport
import Testing

@testable import Host

@Suite struct JournalCursorTests {
    private static let sample =
        "s=3f5e51b8ff8c444aa88b5e804757645e;i=2cb;b=0123456789abcdef0123456789abcdef;m=c0eca7f7;t=660e853901768;x=6daa92842d435041"

    @Test func parts() throws {
        let cursor = try #require(JournalCursor(JournalCursorTests.sample))
        #expect(cursor.sequence == 0x2CB && cursor.realtime == 0x660E_8539_01768 && cursor.monotonic == 0xC0EC_A7F7)
        #expect(cursor.sequenceID == (0x3F5E_51B8_FF8C_444A as UInt64) ^ 0xA88B_5E80_4757_645E)
    }

    @Test(arguments: ["", "s=1", "i=1;s=2;b=3;m=4;t=5", "s=;i=1;b=1;m=1;t=1;x=1", "s=1;i=g;b=1;m=1;t=1;x=1", ";;;", "s1;i=1;b=1;m=1;t=1;x=1"])
    func refused(text: String) { #expect(JournalCursor(text) == nil) }

    @Test func anyTextIsTakenOrRefused() {
        let finding = fuzz([Array(JournalCursorTests.sample.utf8), Array("s=1;i=2;b=3;m=4;t=5;x=6".utf8)], rounds: 3000) { input, _ in
            let text = String(decoding: input, as: UTF8.self)
            // Taken apart twice is the same; all that matters is that it comes back.
            return JournalCursor(text) == JournalCursor(text) ? nil : "two answers"
        }
        #expect(finding == nil)
    }
}
