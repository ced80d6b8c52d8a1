// Compressing and decompressing messages.

import TestSupport
import Testing

@testable import Protocol

@Suite struct DeflateTests {
    /// What the decompressor makes of a payload.
    enum Result: Equatable {
        case message([UInt8])
        case tooLong, garbage
    }

    private func inflate(_ inflater: Inflater, _ payload: [UInt8], max: Int = 65_536, _ window: InflateWindow? = nil) -> Result? {
        // In memory of its exact size, so that a sanitizer sees what is read beyond it.
        let outcome = payload.withUnsafeBytes { inflater.inflate($0, bytesMax: max, window: window) }
        switch outcome {
        case .message(let bytes): return .message(Array(bytes))
        case .tooLong: return .tooLong
        case .garbage: return .garbage
        case .outOfMemory: return nil
        }
    }

    private func compress(_ deflater: Deflater, _ message: [UInt8], room: Int? = nil) -> [UInt8]? {
        var target = [UInt8](repeating: 0, count: room ?? message.count * 2 + 64)
        let count = message.withUnsafeBytes { message in target.withUnsafeMutableBytes { deflater.compress(message, into: $0) } }
        return count.map { Array(target[..<$0]) }
    }

    private static let hello = Array("Hello".utf8)

    /// RFC 7692 §7.2.3.1 to §7.2.3.6.
    @Test(arguments: [
        ("one block", "f2 48 cd c9 c9 07 00", hello), ("a block without compression", "00 05 00 fa ff 48 65 6c 6c 6f 00", hello),
        ("a final block", "f3 48 cd c9 c9 07 00 00", hello), ("two blocks", "f2 48 05 00 00 00 ff ff ca c9 c9 07 00", hello),
        ("an empty message", "00", []),
        // As some write them.
        ("a final block and nothing behind it", "f3 48 cd c9 c9 07 00", hello), ("an empty message without a byte", "", []),
    ])
    func vectors(name: String, payload: String, message: [UInt8]) throws {
        let inflater = try #require(Inflater())
        for _ in 0..<2 { #expect(inflate(inflater, hex(payload)) == .message(message), "\(name)") }
    }

    /// RFC 7692 §7.2.3.2: the second refers to the first.
    @Test func contextOfTheSpecification() throws {
        let inflater = try #require(Inflater())
        let window = InflateWindow(bits: 15)
        #expect(inflate(inflater, hex("f2 48 cd c9 c9 07 00"), window) == .message(DeflateTests.hello))
        #expect(inflate(inflater, hex("f2 00 11 00 00"), window) == .message(DeflateTests.hello))
        // Who keeps none has nothing to refer to, and leaves nothing to others.
        #expect(inflate(inflater, hex("f2 48 cd c9 c9 07 00")) == .message(DeflateTests.hello))
        #expect(inflate(inflater, hex("f2 00 11 00 00")) == .garbage)
        #expect(inflate(inflater, hex("f2 00 11 00 00"), window) == .message(DeflateTests.hello))
        #expect(inflate(inflater, hex("f2 00 11 00 00"), InflateWindow(bits: 15)) == .garbage)
    }

    /// A final block ends no context.
    @Test func contextOverFinalBlocks() throws {
        let inflater = try #require(Inflater())
        let window = InflateWindow(bits: 15)
        #expect(inflate(inflater, hex("f3 48 cd c9 c9 07 00 00"), window) == .message(DeflateTests.hello))
        #expect(inflate(inflater, hex("f2 00 11 00 00"), window) == .message(DeflateTests.hello))
    }

    /// The end of everything that was kept, while it is little in memory of its size.
    @Test(arguments: testSeeds(3))
    func windows(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for bits in 7...16 {
            let window = InflateWindow(bits: bits)
            #expect(window.bytesMax == 1 << min(max(bits, 8), 15) && window.capacity == 0)
            var all: [UInt8] = []
            for _ in 0..<60 {
                let message = generator.bytes(generator.int(0...(generator.chance(10) ? 70_000 : 400)))
                all += message
                #expect(message.withUnsafeBytes { window.keep($0) })
                #expect(Array(window.parts.0) + Array(window.parts.1) == all.suffix(window.bytesMax), "\(bits) bits, seed \(seed)")
                if all.count <= 4096 { #expect(window.capacity <= min(window.bytesMax, max(256, 2 * all.count))) }
            }
        }
    }

    private static func texts(_ generator: inout SeededGenerator) -> [[UInt8]] {
        let words = ["provider", "request", "latency_ms", "\"level\":\"info\",", "gpt-4o", "0123456789", "ü🚀"]
        return [0, 1, 2, 100, 249, 250, 251, 252, 256, 257, 300, 511, 512, 513, 1000, 5000, 40_000, 70_000].map { size in
            switch generator.int(0..<3) {
            case 0: generator.bytes(size)
            case 1: [UInt8](repeating: 0x61, count: size)
            default:
                Array((0..<(size / 4 + 1)).flatMap { _ in Array(generator.pick(words).utf8) }.prefix(size))
            }
        }
    }

    /// Each for itself, in every window: whoever has a window of that size follows, and of 8 bits where 9 are used.
    @Test(arguments: testSeeds(3))
    func shared(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for window in Deflater.windows {
            let deflater = try #require(Deflater(window: window, level: 6, memoryLevel: 8))
            let fitting = try #require(Inflater(window: window))
            let smaller = try #require(Inflater(window: window == 9 ? 8 : window))
            for message in DeflateTests.texts(&generator) {
                let payload = try #require(compress(deflater, message))
                #expect(inflate(fitting, payload, max: 70_000) == .message(message), "seed \(seed), window \(window), \(message.count) bytes")
                #expect(inflate(smaller, payload, max: 70_000) == .message(message), "seed \(seed), window \(window), \(message.count) bytes")
            }
        }
    }

    /// What an 8-bit window can follow is no matter of luck: repetitions at every distance around 250 and 256.
    @Test func windowOfEightBits() throws {
        for level in 1...9 {
            let deflater = try #require(Deflater(window: 9, level: level, memoryLevel: 8))
            let stream = try #require(Deflater(window: 9, level: level, memoryLevel: 8))
            let inflater = try #require(Inflater(window: 8))
            let window = InflateWindow(bits: 8)
            for distance in 240...265 {
                var generator = SeededGenerator(seed: UInt64(distance))
                let message = Array(repeating: generator.bytes(distance), count: 6).flatMap { $0 }
                #expect(inflate(inflater, try #require(compress(deflater, message))) == .message(message), "level \(level), distance \(distance)")
                var payload: [UInt8] = []
                message.withUnsafeBytes { stream.append($0, to: &payload) }
                #expect(inflate(inflater, payload, window) == .message(message), "level \(level), distance \(distance)")
            }
        }
    }

    /// Streams of messages, each referring to those before; empty ones too.
    @Test(arguments: testSeeds(3))
    func streams(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for (window, memoryLevel) in [(9, 1), (12, 5), (15, 9)] {
            let deflater = try #require(Deflater(window: window, level: 6, memoryLevel: memoryLevel))
            let inflater = try #require(Inflater())
            let before = InflateWindow(bits: window)
            for message in DeflateTests.texts(&generator) + DeflateTests.texts(&generator) + [[], [], [1]] {
                var payload: [UInt8] = [7]
                message.withUnsafeBytes { deflater.append($0, to: &payload) }
                #expect(payload.removeFirst() == 7 && !payload.isEmpty)
                #expect(inflate(inflater, payload, max: 70_000, before) == .message(message), "seed \(seed), \(message.count) bytes")
                #expect(before.capacity <= 1 << window)
                if generator.chance(50) { #expect(inflate(inflater, hex("f2 48 cd c9 c9 07 00")) == .message(DeflateTests.hello), "others in between") }
            }
        }
    }

    /// Where it does not fit, it would not have paid.
    @Test func whatDoesNotFit() throws {
        var generator = SeededGenerator(seed: 1)
        let deflater = try #require(Deflater(window: 15, level: 6, memoryLevel: 8))
        let noise = generator.bytes(1000)
        #expect(compress(deflater, noise, room: noise.count) == nil)
        let payload = try #require(compress(deflater, [UInt8](repeating: 0x20, count: 1000), room: 1000))
        #expect(payload.count < 30)
        for room in 0..<payload.count + 4 { #expect(compress(deflater, [UInt8](repeating: 0x20, count: 1000), room: room) == nil) }
        #expect(compress(deflater, [UInt8](repeating: 0x20, count: 1000)) == payload, "what failed leaves nothing behind")
    }

    /// A bomb is stopped at the limit, whatever it would have become.
    @Test func bombs() throws {
        let deflater = try #require(Deflater(window: 15, level: 9, memoryLevel: 9))
        let bomb = try #require(compress(deflater, [UInt8](repeating: 0, count: 10_000_000), room: 20_000))
        #expect(bomb.count < 10_000)
        let inflater = try #require(Inflater())
        #expect(inflate(inflater, bomb) == .tooLong)
        for (size, max) in [(1000, 999), (1000, 1000), (65_537, 65_536), (65_536, 65_536), (1, 0), (0, 0)] {
            let payload = try #require(compress(deflater, [UInt8](repeating: 0, count: size)))
            let expected = size > max ? Result.tooLong : .message([UInt8](repeating: 0, count: size))
            #expect(inflate(inflater, payload, max: max) == expected, "\(size) of \(max)")
        }
        #expect(inflate(inflater, hex("f2 48 cd c9 c9 07 00")) == .message(DeflateTests.hello), "it goes on as if nothing had been")
    }

    /// What is cut anywhere is no message, and no crash.
    @Test func truncated() throws {
        let deflater = try #require(Deflater(window: 15, level: 6, memoryLevel: 8))
        let inflater = try #require(Inflater())
        let message = Array("the quick brown fox jumps over the lazy dog, and over the lazy cat".utf8)
        let payload = try #require(compress(deflater, message))
        for length in 1..<payload.count - 1 {
            let result = inflate(inflater, Array(payload[..<length]))
            #expect(result == .garbage, "cut at \(length) of \(payload.count): \(String(describing: result))")
        }
    }

    /// Random and damaged payloads: never more than the limit, and afterwards all is well.
    @Test func damaged() throws {
        let deflater = try #require(Deflater(window: 15, level: 6, memoryLevel: 8))
        var generator = SeededGenerator(seed: 7)
        var samples = try DeflateTests.texts(&generator).prefix(10).map { try #require(compress(deflater, $0)) }
        samples += [hex("f2 48 cd c9 c9 07 00"), hex("00 05 00 fa ff 48 65 6c 6c 6f 00"), hex("f3 48 cd c9 c9 07 00 00"), generator.bytes(300), []]
        samples.append(try #require(compress(deflater, [UInt8](repeating: 0, count: 1_000_000), room: 20_000)))
        let inflater = try #require(Inflater())
        let window = InflateWindow(bits: 10)
        let finding = fuzz(samples) { input, generator in
            let max = generator.int(0...3000)
            switch inflate(inflater, input, max: max, generator.chance(30) ? window : nil) {
            case nil: return "out of memory"
            case .message(let bytes) where bytes.count > max: return "\(bytes.count) bytes of \(max)"
            default: break
            }
            return inflate(inflater, hex("f2 48 cd c9 c9 07 00")) == .message(DeflateTests.hello) ? nil : "it does not recover"
        }
        #expect(finding == nil, "\(finding.map(\.description) ?? "")")
    }
}
