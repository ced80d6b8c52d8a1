// Randomness that a printed seed replays.

import Base
import Glibc

/// The numbers of `SeededRandom`, the same on every machine, and what tests make of them.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var random: SeededRandom
    public init(seed: UInt64) { random = SeededRandom(seed: seed) }

    public mutating func next() -> UInt64 { random.next() }

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
