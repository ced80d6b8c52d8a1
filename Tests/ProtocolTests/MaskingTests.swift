import TestSupport
import Testing

@testable import Protocol

@Suite struct MaskingTests {
    private func masked(_ bytes: [UInt8], _ key: [UInt8], offset: Int = 0) -> [UInt8] {
        var copy = bytes
        copy.withUnsafeMutableBytes { unmask($0, key: MaskingKey(key[0], key[1], key[2], key[3]), offset: offset) }
        return copy
    }

    @Test func vectorOfSection57() {
        #expect(masked(hex("7f9f4d5158"), hex("37fa213d")) == Array("Hello".utf8))
    }

    /// Every length and start around the eight-byte steps, against the rule of RFC 6455 §5.3 as it is written.
    @Test func againstTheRule() {
        var generator = SeededGenerator(seed: 53)
        for count in 0...40 {
            for offset in 0...9 {
                let key = generator.bytes(4)
                let bytes = generator.bytes(count)
                let rule = bytes.enumerated().map { $0.element ^ key[($0.offset + offset) % 4] }
                #expect(masked(bytes, key, offset: offset) == rule, "\(count) bytes at \(offset)")
                #expect(masked(rule, key, offset: offset) == bytes)
            }
        }
    }

    @Test func unalignedStart() {
        var generator = SeededGenerator(seed: 54)
        for start in 0..<9 {
            let bytes = generator.bytes(64)
            var copy = bytes
            copy.withUnsafeMutableBytes {
                unmask(UnsafeMutableRawBufferPointer(rebasing: $0[start..<50]), key: MaskingKey(1, 2, 3, 4), offset: 0)
            }
            #expect(copy[..<start] == bytes[..<start])
            #expect(copy[50...] == bytes[50...])
            #expect(Array(copy[start..<50]) == masked(Array(bytes[start..<50]), [1, 2, 3, 4]))
        }
    }
}
