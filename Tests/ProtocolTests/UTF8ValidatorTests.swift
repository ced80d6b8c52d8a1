import TestSupport
import Testing

@testable import Protocol

@Suite struct UTF8ValidatorTests {
    /// Swift's own validation is the judge.
    private func expected(_ bytes: [UInt8]) -> Bool { String(validating: bytes, as: UTF8.self) != nil }

    private func whole(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes(UTF8Validator.isValid) }

    private func fed(_ bytes: [UInt8], _ cuts: [Int]) -> Bool {
        var validator = UTF8Validator()
        for range in pieces(bytes.count, cuts) where !Array(bytes[range]).withUnsafeBytes({ validator.feed($0) }) { return false }
        return validator.isComplete
    }

    /// How many bytes are taken before the refusal; nil for none refused.
    private func refusedAt(_ bytes: [UInt8]) -> Int? {
        var validator = UTF8Validator()
        return bytes.indices.first { i in ![bytes[i]].withUnsafeBytes { validator.feed($0) } }
    }

    private func sequence(_ bytes: [UInt8]) -> Int {
        bytes.withUnsafeBufferPointer { buffer in buffer.baseAddress.map { UTF8Validator.sequence($0, $0 + buffer.count) } ?? 0 }
    }

    @Test func everyOneAndTwoBytes() {
        for a in UInt8.min...UInt8.max {
            #expect(whole([a]) == expected([a]), "\(a)")
            for b in UInt8.min...UInt8.max where whole([a, b]) != expected([a, b]) { Issue.record("\(a) \(b)") }
        }
    }

    /// Every byte at which RFC 3629's ranges begin or end, and its neighbours.
    private let boundaries: [UInt8] = [
        0x00, 0x41, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF,
        0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFD, 0xFE, 0xFF,
    ]

    @Test func everyThreeBytesBehindALeadByte() {
        // 16 lead bytes of three-byte characters, every second byte, third bytes at the boundaries.
        for a in UInt8(0xE0)...0xEF {
            for b in UInt8.min...UInt8.max {
                for c in boundaries {
                    let bytes = [a, b, c]
                    let right = expected(bytes)
                    if whole(bytes) != right || fed(bytes, [1, 2]) != right || (sequence(bytes) == 3) != right {
                        Issue.record("\(bytes)")
                    }
                }
            }
        }
    }

    @Test func boundariesOfFourBytes() {
        for a in boundaries {
            for b in boundaries {
                for c in boundaries {
                    for d in boundaries {
                        let bytes = [a, b, c, d]
                        if whole(bytes) != expected(bytes) { Issue.record("\(bytes)") }
                    }
                }
            }
        }
    }

    @Test(arguments: [
        ("ASCII", "48656c6c6f"), ("two", "c3a9"), ("three", "e282ac"), ("four", "f09f9880"), ("first of two", "c280"),
        ("last of two", "dfbf"), ("first of three", "e0a080"), ("before surrogates", "ed9fbf"), ("behind surrogates", "ee8080"),
        ("last of three", "efbfbf"), ("first of four", "f0908080"), ("last of all", "f48fbfbf"), ("NUL", "00"), ("empty", ""),
        ("RFC 3629 §7 Chinese", "e697a5e69cace8aa9e"), ("byte order mark", "efbbbf"),
    ])
    func accepted(_ name: String, _ text: String) {
        let bytes = hex(text)
        for cuts in cuttings(of: bytes.count) { #expect(fed(bytes, cuts), "\(cuts)") }
        // In every place of the eight-byte steps.
        for before in 0..<17 { #expect(whole([UInt8](repeating: 0x61, count: before) + bytes + [0x62, 0x63])) }
    }

    /// Refused, and at which byte: the first that no continuation could save.
    @Test(arguments: [
        ("lone continuation", "80", 0), ("overlong NUL", "c080", 0), ("overlong slash", "c0af", 0), ("overlong two", "c1bf", 0),
        ("overlong three", "e08080", 1), ("overlong three, last", "e09fbf", 1), ("overlong four", "f0808080", 1),
        ("overlong four, last", "f08fbfbf", 1), ("first surrogate", "eda080", 1), ("last surrogate", "edbfbf", 1),
        ("beyond U+10FFFF", "f4908080", 1), ("F5", "f5808080", 0), ("FE", "fe", 0), ("FF", "ff", 0),
        ("two cut by ASCII", "c341", 1),
        ("three cut by ASCII", "e28241", 2), ("four cut by a lead byte", "f09f98c3", 3),
        ("Autobahn 6.3.1", "cebae1bdb9cf83cebcceb5eda080", 12),
    ])
    func refused(_ name: String, _ text: String, _ at: Int) {
        let bytes = hex(text)
        #expect(refusedAt(bytes) == at)
        for cuts in cuttings(of: bytes.count) { #expect(!fed(bytes, cuts), "\(cuts)") }
        for before in 0..<17 { #expect(!whole([UInt8](repeating: 0x61, count: before) + bytes + [0x62, 0x63])) }
    }

    @Test(arguments: ["c3", "e2", "e282", "f0", "f09f", "f09f98"])
    func incomplete(_ text: String) {
        let bytes = hex(text)
        #expect(refusedAt(bytes) == nil)
        #expect(!whole(bytes))
    }

    @Test func randomTextsAgainstSwift() {
        let samples = ["plain text of some length", "grüße, €uro, 日本語, 😀😀", "\u{10FFFF}\u{D7FF}\u{E000}\u{80}"].map {
            Array($0.utf8)
        }
        let finding = fuzz(samples, rounds: 8000) { input, generator in
            let right = expected(input)
            if whole(input) != right { return "whole" }
            return fed(input, randomCuts(input.count, using: &generator)) == right ? nil : "cut"
        }
        #expect(finding == nil)
    }
}
