import TestSupport
import Testing

@testable import Protocol

@Suite struct BodyDecoderTests {
    enum Outcome: Equatable {
        case complete([UInt8], consumed: Int)
        case incomplete([UInt8])
        case refused(Int)
    }

    private func feed(_ bytes: [UInt8], _ framing: BodyFraming, cuts: [Int] = [], bytesMax: Int = 1000) -> Outcome {
        var decoder = BodyDecoder(framing: framing, bytesMax: bytesMax)
        var body: [UInt8] = []
        var consumed = 0
        for range in pieces(bytes.count, cuts) {
            do throws(HTTPError) {
                consumed += try decoder.feedArray(Array(bytes[range]), into: &body)
            } catch { return .refused(error.status) }
            if decoder.isComplete { return .complete(body, consumed: consumed) }
            if consumed != range.upperBound { return .refused(0) }
        }
        return .incomplete(body)
    }

    static let accepted: [(String, String, BodyFraming, String, Int)] = [
        ("none", "GET", .none, "", 0), ("length 0", "GET", .length(0), "", 0), ("length", "helloGET", .length(5), "hello", 5),
        ("no chunk", "0\r\n\r\nGET", .chunked, "", 5), ("one chunk", "5\r\nhello\r\n0\r\n\r\nGET", .chunked, "hello", 15),
        ("chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", .chunked, "hello", 20),
        ("hexadecimal", "A\r\n0123456789\r\n0b\r\n0123456789a\r\n0\r\n\r\n", .chunked, "01234567890123456789a", 37),
        ("leading zeros", "000005\r\nhello\r\n000\r\n\r\n", .chunked, "hello", 22),
        ("extension", "5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n", .chunked, "hello", 29),
        ("trailers", "5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\nGET", .chunked, "hello", 27),
        ("line end in a chunk", "4\r\na\r\nb\r\n0\r\n\r\n", .chunked, "a\r\nb", 14),
    ]

    @Test(arguments: accepted) func accepts(
        _ name: String, _ text: String, _ framing: BodyFraming, _ body: String, _ consumed: Int
    ) {
        let bytes = Array(text.utf8)
        for cuts in cuttings(of: bytes.count) {
            #expect(feed(bytes, framing, cuts: cuts) == .complete(Array(body.utf8), consumed: consumed), "\(cuts)")
        }
        if consumed > 0 {
            guard case .incomplete = feed(Array(bytes[..<(consumed - 1)]), framing) else {
                Issue.record("complete too early")
                return
            }
        }
    }

    static let refused: [(String, String, Int)] = [
        ("no size", "\r\nhello\r\n", 400), ("sign", "+5\r\nhello\r\n", 400), ("minus", "-5\r\n", 400),
        ("0x", "0x5\r\nhello\r\n", 400), ("blank before", " 5\r\nhello\r\n", 400),
        ("blank behind", "5 \r\nhello\r\n", 400), ("blank before the extension", "5 ;a\r\nhello\r\n", 400),
        ("not hexadecimal", "g\r\n", 400), ("bare LF", "5\nhello\r\n", 400),
        ("bare LF behind the chunk", "5\r\nhello\n0\r\n\r\n", 400), ("chunk too short", "6\r\nhello\r\n0\r\n\r\n", 400),
        ("chunk too long", "4\r\nhello\r\n0\r\n\r\n", 400), ("bare CR in an extension", "5;a\rb\r\nhello\r\n", 400),
        ("bare LF in an extension", "5;a\nb\r\nhello\r\n", 400), ("NUL in an extension", "5;\0\r\nhello\r\n", 400),
        ("bare LF at the end", "0\r\n\n", 400), ("bare CR at the end", "0\r\n\rG", 400),
        ("control in a trailer", "0\r\nA: \u{1}\r\n\r\n", 400), ("bare LF in a trailer", "0\r\nA: b\n\r\n", 400),
        ("too large", "3e9\r\n", 413), ("far too large", "FFFFFFFFFFFFFFFF\r\n", 413),
        ("beyond Int", "80000000000000000\r\n", 413), ("too many digits", "00000000000000005\r\nhello\r\n", 400),
        ("too large together", "3e8\r\n\(String(repeating: "a", count: 1000))\r\n1\r\n", 413),
        ("endless extension", "1;\(String(repeating: "a", count: 8193))", 431),
        ("endless trailer", "0\r\nA: \(String(repeating: "a", count: 8193))", 431),
        ("endless trailers", "0\r\n\(String(repeating: "A: b\r\n", count: 2049))", 431),
        ("endless extensions", String(repeating: "1;\(String(repeating: "a", count: 100))\r\nx\r\n", count: 82), 431),
    ]

    @Test(arguments: refused) func refuses(_ name: String, _ text: String, _ status: Int) {
        let bytes = Array(text.utf8)
        for cuts in bytes.count < 1200 ? cuttings(of: bytes.count) : [[], Array(1..<bytes.count), [bytes.count - 1]] {
            #expect(feed(bytes, .chunked, cuts: cuts) == .refused(status), "\(cuts.count) cuts, first \(cuts.first ?? 0)")
        }
    }

    @Test(arguments: [(999, false), (1000, false), (1001, true), (Int.max, true)])
    func announcedLength(_ bytes: Int, _ isRefused: Bool) {
        #expect((try? BodyDecoder.check(.length(bytes), bytesMax: 1000)) == nil ? isRefused : !isRefused)
        #expect((feed([0x61], .length(bytes)) == .refused(413)) == isRefused)
    }

    @Test func noLimitCannotOverflow() {
        #expect(feed(Array("7fffffffffffffff\r\n".utf8), .chunked, bytesMax: .max) == .refused(413))
        #expect(feed(Array("ffffffffffffffff\r\n".utf8), .chunked, bytesMax: .max) == .refused(413))
    }

    /// Chunks of any size, cut anywhere, give the body they were made of.
    @Test(arguments: 0..<100)
    func roundTrip(_ seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let body = generator.bytes(Int.random(in: 0...600, using: &generator))
        var wire: [UInt8] = []
        for range in pieces(body.count, randomCuts(body.count, using: &generator)) where !range.isEmpty {
            wire += Array(String(range.count, radix: 16, uppercase: Bool.random(using: &generator)).utf8)
            if Bool.random(using: &generator) { wire += Array(";x=\"y\"".utf8) }
            wire += [0x0D, 0x0A] + body[range] + [0x0D, 0x0A]
        }
        wire += Array("0\r\n\r\n".utf8)
        for _ in 0..<10 {
            let cuts = randomCuts(wire.count, using: &generator)
            #expect(feed(wire, .chunked, cuts: cuts) == .complete(body, consumed: wire.count), "seed \(seed), cuts \(cuts)")
        }
    }

    @Test func fuzzChunks() {
        let samples = (BodyDecoderTests.accepted.map(\.1) + BodyDecoderTests.refused.map(\.1)).map { Array($0.utf8) }
        let finding = fuzz(samples, rounds: 3000) { input, generator in
            let cuts = randomCuts(input.count, using: &generator)
            let whole = feed(input, .chunked, bytesMax: 100)
            if feed(input, .chunked, cuts: cuts, bytesMax: 100) != whole { return "cut at \(cuts)" }
            if case .complete(let body, let consumed) = whole, body.count > 100 || consumed > input.count { return "too much" }
            return nil
        }
        #expect(finding == nil)
    }
}

extension BodyDecoder {
    mutating func feedArray(_ bytes: [UInt8], into body: inout [UInt8]) throws(HTTPError) -> Int {
        let result: Result<Int, HTTPError> = bytes.withUnsafeBytes { buffer in
            do throws(HTTPError) { return .success(try feed(buffer, into: &body)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
