// Randomness that a printed seed replays.

import Glibc

/// SplitMix64: small, and the same on every machine.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64
    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// One of `choices`, which is not empty.
    public mutating func pick<Choice>(_ choices: [Choice]) -> Choice { choices[int(0..<choices.count)] }
    public mutating func int(_ range: Range<Int>) -> Int { Int.random(in: range, using: &self) }
    public mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    public mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
    /// True in `percent` of a hundred cases.
    public mutating func chance(_ percent: Int) -> Bool { int(0..<100) < percent }
}

/// Seeds for a property: fixed ones, or the one of `GOLEAPAI_WS_TEST_SEED`, which replays a failure.
public func testSeeds(_ count: Int) -> [UInt64] {
    if let text = getenv("GOLEAPAI_WS_TEST_SEED"), let seed = UInt64(String(cString: text)) { return [seed] }
    return (0..<count).map { 20_260_205 + UInt64($0) }
}
