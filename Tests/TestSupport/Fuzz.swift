// The fuzz loop: samples, mutated at random, against whatever takes foreign bytes.

import Glibc

/// What a fuzz run found.
public struct FuzzFinding: CustomStringConvertible, Equatable {
    public let seed: UInt64
    public let round: Int
    public let input: [UInt8]
    public let what: String
    public var description: String { "GOLEAPAI_WS_FUZZ_SEED=\(seed), round \(round): \(what); input \(input)" }
}

/// Mutates the samples and asks `check` about each result; the first complaint ends the run.
///
/// A smoke run by default; `GOLEAPAI_WS_FUZZ_ROUNDS` makes it longer, `GOLEAPAI_WS_FUZZ_SEED` another or the same again.
public func fuzz(
    _ samples: [[UInt8]], rounds: Int = 3000, check: ([UInt8], inout SeededGenerator) throws -> String?
) rethrows -> FuzzFinding? {
    let seed = getenv("GOLEAPAI_WS_FUZZ_SEED").flatMap { UInt64(String(cString: $0)) } ?? 20_260_205
    let rounds = getenv("GOLEAPAI_WS_FUZZ_ROUNDS").flatMap { Int(String(cString: $0)) } ?? rounds
    var generator = SeededGenerator(seed: seed)
    for round in 0..<rounds {
        let input = mutate(samples, using: &generator)
        if let what = try check(input, &generator) { return FuzzFinding(seed: seed, round: round, input: input, what: what) }
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
