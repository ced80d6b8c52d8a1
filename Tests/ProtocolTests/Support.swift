// What several tests need: a generator that a printed seed replays, pieces of bytes, and the fuzz loop.

import Glibc
import Testing

/// SplitMix64: small, and the same on every machine.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}

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

// MARK: fuzz

/// What a fuzz run found.
struct FuzzFinding: CustomStringConvertible {
    let seed: UInt64
    let round: Int
    let input: [UInt8]
    let what: String
    var description: String { "GOLEAPAI_WS_FUZZ_SEED=\(seed), round \(round): \(what); input \(input)" }
}

/// Mutates the samples and asks `check` about each result; the first complaint ends the run.
///
/// A smoke run by default; `GOLEAPAI_WS_FUZZ_ROUNDS` makes it longer, `GOLEAPAI_WS_FUZZ_SEED` another or the same again.
func fuzz(_ samples: [[UInt8]], rounds: Int = 3000, check: ([UInt8], inout SeededGenerator) -> String?) -> FuzzFinding? {
    let seed = getenv("GOLEAPAI_WS_FUZZ_SEED").flatMap { UInt64(String(cString: $0)) } ?? 20_260_205
    let rounds = getenv("GOLEAPAI_WS_FUZZ_ROUNDS").flatMap { Int(String(cString: $0)) } ?? rounds
    var generator = SeededGenerator(seed: seed)
    for round in 0..<rounds {
        let input = mutate(samples, using: &generator)
        if let what = check(input, &generator) { return FuzzFinding(seed: seed, round: round, input: input, what: what) }
    }
    return nil
}

private func mutate(_ samples: [[UInt8]], using generator: inout SeededGenerator) -> [UInt8] {
    var input = samples.randomElement(using: &generator) ?? []
    let interesting: [UInt8] = [0, 0x0A, 0x0D, 0x20, 0x22, 0x5C, 0x7F, 0x80, 0xC0, 0xED, 0xFF] + Array("{}[]:,;-0e.u".utf8)
    for _ in 0..<Int.random(in: 0...5, using: &generator) {
        let at = Int.random(in: 0...input.count, using: &generator)
        switch Int.random(in: 0..<7, using: &generator) {
        case 0 where at < input.count: input[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1 where at < input.count: input[at] = UInt8.random(in: 0...255, using: &generator)
        case 2: input.insert(interesting.randomElement(using: &generator) ?? 0, at: at)
        case 3 where at < input.count: input.removeSubrange(at..<min(input.count, at + Int.random(in: 1...8, using: &generator)))
        case 4: input.insert(contentsOf: input[at..<min(input.count, at + Int.random(in: 0...32, using: &generator))], at: at)
        case 5:
            let other = samples.randomElement(using: &generator) ?? []
            input = Array(input[..<at]) + other.suffix(Int.random(in: 0...other.count, using: &generator))
        default: input.removeSubrange(at...)
        }
        if input.count > 4096 { input.removeSubrange(4096...) }
    }
    return input
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

extension FuzzFinding: Equatable {}
