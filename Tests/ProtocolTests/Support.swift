// What several tests need: pieces of bytes; and the fuzz loop put to the test.

import TestSupport
import Testing

/// The ways in which a decoder gets its input: whole, byte by byte, and cut in two at every position.
func cuttings(of count: Int) -> [[Int]] {
    [[], Array(1..<max(count, 1))] + (1..<max(count, 1)).map { [$0] }
}

/// Positions to cut at, drawn at random.
func randomCuts(_ count: Int, using generator: inout SeededGenerator) -> [Int] {
    guard count > 1 else { return [] }
    let pieces = Int.random(in: 0...6, using: &generator)
    return Set((0..<pieces).map { _ in Int.random(in: 1..<count, using: &generator) }).sorted()
}

/// The ranges between cuts.
func pieces(_ count: Int, _ cuts: [Int]) -> [Range<Int>] {
    zip([0] + cuts, cuts + [count]).map { $0..<$1 }
}

/// Bytes of hexadecimal text; blanks are ignored.
func hex(_ text: String) -> [UInt8] {
    let digits = text.compactMap { $0.hexDigitValue }
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

@Suite struct FuzzHarnessTests {
    /// A check that complains about a planted fault must be heard, else the other runs prove nothing.
    @Test func canary() {
        let finding = fuzz([Array("{\"key\":[1,2]}".utf8)], rounds: 5000) { input, _ in
            input.contains(0x80) && input.count > 3 ? "planted" : nil
        }
        #expect(finding?.what == "planted")
        #expect(finding?.input.contains(0x80) == true)
    }

    @Test func silentWithoutFault() {
        #expect(fuzz([[1, 2, 3]]) { _, _ in nil } == nil)
    }

    @Test func replays() {
        func inputs() -> [[UInt8]] {
            var all: [[UInt8]] = []
            _ = fuzz([[1, 2, 3]], rounds: 50) { input, _ in
                all.append(input)
                return nil
            }
            return all
        }
        #expect(inputs() == inputs())
    }
}
