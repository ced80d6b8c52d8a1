import TestSupport
import Testing

@testable import Protocol

/// What a text says once it has been MessagePack: integers of 64 bits as they are, other numbers as their Double.
private func normalised(_ json: JSON) -> JSON {
    switch json {
    case .number(let text):
        if text == "-0" { return .number("0") }
        if Int64(text) != nil || UInt64(text) != nil { return json }
        guard let value = Double(text) else { return json }
        return .number(value.isFinite ? value.description : value < 0 ? "-1e999" : "1e999")
    case .array(let elements): return .array(elements.map(normalised))
    case .object(let members): return .object(members.map { ($0.key, normalised($0.value)) })
    default: return json
    }
}

private func json(_ bytes: [UInt8], depthMax: Int = 64, valuesMax: Int = .max, from origin: MessagePack.Origin = .peer) -> Result<String, MessagePackError> {
    bytes.withUnsafeBytes { bytes in
        do throws(MessagePackError) {
            return .success(String(decoding: try MessagePack.json(of: bytes, depthMax: depthMax, valuesMax: valuesMax, from: origin), as: UTF8.self))
        } catch {
            return .failure(error)
        }
    }
}

private func repeated(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }

@Suite struct MessagePackTests {
    /// JSON and its shortest form, limits at both sides.
    static let pairs: [(String, String)] = [
        ("null", "c0"), ("false", "c2"), ("true", "c3"),
        ("0", "00"), ("127", "7f"), ("128", "cc 80"), ("255", "cc ff"), ("256", "cd 0100"), ("65535", "cd ffff"), ("65536", "ce 00010000"),
        ("4294967295", "ce ffffffff"), ("4294967296", "cf 0000000100000000"), ("9223372036854775807", "cf 7fffffffffffffff"),
        ("9223372036854775808", "cf 8000000000000000"), ("18446744073709551615", "cf ffffffffffffffff"),
        ("-1", "ff"), ("-32", "e0"), ("-33", "d0 df"), ("-128", "d0 80"), ("-129", "d1 ff7f"), ("-32768", "d1 8000"), ("-32769", "d2 ffff7fff"),
        ("-2147483648", "d2 80000000"), ("-2147483649", "d3 ffffffff7fffffff"), ("-9223372036854775808", "d3 8000000000000000"),
        ("1.0", "cb 3ff0000000000000"), ("-0.0", "cb 8000000000000000"), ("1.5", "cb 3ff8000000000000"), ("0.1", "cb 3fb999999999999a"),
        ("5e-324", "cb 0000000000000001"), ("1.7976931348623157e+308", "cb 7fefffffffffffff"),
        (#""""#, "a0"), (#""a""#, "a1 61"), (#""é€😀""#, "a9 c3a9e282acf09f9880"), ("[]", "90"), ("{}", "80"), (#"[1,"a",null]"#, "93 01 a161 c0"),
        (#"{"a":1,"":{"b":[]}}"#, "82 a161 01 a0 81 a162 90"), ("[[[]]]", "91 91 90"),
    ]

    @Test(arguments: pairs)
    func bothWays(_ text: String, _ bytes: String) {
        #expect(MessagePack.bytes(of: Array(text.utf8)) == hex(bytes))
        #expect(json(hex(bytes)) == .success(text))
    }

    /// Texts that come back in another form.
    @Test(arguments: [
        ("-0", "00"), ("1e0", "cb 3ff0000000000000"), ("1E2", "cb 4059000000000000"), ("-1.5e+1", "cb c02e000000000000"),
        ("18446744073709551616", "cb 43f0000000000000"), ("-9223372036854775809", "cb c3e0000000000000"),
        ("123456789012345678901234567890", "cb 45f8ee90ff6c373e"), ("1e400", "cb 7ff0000000000000"), ("-1e400", "cb fff0000000000000"), ("1e-400", "cb 0000000000000000"),
        (#""\"\\\/\b\f\n\r\t""#, "a8 225c2f080c0a0d09"), (#""\u0041\u00e9\u20AC\ud83d\ude00""#, "aa 41c3a9e282acf09f9880"), (#""\ud800x""#, "a4 efbfbd78"),
        (#"{"\u0061":"\u0000"}"#, "81 a161 a100"), (#"{"a":1,"a":2}"#, "82 a161 01 a161 02"),
    ])
    func oneWay(_ text: String, _ bytes: String) { #expect(MessagePack.bytes(of: Array(text.utf8)) == hex(bytes)) }

    /// Longer forms than needed, as other writers may choose them.
    @Test(arguments: [
        ("cc 05", "5"), ("cd 0005", "5"), ("ce 00000005", "5"), ("cf 0000000000000005", "5"), ("d0 05", "5"), ("d3 ffffffffffffffff", "-1"),
        ("d1 ff80", "-128"), ("ca 3fc00000", "1.5"), ("ca 3f800000", "1.0"), ("d9 01 61", #""a""#), ("da 0001 61", #""a""#), ("db 00000001 61", #""a""#),
        ("dc 0001 c0", "[null]"), ("dd 00000000", "[]"), ("de 0001 d901 61 c3", #"{"a":true}"#), ("df 00000001 a0 c2", #"{"":false}"#),
        ("a3 00 22 5c", #""\u0000\"\\""#),
    ])
    func longerForms(_ bytes: String, _ text: String) { #expect(json(hex(bytes)) == .success(text)) }

    @Test(arguments: [
        ("", "unexpected end", 0), ("c1", "a byte that begins no value", 0), ("c4 01 00", "binary is not accepted", 0),
        ("c5 0001 00", "binary is not accepted", 0), ("c6 00000001 00", "binary is not accepted", 0),
        ("d4 01 00", "extension types are not accepted", 0), ("d6 ff 00000000", "extension types are not accepted", 0),
        ("c7 01 01 00", "extension types are not accepted", 0), ("c9 00000001 01 00", "extension types are not accepted", 0),
        ("00 00", "unexpected bytes behind the value", 1), ("81 a161 01 c0", "unexpected bytes behind the value", 4),
        ("81 01 01", "a name that is no string", 1), ("81 c0 01", "a name that is no string", 1), ("81 c40161 01", "a name that is no string", 1),
        ("82 a161 01 a161 02", "a name for the second time", 4), ("82 a161 01 d90161 02", "a name for the second time", 4),
        ("cb 7ff8000000000000", "a number that is not finite", 0), ("91 cb 7ff0000000000000", "a number that is not finite", 1),
        ("ca ff800000", "a number that is not finite", 0),
        ("a1 ff", "invalid UTF-8", 0), ("91 a2 c3 28", "invalid UTF-8", 1), ("a3 eda080", "invalid UTF-8", 0), ("81 a1 80 01", "invalid UTF-8", 1),
        ("a1", "unexpected end", 1), ("d9", "unexpected end", 1), ("d9 05 61", "unexpected end", 3), ("db ffffffff 61", "unexpected end", 6),
        ("dd ffffffff", "unexpected end", 5), ("dd ffffffff c0", "unexpected end", 6), ("df ffffffff a161 01", "unexpected end", 8),
        ("91", "unexpected end", 1), ("81 a161", "unexpected end", 3), ("cb 00", "unexpected end", 2), ("cd 00", "unexpected end", 2),
    ] as [(String, String, Int)])
    func refused(_ bytes: String, _ what: String, _ offset: Int) {
        #expect(json(hex(bytes)) == .failure(MessagePackError(offset: offset, what: what)))
    }

    /// What a publisher wrote reaches our own clients, even if a stranger may not say it.
    @Test func daemonsOwn() {
        #expect(json(hex("82 a161 01 a161 02"), from: .daemon) == .success(#"{"a":1,"a":2}"#))
        #expect(json(hex("92 cb 7ff0000000000000 cb fff0000000000000"), from: .daemon) == .success("[1e999,-1e999]"))
        #expect(json(hex("cb 7ff8000000000000"), from: .daemon) == .failure(MessagePackError(offset: 0, what: "a number that is not finite")))
    }

    @Test(arguments: [0, 1, 15, 16, 64])
    func depth(_ depth: Int) {
        let nested = repeated("[", depth) + "0" + repeated("]", depth)
        let bytes = MessagePack.bytes(of: Array(nested.utf8))
        #expect(json(bytes, depthMax: depth) == .success(nested))
        if depth > 0 { #expect(json(bytes, depthMax: depth - 1) == .failure(MessagePackError(offset: depth - 1, what: "nested too deeply"))) }
        let maps = repeated(#"{"a":"#, depth) + "0" + repeated("}", depth)
        #expect(json(MessagePack.bytes(of: Array(maps.utf8)), depthMax: depth) == .success(maps))
    }

    /// Heads at both sides of each limit.
    @Test(arguments: [(0, 1), (31, 1), (32, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5)])
    func stringHeads(_ count: Int, _ head: Int) {
        let plain = "\"" + repeated("x", count) + "\""
        #expect(MessagePack.bytes(of: Array(plain.utf8)).count == head + count)
        #expect(json(MessagePack.bytes(of: Array(plain.utf8))) == .success(plain))
        // With escapes, what counts is the text.
        let escaped = "\"" + repeated("\\n", count) + "\""
        #expect(MessagePack.bytes(of: Array(escaped.utf8)).count == head + count)
        #expect(json(MessagePack.bytes(of: Array(escaped.utf8))) == .success(escaped))
    }

    @Test(arguments: [(0, 1), (15, 1), (16, 3), (65_535, 3), (65_536, 5)])
    func containerHeads(_ count: Int, _ head: Int) {
        let array = "[" + (0..<count).map { "\($0 % 100)" }.joined(separator: ",") + "]"
        #expect(MessagePack.bytes(of: Array(array.utf8)).count == head + count)
        #expect(json(MessagePack.bytes(of: Array(array.utf8))) == .success(array))
        let map = "{" + (0..<count).map { "\"\($0)\":[]" }.joined(separator: ",") + "}"
        #expect(json(MessagePack.bytes(of: Array(map.utf8))) == .success(map))
        #expect(MessagePack.bytes(of: Array(map.utf8))[0] == (count <= 15 ? 0x80 | UInt8(count) : count <= 65_535 ? 0xDE : 0xDF))
    }

    /// The texts that grow most, at every level; the writer would trap beyond the bound.
    @Test func bound() {
        let floats = "[" + Array(repeating: "1.5", count: 70_000).joined(separator: ",") + "]"
        let nested = "[" + Array(repeating: "[" + Array(repeating: "1e5", count: 16).joined(separator: ",") + "]", count: 400).joined(separator: ",") + "]"
        for text in ["1.5", "[1e1]", floats, nested, "[\(floats),\(floats)]", "\"" + repeated("x", 65_536) + "\""] {
            let bytes = MessagePack.bytes(of: Array(text.utf8))
            #expect(bytes.count <= MessagePack.bytesMax(texts: 1, bytes: text.utf8.count))
            #expect((try? json(bytes).get()).flatMap { try? JSON(parsing: $0) } == (try? JSON(parsing: text)).map(normalised))
        }
        // So many texts together are within what one log has for them.
        #expect(2 * MessagePack.bytesMax(texts: 1, bytes: 3) <= MessagePack.bytesMax(texts: 2, bytes: 6))
    }

    // MARK: properties

    @Test(arguments: 0..<300)
    func sameValue(_ seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let text = try compact(Array(JSONScannerTests.randomText(&generator).utf8)).bytes
        let bytes = MessagePack.bytes(of: text)
        let back = try json(bytes, from: .daemon).get()
        #expect(try JSON(parsing: back) == normalised(JSON(parsing: text)), "seed \(seed)")
        // And that is a fixed point.
        #expect(MessagePack.bytes(of: Array(back.utf8)) == bytes, "seed \(seed)")
        for count in 0..<bytes.count { #expect(throws: MessagePackError.self, "seed \(seed)") { try json(Array(bytes[..<count]), from: .daemon).get() } }
        #expect(throws: MessagePackError.self, "seed \(seed)") { try json(bytes + [0xC0], from: .daemon).get() }
    }

    @Test(arguments: testSeeds(3))
    func numbers(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            // Of every length, so that every form has its turn.
            let bits = generator.next() >> UInt64(generator.int(0..<64))
            for text in ["\(bits)", "\(Int64(bitPattern: bits))", "-\(bits)", "\(bits)e\(generator.int(-330...310))", "\(bits).\(generator.int(0...999))"] {
                let back = try json(MessagePack.bytes(of: Array(text.utf8)), from: .daemon).get()
                #expect(JSON.number(back) == normalised(.number(text)), "seed \(seed)")
            }
        }
    }

    /// Whatever comes: no crash, and what is taken is JSON of bounded size that says the same again.
    @Test func valuesAreCounted() {
        let bytes: [UInt8] = [0x93, 1, 2, 0x90]
        #expect(json(bytes, valuesMax: 4) == .success("[1,2,[]]"))
        #expect(json(bytes, valuesMax: 3) == .failure(MessagePackError(offset: 3, what: "too many values")))
    }

    @Test func fuzzReader() {
        var generator = SeededGenerator(seed: 10_007)
        var samples = MessagePackTests.pairs.map { hex($0.1) }
        for _ in 0..<50 { samples.append(MessagePack.bytes(of: (try? compact(Array(JSONScannerTests.randomText(&generator).utf8)).bytes) ?? [])) }
        for _ in 0..<20 { samples.append(generator.bytes(60)) }
        let finding = fuzz(samples, rounds: 8000) { input, generator in
            let depthMax = generator.int(0...70)
            let origin: MessagePack.Origin = generator.chance(50) ? .peer : .daemon
            guard case .success(let text) = json(input, depthMax: depthMax, from: origin) else { return nil }
            let bytes = Array(text.utf8)
            if bytes.count > 6 * input.count { return "too long" }
            if depthMax <= 64, JSONReference.compacted(bytes, depthMax: depthMax) != bytes { return "no JSON" }
            return json(MessagePack.bytes(of: bytes), depthMax: depthMax, from: origin) == .success(text) ? nil : "another value"
        }
        #expect(finding == nil)
    }

    /// Whatever is JSON can be written, within the bound.
    @Test func fuzzWriter() {
        var generator = SeededGenerator(seed: 10_009)
        let texts = (0..<100).map { _ in Array(JSONScannerTests.randomText(&generator).utf8) }
        let finding = fuzz(JSONScannerTests.samples + texts, rounds: 8000) { input, _ in
            guard let text = JSONReference.compacted(input) else { return nil }
            let back = json(MessagePack.bytes(of: text), from: .daemon)
            guard let back = try? back.get(), let tree = try? JSON(parsing: back), let wanted = try? JSON(parsing: text) else { return "unreadable" }
            return tree == normalised(wanted) ? nil : "another value"
        }
        #expect(finding == nil)
    }
}
