import TestSupport
import Testing

@testable import Protocol

@Suite struct FrameReceiverTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        let bytes: [UInt8]
        let seen: [Seen]
        var messageBytesMax = 65_536
        var fragmentsMax = 65_536
        var acceptsText = true
        var acceptsBinary = true
        var testDescription: String { name }

        init(
            _ name: String, _ bytes: [UInt8], _ seen: [Seen], messageBytesMax: Int = 65_536, fragmentsMax: Int = 65_536,
            acceptsText: Bool = true, acceptsBinary: Bool = true
        ) {
            self.name = name
            self.bytes = bytes
            self.seen = seen
            self.messageBytesMax = messageBytesMax
            self.fragmentsMax = fragmentsMax
            self.acceptsText = acceptsText
            self.acceptsBinary = acceptsBinary
        }
    }

    private func check(_ test: Case) {
        for cuts in cuttings(of: test.bytes.count) {
            let result = receive(
                test.bytes, cuts: cuts, messageBytesMax: test.messageBytesMax, fragmentsMax: test.fragmentsMax,
                acceptsText: test.acceptsText, acceptsBinary: test.acceptsBinary)
            if result.seen != test.seen { Issue.record("\(test.name), cut at \(cuts): \(result.seen)") }
        }
    }

    static let hello = Array("Hello".utf8)
    static let bytes125 = [UInt8](repeating: 0x61, count: 125)
    static func letters(_ count: Int) -> [UInt8] { [UInt8](repeating: 0x61, count: count) }

    static let accepted: [Case] = [
        Case("§5.7 masked text", hex("81 85 37fa213d 7f9f4d5158"), [.text("Hello")]),
        Case(
            "§5.7 fragmented text, as a client sends it", clientText("Hel", final: false) + clientFrame(0, Array("lo".utf8)),
            [.text("Hello")]),
        Case("§5.7 masked pong", hex("8a 85 37fa213d 7f9f4d5158"), [.pong(hello)]),
        Case("ping", clientFrame(9, hello), [.ping(hello)]),
        Case("empty ping", clientFrame(9), [.ping([])]),
        Case("ping of 125", clientFrame(9, bytes125), [.ping(bytes125)]),
        Case("empty text", clientText(""), [.text("")]),
        Case("empty binary", clientFrame(2), [.binary([])]),
        Case("binary", clientFrame(2, [0, 0xFF, 0x80]), [.binary([0, 0xFF, 0x80])]),
        Case("text of 125", clientFrame(1, letters(125)), [.text(String(repeating: "a", count: 125))]),
        Case("text of 126", clientFrame(1, letters(126)), [.text(String(repeating: "a", count: 126))]),
        Case("two messages", clientText("a") + clientText("b"), [.text("a"), .text("b")]),
        Case(
            "controls between fragments",
            clientText("Hel", final: false) + clientFrame(9, [1]) + clientFrame(0, Array("l".utf8), final: false)
                + clientFrame(10, [2]) + clientFrame(0, Array("o".utf8)),
            [.ping([1]), .pong([2]), .text("Hello")]),
        Case(
            "empty fragments", clientText("", final: false) + clientFrame(0, final: false) + clientFrame(0, hello),
            [.text("Hello")]),
        Case("all fragments empty", clientText("", final: false) + clientFrame(0), [.text("")]),
        Case("last fragment empty", clientText("Hello", final: false) + clientFrame(0), [.text("Hello")]),
        Case("character cut by a fragment", clientFrame(1, [0xE2, 0x82], final: false) + clientFrame(0, [0xAC]), [.text("€")]),
        Case("key of zeros", clientFrame(1, hello, mask: [0, 0, 0, 0]), [.text("Hello")]),
        Case("close without code", clientFrame(8), [.close(nil, "")]),
        Case("close 1000", clientClose(1000), [.close(1000, "")]),
        Case("close with reason", clientClose(4999, Array("tschüß".utf8)), [.close(4999, "tschüß")]),
        Case("close of 125", clientClose(3000, letters(123)), [.close(3000, String(repeating: "a", count: 123))]),
        Case("nothing counts behind a close", clientClose(1000) + clientText("late") + [0xFF, 0xFF], [.close(1000, "")]),
        Case("close inside a fragmented message", clientText("a", final: false) + clientClose(1001), [.close(1001, "")]),
        Case(
            "as large as allowed", clientFrame(1, letters(130)), [.text(String(repeating: "a", count: 130))], messageBytesMax: 130
        ),
        Case(
            "as large as allowed, in fragments", clientFrame(2, letters(6), final: false) + clientFrame(0, letters(4)),
            [.binary(letters(10))], messageBytesMax: 10),
        Case(
            "as many fragments as allowed", clientText("a", final: false) + clientFrame(0, [0x62]), [.text("ab")], fragmentsMax: 2
        ),
        Case(
            "fragments are counted per message",
            clientText("a", final: false) + clientFrame(0, [0x62]) + clientText("c", final: false) + clientFrame(0, [0x64]),
            [.text("ab"), .text("cd")], fragmentsMax: 2),
        Case(
            "control frames do not count as fragments", clientText("a", final: false) + clientFrame(9) + clientFrame(0),
            [.ping([]), .text("a")], fragmentsMax: 2),
    ]

    @Test(arguments: accepted) func accepts(_ test: Case) { check(test) }

    static let refused: [Case] = [
        Case("not masked", clientFrame(1, hello, mask: nil), [.fail(1002)]),
        Case("control not masked", clientFrame(9, hello, mask: nil), [.fail(1002)]),
        Case("RSV1", clientFrame(1, hello, reserved: 4), [.fail(1002)]),
        Case("RSV2", clientFrame(1, hello, reserved: 2), [.fail(1002)]),
        Case("RSV3", clientFrame(1, hello, reserved: 1), [.fail(1002)]),
        Case("RSV on a control frame", clientFrame(9, reserved: 4), [.fail(1002)]),
        Case("ping of 126", clientFrame(9, letters(126)), [.fail(1002)]),
        Case("control with the 16-bit form", clientFrame(9, [1], lengthBytes: 2), [.fail(1002)]),
        Case("fragmented ping", clientFrame(9, hello, final: false), [.fail(1002)]),
        Case("fragmented close", clientFrame(8, final: false), [.fail(1002)]),
        Case("125 in the 16-bit form", clientFrame(1, letters(125), lengthBytes: 2), [.fail(1002)]),
        Case("0 in the 64-bit form", clientFrame(1, [], lengthBytes: 8), [.fail(1002)]),
        Case("65535 in the 64-bit form", clientFrame(1, [], lengthBytes: 8, announced: 65_535), [.fail(1002)]),
        Case("highest bit of the length", clientFrame(1, [], announced: 1 << 63), [.fail(1002)]),
        Case("continuation of nothing", clientFrame(0, hello), [.fail(1002)]),
        Case("continuation of a finished message", clientText("a") + clientFrame(0, hello), [.text("a"), .fail(1002)]),
        Case("text inside a message", clientText("a", final: false) + clientText("b"), [.fail(1002)]),
        Case("binary inside a message", clientText("a", final: false) + clientFrame(2), [.fail(1002)]),
        Case("binary not agreed", clientFrame(2, hello), [.fail(1003)], acceptsBinary: false),
        Case("text not agreed", clientFrame(2, hello) + clientFrame(1, hello), [.binary(hello), .fail(1003)], acceptsText: false),
        Case("too big", clientFrame(1, letters(11)), [.fail(1009)], messageBytesMax: 10),
        Case("announced as too big", clientFrame(1, [], announced: 1 << 62), [.fail(1009)]),
        Case(
            "too big by its fragments", clientFrame(1, letters(6), final: false) + clientFrame(0, letters(5)), [.fail(1009)],
            messageBytesMax: 10),
        Case("any text where none may be", clientText("a"), [.fail(1009)], messageBytesMax: 0),
        Case(
            "too many fragments", clientText("a", final: false) + clientFrame(0, final: false) + clientFrame(0), [.fail(1002)],
            fragmentsMax: 2),
        Case("not UTF-8", clientFrame(1, [0x61, 0xFF]), [.fail(1007)]),
        Case("character cut by the end", clientFrame(1, [0xE2, 0x82]), [.fail(1007)]),
        Case(
            "character cut by the end of fragments", clientFrame(1, [0xE2], final: false) + clientFrame(0, [0x82]), [.fail(1007)]),
        Case("surrogate", clientFrame(1, [0xED, 0xA0, 0x80]), [.fail(1007)]),
        Case(
            "not UTF-8 in a later fragment", clientText("a", final: false) + clientFrame(0, [0xC0], final: false), [.fail(1007)]),
        Case("close of one byte", clientFrame(8, [3]), [.fail(1002)]),
        Case("close reason not UTF-8", clientClose(1000, [0xFF]), [.fail(1007)]),
        Case("close reason cut in a character", clientClose(1000, [0xE2, 0x82]), [.fail(1007)]),
        Case("nothing counts behind a failure", clientFrame(3) + clientText("late"), [.fail(1002)]),
    ]

    @Test(arguments: refused) func refuses(_ test: Case) { check(test) }

    @Test(arguments: [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] as [UInt8])
    func refusesReservedOpcode(_ opcode: UInt8) { check(Case("opcode \(opcode)", clientFrame(opcode), [.fail(1002)])) }

    @Test(
        arguments: [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] as [UInt16])
    func acceptsCloseCode(_ code: UInt16) { check(Case("close \(code)", clientClose(code), [.close(code, "")])) }

    @Test(arguments: [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] as [UInt16])
    func refusesCloseCode(_ code: UInt16) { check(Case("close \(code)", clientClose(code), [.fail(1002)])) }

    /// RFC 6455 §5.7's larger examples, at the limits of the length forms.
    @Test(arguments: [125, 126, 127, 256, 65_535, 65_536, 70_000])
    func lengthForms(_ count: Int) {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let frame = clientFrame(2, payload)
        for cuts in [[], Array(1..<20), [2], [4], [10], [14], [15], [frame.count - 1]] {
            #expect(receive(frame, cuts: cuts, messageBytesMax: 70_000).seen == [.binary(payload)], "\(cuts)")
        }
    }

    /// What is wrong is refused by the first byte that shows it, before the rest is there.
    @Test(
        arguments: [
            ("reserved bit", hex("c1"), 1002), ("not masked", hex("8105"), 1002), ("long control", hex("89fe"), 1002),
            ("too big, before the key", hex("82ff 0000000000ffffff"), 1009),
            ("not UTF-8, inside a frame", hex("81ff 0000000000010000 00000000 61ff"), 1007),
            ("not UTF-8, inside a fragment", hex("0184 00000000 c0"), 1007),
        ] as [(String, [UInt8], UInt16)])
    func failsFast(_ name: String, _ bytes: [UInt8], _ code: UInt16) {
        for cuts in cuttings(of: bytes.count) { #expect(receive(bytes, cuts: cuts).seen == [.fail(code)], "\(cuts)") }
        #expect(receive(Array(bytes.dropLast())).seen == [])
    }

    @Test func idleness() {
        #expect(receive([]).isIdle)
        #expect(receive(clientText("a")).isIdle)
        #expect(receive(clientFrame(9, [1])).isIdle)
        #expect(!receive([0x81]).isIdle)
        #expect(!receive(clientText("a", final: false)).isIdle)
        #expect(!receive(Array(clientText("abc").dropLast())).isIdle)
        #expect(receive(clientText("a", final: false) + clientFrame(0)).isIdle)
    }

    /// One lives in every connection, of which there are thousands doing nothing.
    @Test func sizeWhileIdle() { #expect(MemoryLayout<FrameReceiver>.size <= 96) }

    @Test func wholeMessagesAreNotCopied() {
        var frame = clientText("Hello") + clientFrame(9, [1, 2])
        frame.withUnsafeMutableBytes { buffer -> Void in
            var receiver = FrameReceiver(messageBytesMax: 100, acceptsBinary: false)
            var input = buffer
            guard case .message(.text, let text) = receiver.next(&input) else {
                Issue.record("no message")
                return
            }
            #expect(text.baseAddress == buffer.baseAddress.map { UnsafeRawPointer($0 + 6) })
            guard case .ping(let payload) = receiver.next(&input) else {
                Issue.record("no ping")
                return
            }
            #expect(payload.baseAddress == buffer.baseAddress.map { UnsafeRawPointer($0 + 17) })
            if receiver.next(&input) != nil { Issue.record("more than was sent") }
        }
    }

    /// Takes milliseconds in a release build; copying what is there at each fragment would take minutes.
    @Test func largestMessageInMostFragments() {
        let size = 16 << 20
        let fragment = 256
        var wire: [UInt8] = []
        wire.reserveCapacity(size + 65_536 * 8)
        let payload = [UInt8](repeating: 0x5A, count: fragment)
        for i in 0..<65_536 { wire += clientFrame(i == 0 ? 2 : 0, payload, final: i == 65_535, mask: [0, 0, 0, 0]) }
        var receiver = FrameReceiver(messageBytesMax: size, acceptsBinary: true)
        var messages = 0
        wire.withUnsafeMutableBytes { buffer -> Void in
            for start in stride(from: 0, to: buffer.count, by: 65_536) {
                var input = UnsafeMutableRawBufferPointer(rebasing: buffer[start..<min(start + 65_536, buffer.count)])
                while let action = receiver.next(&input) {
                    guard case .message(.binary, let bytes) = action else {
                        Issue.record("\(action)")
                        return
                    }
                    messages += 1
                    #expect(bytes.count == size)
                    #expect(bytes.first == 0x5A && bytes.last == 0x5A)
                }
            }
        }
        #expect(messages == 1)
        let isIdle = receiver.isIdle
        #expect(isIdle)
    }

    // MARK: properties

    /// Random conversations, cut at random: what was sent is what is seen.
    @Test(arguments: 0..<200)
    func conversation(_ seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var wire: [UInt8] = []
        var expected: [Seen] = []
        for _ in 0..<Int.random(in: 1...8, using: &generator) {
            let isText = Bool.random(using: &generator)
            let size = [0, 1, 5, 125, 126, 127, 300, 1000].randomElement(using: &generator) ?? 0
            let payload = isText ? Array(String(repeating: "aé€😀", count: size / 10).utf8) : generator.bytes(size)
            let cuts = Bool.random(using: &generator) ? randomCuts(payload.count, using: &generator) : []
            let parts = pieces(payload.count, cuts)
            for (i, range) in parts.enumerated() {
                if Int.random(in: 0..<4, using: &generator) == 0 {
                    let echo = generator.bytes(Int.random(in: 0...125, using: &generator))
                    wire += clientFrame(9, echo, mask: generator.bytes(4))
                    expected.append(.ping(echo))
                }
                wire += clientFrame(
                    i > 0 ? 0 : isText ? 1 : 2, Array(payload[range]), final: i == parts.count - 1, mask: generator.bytes(4))
            }
            expected.append(isText ? .text(String(decoding: payload, as: UTF8.self)) : .binary(payload))
        }
        for _ in 0..<5 {
            let cuts = randomCuts(wire.count, using: &generator)
            #expect(receive(wire, cuts: cuts).seen == expected, "seed \(seed), cuts \(cuts)")
        }
        #expect(receive(wire, cuts: Array(1..<wire.count)).seen == expected, "seed \(seed), byte by byte")
    }

    /// Whatever comes, the verdict does not depend on how it was cut.
    @Test func fuzzCutting() {
        let samples = (FrameReceiverTests.accepted + FrameReceiverTests.refused).map(\.bytes)
        let finding = fuzz(samples, rounds: 5000) { input, generator in
            let limit = Int.random(in: 0...300, using: &generator)
            let whole = receive(input, messageBytesMax: limit, fragmentsMax: 4)
            let cuts = randomCuts(input.count, using: &generator)
            let cut = receive(input, cuts: cuts, messageBytesMax: limit, fragmentsMax: 4)
            return whole.seen == cut.seen && whole.isIdle == cut.isIdle ? nil : "cut at \(cuts): \(whole.seen) and \(cut.seen)"
        }
        #expect(finding == nil)
    }
}
