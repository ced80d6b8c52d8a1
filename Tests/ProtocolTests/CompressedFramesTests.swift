// Compressed messages in frames (RFC 7692 §6).

import TestSupport
import Testing

@testable import Protocol

@Suite struct CompressedFramesTests {
    private static let hello = hex("f2 48 cd c9 c9 07 00")

    private func receive(_ bytes: [UInt8], cuts: [Int] = [], max: Int = 65_536, accepts: Bool = true, keepsContext: Bool = false) throws -> [Seen] {
        let inflater = try #require(Inflater())
        let window = keepsContext ? InflateWindow(bits: 15) : nil
        var receiver = FrameReceiver(messageBytesMax: max, acceptsBinary: true)
        receiver.acceptsCompressed = accepts
        var seen: [Seen] = []
        for range in pieces(bytes.count, cuts) {
            var piece = Array(bytes[range])
            piece.withUnsafeMutableBytes { buffer in
                var input = buffer
                while let action = receiver.next(&input, inflater, { window }) {
                    switch action {
                    case .message(.text, let text): seen.append(.text(String(decoding: text, as: UTF8.self)))
                    case .message(_, let bytes): seen.append(.binary(Array(bytes)))
                    case .ping(let bytes): seen.append(.ping(Array(bytes)))
                    case .pong(let bytes): seen.append(.pong(Array(bytes)))
                    case .close(let code, let reason): seen.append(.close(code?.rawValue, reason))
                    case .fail(let code, _): seen.append(.fail(code.rawValue))
                    }
                }
            }
        }
        return seen
    }

    private static func compressed(_ text: [UInt8]) throws -> [UInt8] {
        let deflater = try #require(Deflater(window: 15, level: 6, memoryLevel: 8))
        var payload: [UInt8] = []
        text.withUnsafeBytes { deflater.append($0, to: &payload) }
        return payload
    }

    @Test(arguments: [
        ("§7.2.3.1", clientFrame(1, hello, reserved: 4), [Seen.text("Hello")]),
        ("binary", clientFrame(2, hello, reserved: 4), [.binary(Array("Hello".utf8))]),
        (
            "§7.2.3.1 in fragments", clientFrame(1, Array(hello[..<3]), final: false, reserved: 4) + clientFrame(0, Array(hello[3...])),
            [.text("Hello")]
        ),
        (
            "a ping between", clientFrame(1, Array(hello[..<3]), final: false, reserved: 4) + clientFrame(9, [1]) + clientFrame(0, Array(hello[3...])),
            [.ping([1]), .text("Hello")]
        ),
        ("plain and compressed", clientText("a") + clientFrame(1, hello, reserved: 4) + clientText("b"), [.text("a"), .text("Hello"), .text("b")]),
        ("empty", clientFrame(1, [0], reserved: 4), [.text("")]),
        ("empty first fragment", clientFrame(1, final: false, reserved: 4) + clientFrame(0, hello), [.text("Hello")]),
        ("its bit on a ping", clientFrame(9, [1], reserved: 4), [.fail(1002)]), ("on a close", clientFrame(8, [3, 0xE8], reserved: 4), [.fail(1002)]),
        ("on a continuation", clientFrame(1, hello, final: false, reserved: 4) + clientFrame(0, hello, reserved: 4), [.fail(1002)]),
        ("on the continuation of a plain message", clientText("a", final: false) + clientFrame(0, hello, reserved: 4), [.fail(1002)]),
        ("with another bit", clientFrame(1, hello, reserved: 6), [.fail(1002)]), ("another bit", clientFrame(1, hello, reserved: 2), [.fail(1002)]),
        ("noise", clientFrame(1, [0xFF, 0xFF, 0xFF, 0xFF], reserved: 4), [.fail(1007)]), ("cut short", clientFrame(1, Array(hello[..<4]), reserved: 4), [.fail(1007)]),
        ("a reference to what there was not", clientFrame(1, hello, reserved: 4) + clientFrame(1, hex("f2 00 11 00 00"), reserved: 4), [.text("Hello"), .fail(1007)]),
    ])
    func frames(name: String, bytes: [UInt8], expected: [Seen]) throws {
        for cuts in cuttings(of: bytes.count) {
            let seen = try receive(bytes, cuts: cuts)
            if seen != expected { Issue.record("\(name), cut at \(cuts): \(seen)") }
        }
    }

    @Test func context() throws {
        let bytes = clientFrame(1, CompressedFramesTests.hello, reserved: 4) + clientFrame(1, hex("f2 00 11 00 00"), reserved: 4)
        #expect(try receive(bytes, keepsContext: true) == [.text("Hello"), .text("Hello")])
    }

    @Test func withoutAgreement() throws {
        #expect(try receive(clientFrame(1, CompressedFramesTests.hello, reserved: 4), accepts: false) == [.fail(1002)])
    }

    @Test func textIsUTF8() throws {
        #expect(try receive(clientFrame(1, try CompressedFramesTests.compressed([0xC3, 0x28]), reserved: 4)) == [.fail(1007)])
        #expect(try receive(clientFrame(1, try CompressedFramesTests.compressed(Array("é".utf8)), reserved: 4)) == [.text("é")])
        // Compressed bytes need not be.
        #expect(try receive(clientFrame(2, try CompressedFramesTests.compressed([0xC3, 0x28]), reserved: 4)) == [.binary([0xC3, 0x28])])
    }

    /// The limit is of what becomes of a message; one that does not compress may be a little longer as it comes, and no more.
    @Test func limits() throws {
        var generator = SeededGenerator(seed: 3)
        let noise = generator.bytes(1000)
        let payload = try CompressedFramesTests.compressed(noise)
        #expect(payload.count > 1000)
        #expect(try receive(clientFrame(2, payload, reserved: 4), max: 1000) == [.binary(noise)])
        #expect(try receive(clientFrame(2, payload, reserved: 4), max: 999) == [.fail(1009)])
        #expect(try receive(clientFrame(2, try CompressedFramesTests.compressed([UInt8](repeating: 0, count: 100_000)), reserved: 4), max: 1000) == [.fail(1009)])
        // Refused by its header, before any of it comes.
        #expect(try receive(Array(clientFrame(2, [], reserved: 4, announced: 1190).prefix(8)), max: 1000) == [.fail(1009)])
        #expect(try receive(clientFrame(2, final: false) + clientFrame(0, noise), max: 999) == [.fail(1009)])
        // Blocks that say nothing have their bound, too.
        let silence = [UInt8](repeating: 0, count: 0) + (0..<100).flatMap { _ in hex("00 00 00 ff ff") }
        let fragments = clientFrame(2, silence, final: false, reserved: 4) + (0..<10).flatMap { _ in clientFrame(0, silence, final: false) }
        #expect(try receive(fragments, max: 1000) == [.fail(1009)])
    }
}
