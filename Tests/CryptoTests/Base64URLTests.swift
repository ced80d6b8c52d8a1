import TestSupport
import Testing

@testable import Crypto

@Suite struct Base64URLTests {
    @Test(arguments: [
        ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy"),
    ]) func rfc4648Section10(_ plain: String, _ text: String) {
        #expect(Base64URL.decode(text) == Array(plain.utf8))
        #expect(Base64URL.encode(Array(plain.utf8)) == text)
    }

    @Test func theTwoOtherCharacters() {
        #expect(Base64URL.decode("-_8") == [0xFB, 0xFF] && Base64URL.encode([0xFB, 0xFF]) == "-_8")
    }

    @Test(arguments: [
        "A", "AAAAA", "Zg==", "Zm8=", "Zm9v=", "=", "Zm9v\n", "\r\nZm9v", "Zm 9", "Zm9v.", "+/8", "Zh", "Zm9", "Zm9vYm", "Zm9vYmF", "Zg\0",
        "Zm\u{E9}v", "\u{FF21}AAA",
    ]) func refused(_ text: String) {
        // Zh, Zm9 and so on differ from a right spelling in bits that carry nothing.
        #expect(Base64URL.decode(text) == nil)
    }

    @Test(arguments: testSeeds(3)) func thereAndBack(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for count in 0..<200 {
            let bytes = generator.bytes(count)
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes, "seed \(seed), \(count) bytes")
        }
    }

    @Test func fuzzed() {
        let samples = ["", "Zm9vYmFy", "-_8", "Zg==", "A"].map { Array($0.utf8) }
        let finding = fuzz(samples) { input, _ in
            guard let bytes = Base64URL.decode(input) else { return nil }
            return Array(Base64URL.encode(bytes).utf8) == input ? nil : "two spellings of the same bytes"
        }
        #expect(finding == nil)
    }
}
