import Testing

@testable import Protocol

@Suite struct FrameWriterTests {
    @Test func vectorsOfSection57() {
        #expect(FrameWriter.text("Hello") == hex("8105 48656c6c6f"))
        #expect(FrameWriter.frame(.ping, Array("Hello".utf8)) == hex("8905 48656c6c6f"))
        #expect(FrameWriter.frame(.binary, [UInt8](repeating: 7, count: 256)).prefix(4) == hex("827e0100")[...])
        #expect(FrameWriter.frame(.binary, [UInt8](repeating: 7, count: 65_536)).prefix(10) == hex("827f0000000000010000")[...])
    }

    @Test(arguments: [(0, 2), (1, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (1 << 20, 10)])
    func headerSizes(_ payload: Int, _ bytes: Int) {
        #expect(FrameWriter.headerBytes(payload: payload) == bytes)
        let frame = FrameWriter.frame(.text, [UInt8](repeating: 0x61, count: payload))
        #expect(frame.count == bytes + payload)
        #expect(frame.dropFirst(bytes).allSatisfy { $0 == 0x61 })
    }

    @Test func closeFrames() {
        #expect(FrameWriter.close(.normal, "") == hex("8802 03e8"))
        #expect(FrameWriter.close(.tooSlow, "slow") == hex("8806 0fa8 736c6f77"))
        #expect(FrameWriter.close(nil, "ignored") == hex("8800"))
        #expect(FrameWriter.close(CloseCode(rawValue: 1006), "never on the wire") == hex("8800"))
    }

    @Test(arguments: [
        (String(repeating: "a", count: 200), 125), (String(repeating: "é", count: 100), 124),
        (String(repeating: "😀", count: 60), 122),
    ])
    func longReasonIsCutBetweenCharacters(_ reason: String, _ payload: Int) {
        let frame = FrameWriter.close(.internalError, reason)
        #expect(frame[1] == UInt8(payload))
        #expect(String(validating: frame.dropFirst(4), as: UTF8.self).map { reason.hasPrefix($0) } == true)
    }

    @Test func controlPayloadIsCut() {
        #expect(FrameWriter.frame(.ping, [UInt8](repeating: 1, count: 126)).count == 127)
    }
}

@Suite struct CloseCodeTests {
    @Test func tableIsConsistent() {
        for entry in CloseCode.table {
            #expect(entry.code.isSendableOnWire)
            #expect(entry.reason.utf8.count <= 123 && !entry.reason.isEmpty)
            #expect(entry.metricLabel.allSatisfy { $0.isLowercase || $0 == "_" })
            #expect(entry.code.reason == entry.reason && entry.code.metricLabel == entry.metricLabel)
            #expect(entry.code.verdict == entry.verdict)
        }
        #expect(CloseCode.table.map(\.code.rawValue) == CloseCode.table.map(\.code.rawValue).sorted())
        #expect(Set(CloseCode.table.map(\.metricLabel)).count == CloseCode.table.count)
        #expect(Set(CloseCode.table.map(\.code)).count == CloseCode.table.count)
    }

    @Test func unknownCodes() {
        let code = CloseCode(rawValue: 3999)
        #expect(code.metricLabel == "other" && code.reason == "" && code.verdict == .backOff)
    }
}
