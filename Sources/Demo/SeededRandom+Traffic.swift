// Distributions that made-up traffic follows.

import Base
import Glibc

extension SeededRandom {
    /// Uniform in 0..<1.
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// True in a share of all cases.
    mutating func chance(_ share: Double) -> Bool { unit() < share }

    /// Time to the next of events that come at random, in the unit of 1/rate.
    mutating func exponential(rate: Double) -> Double { -log(1 - unit()) / rate }

    /// Log-normal with a median; `sigma` is the spread of the logarithm.
    mutating func logNormal(median: Double, sigma: Double) -> Double {
        // Box-Muller; 1 - unit() is never 0.
        let normal = (-2 * log(1 - unit())).squareRoot() * cos(2 * .pi * unit())
        return median * exp(sigma * normal)
    }

    /// An index, as often as its weight says; 0 where there are no weights.
    mutating func index(weights: [Double]) -> Int {
        var rest = unit() * weights.reduce(0, +)
        for (index, weight) in weights.enumerated() {
            rest -= weight
            if rest < 0 { return index }
        }
        return max(0, weights.count - 1)
    }

    /// A random UUID (version 4) as the gateway writes it: 36 characters, lower case.
    mutating func uuid() -> String {
        var text = ""
        text.reserveCapacity(36)
        for (word, bits) in [next(), next()].enumerated() {
            // Version nibble, and variant bits at the top of the second word.
            let value = word == 0 ? (bits & ~0xF000) | 0x4000 : (bits & ~(3 << 62)) | 1 << 63
            for nibble in 0..<16 {
                let position = word * 16 + nibble
                if [8, 12, 16, 20].contains(position) { text += "-" }
                text += String((value >> (60 - UInt64(nibble) * 4)) & 15, radix: 16)
            }
        }
        return text
    }
}
