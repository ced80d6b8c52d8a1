import TestSupport
import Testing

@testable import Protocol

/// The compact form of the value at `offset`, and where it ended.
func compact(_ bytes: [UInt8], at offset: Int = 0, depthMax: Int = 64) throws(JSONError) -> (bytes: [UInt8], end: Int) {
    var out: [UInt8] = []
    let result: Result<Int, JSONError> = bytes.withUnsafeBytes { buffer in
        do throws(JSONError) {
            return .success(try JSONScanner.compact(buffer, at: offset, depthMax: depthMax, into: &out))
        } catch {
            return .failure(error)
        }
    }
    return (out, try result.get())
}

@Suite struct JSONScannerTests {
    /// After JSONTestSuite's y_ files.
    static let accepted: [String] = [
        "[]", "{}", "[1]", "null", "true", "false", "0", "-0", "-1", "123", "1.5", "0.1", "1e1", "1E1", "1e+1", "1e-1", "0e1",
        "0e+1", "-0.0e-0", "1.0E+2",
        "123456789012345678901234567890", "-0.000000000000000000000000000000000000000000000000000000000000000000000000000001",
        "\"\"", "\"a\"", " [] ", "\t\r\n {}\n",
        "[[]]", "[[],[]]", "[null,1,\"1\",{}]", "{\"a\":[]}", "{\"\":0}", "{\"a\":\"b\",\"a\":\"b\"}",
        "{\"a\":1,\"b\":{\"c\":[true]}}", "{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }",
        #""\"\\\/\b\f\n\r\t""#, #""\u0041\u00e9\u20AC""#, #""\ud83d\ude00""#, #""\u0000""#, #"{"\u0061":1}"#, #""\ud800""#,
        #""\udc00\ud800""#, #""\ud800\u0041""#,
        "\"\u{7F}\"", "\"é€😀\u{10FFFF}\"", "\"\u{2028}\u{2029}\"", "[\"a\u{FEFF}\"]", "[1,\n2]", "[ ]", "{ }", "\"[{,:}]\"",
        "[\"\\\"\"]", "\"//\"", "[1.5e300]",
        "\"exactly8\"", "\"seven77\"", "\"sixteencharacter\"", "\"1234567\\n\"", "\"12345678\\n9\"", "\"1234567é\"",
    ]

    /// After JSONTestSuite's n_ files.
    static let refused: [(String, [UInt8])] =
        [
            "", " ", "[", "]", "{", "}", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1", "[1,", "[[]", "[]]", "{\"a\":1,}", "{,}",
            "{\"a\"}", "{\"a\":}", "{\"a\",1}", "{\"a\":1 \"b\":2}", "{a:1}",
            "{'a':1}", "{1:1}", "{null:1}", "{[]:1}", "{\"a\":1,,}", "{\"a\"::1}", "{\"a\":1]", "[1}", "{\"a\" 1}",
            "{\"a\":\"b\"", "{:1}", "{\"a\":1,\"b\"", "{\"a\":1,2}", "01", "-01", "00", "1.", ".5", "-.5", "+1", "-",
            "--1", "1e", "1e+", "1E-", "1.e1", "1e1.5", "0x1", "1a", "1_000", "1 000", "Infinity", "-Infinity", "NaN", "-a", "１",
            "tru", "True", "TRUE", "truex", "true false", "nul", "nulll", "fals", "'a'", "\"", "\"a",
            "\"\\\"", "\"\\\\\\\"", "\"\\", "\"\\u\"", "\"\\u1\"", "\"\\u123\"", "\"\\u123g\"", "\"\\u+123\"", "\"\\x00\"",
            "\"\\a\"", "\"\\'\"", "\"\\U0041\"", "\"\\ \"", "\"\\u", "\"\\u00", "\"\n\"", "\"\t\"", "\"\0\"", "\"\u{1F}\"",
            "\"12345678\n\"", "\u{FEFF}[]", "\u{A0}[]", "\u{2003}1", "\u{0B}1", "\u{0C}1", "[\u{0C}]", "1\0", "\0", "// x\n1",
            "/*x*/1", "1 // x", "#1", "[1]x", "\"a\"\"b\"", "undefined", "a", "*", "<null>", "[\"a\":1]", "[\"a\"", "{\"a\":[}",
            "[\"\",", "\\u0031", "\"a\\", "é",
        ].map { ($0.debugDescription, Array($0.utf8)) }
        + [
            ("lone continuation", [0x22, 0x80, 0x22]), ("overlong", [0x22, 0xC0, 0xAF, 0x22]),
            ("surrogate", [0x22, 0xED, 0xA0, 0x80, 0x22]), ("beyond", [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22]),
            ("FF", [0x22, 0xFF, 0x22]), ("Latin-1", [0x22, 0xE9, 0x22]), ("cut by the quote", [0x22, 0xE2, 0x82, 0x22]),
            ("cut by the end", [0x22, 0xE2, 0x82]), ("escape behind a lead byte", [0x22, 0xC3, 0x5C, 0x6E, 0x22]),
            ("not UTF-8 outside", [0xE9]), ("UTF-16", [0x5B, 0x00, 0x5D, 0x00]),
            ("invalid in a name", [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D]),
        ]

    /// Whether a whole text is one value.
    private func isWhole(_ bytes: [UInt8], depthMax: Int = 64) -> [UInt8]? {
        guard let (out, end) = try? compact(bytes, depthMax: depthMax) else { return nil }
        let rest = bytes.withUnsafeBytes { JSONScanner.skipWhitespace($0, at: end) }
        return rest == bytes.count ? out : nil
    }

    @Test(arguments: accepted) func accepts(_ text: String) throws {
        let bytes = Array(text.utf8)
        #expect(isWhole(bytes) != nil)
        #expect(JSONReference.compacted(bytes) == isWhole(bytes))
        // The tree agrees, also on what compacting leaves.
        let tree = try JSON(parsing: bytes)
        #expect(try JSON(parsing: isWhole(bytes) ?? []) == tree)
    }

    @Test(arguments: refused) func refuses(_ name: String, _ bytes: [UInt8]) {
        #expect(isWhole(bytes) == nil)
        #expect(JSONReference.compacted(bytes) == nil)
        #expect(throws: JSONError.self) { try JSON(parsing: bytes) }
    }

    @Test(arguments: [
        ("", 0, "unexpected end"), ("[1,]", 3, "expected a value"), ("{\"a\" 1}", 5, "expected ':'"),
        ("{\"a\":1 1}", 7, "expected ',' or '}'"), ("[1 1]", 3, "expected ',' or ']'"),
        ("{a}", 1, "expected a name in quotes"), ("\"\\x\"", 1, "unknown escape"), ("\"\\u12x4\"", 1, "malformed \\u escape"),
        ("01", 1, "leading zero"), ("1.x", 2, "expected a digit"), ("\"a", 2, "unexpected end"),
        ("\"a\nb\"", 2, "control character in a string"), ("[tru]", 1, "expected a value"),
    ])
    func errors(_ text: String, _ offset: Int, _ what: String) {
        #expect(throws: JSONError(offset: offset, what: what)) { try compact(Array(text.utf8)) }
        #expect(JSONError(offset: offset, what: what).description == "\(what) at byte \(offset)")
    }

    @Test func whiteSpaceGoesAndTheRestStays() throws {
        let text = " { \"a b\" : [ 1 , -2.50E+1 ,\t\"c \\\" \\\\\" ] ,\r\n\"d\" : { } , \"e\":null }  {}"
        let (out, end) = try compact(Array(text.utf8))
        #expect(String(decoding: out, as: UTF8.self) == #"{"a b":[1,-2.50E+1,"c \" \\"],"d":{},"e":null}"#)
        #expect(end == text.utf8.count - 4)
    }

    @Test func appendsAndLeavesAloneOnError() throws {
        var out: [UInt8] = [1, 2]
        let bytes = Array("[ 1 ] [ 2 x".utf8)
        try bytes.withUnsafeBytes { buffer in
            let end = try JSONScanner.compact(buffer, at: 0, into: &out)
            #expect(out == [1, 2] + Array("[1]".utf8))
            #expect(throws: JSONError.self) { try JSONScanner.compact(buffer, at: end, into: &out) }
            #expect(out == [1, 2] + Array("[1]".utf8))
        }
    }

    @Test(arguments: [-1, 3, 4, 1000]) func offsetsOutsideAreHarmless(_ offset: Int) {
        #expect(isWhole(Array("123".utf8)) != nil)
        if offset < 0 {
            #expect((try? compact([0x31], at: offset))?.bytes == [0x31])
        } else {
            #expect((try? compact([0x31], at: offset)) == nil)
        }
        #expect([UInt8]().withUnsafeBytes { JSONScanner.skipWhitespace($0, at: offset) } == 0)
        #expect(throws: JSONError(offset: 0, what: "unexpected end")) {
            try JSONScanner.validate(UnsafeRawBufferPointer(start: nil, count: 0), at: 0)
        }
    }

    @Test(arguments: [
        (1, 1, true), (2, 1, false), (63, 64, true), (64, 64, true), (65, 64, false), (65, 1000, false), (1, 0, false),
        (0, 0, true),
    ])
    func depth(_ depth: Int, _ depthMax: Int, _ isAccepted: Bool) {
        let forms = [("[", "]"), ("{\"a\":", "}")]
        for (open, close) in forms {
            let text = String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)
            #expect((isWhole(Array(text.utf8), depthMax: depthMax) != nil) == isAccepted)
            #expect(((try? JSON(parsing: text, depthMax: depthMax)) != nil) == isAccepted)
        }
        // Siblings are not depth.
        #expect(isWhole(Array("[[],[],{},[]]".utf8), depthMax: 2) != nil)
    }

    @Test func hundredThousandBracketsAreRefusedEarly() {
        let error = #expect(throws: JSONError.self) { try compact([UInt8](repeating: 0x5B, count: 100_000)) }
        #expect(error == JSONError(offset: 64, what: "nested too deeply"))
    }

    // MARK: members

    private func members(_ text: String) -> [String] {
        var found: [String] = []
        let bytes = Array(text.utf8)
        bytes.withUnsafeBytes { buffer in
            JSONScanner.members(of: buffer) { key, value in
                found.append(String(decoding: buffer[key], as: UTF8.self) + "=" + String(decoding: buffer[value], as: UTF8.self))
            }
        }
        return found
    }

    private func elements(_ text: String) -> [String] {
        var found: [String] = []
        Array(text.utf8).withUnsafeBytes { buffer in
            JSONScanner.elements(of: buffer) { found.append(String(decoding: buffer[$0], as: UTF8.self)) }
        }
        return found
    }

    @Test func membersOfObjects() {
        #expect(members("{}") == [])
        #expect(members(#"{"a":1}"#) == ["a=1"])
        #expect(
            members(#"{"":"","b":[1,{"c":2}],"d,}":"x\"},","e":{"f":"]"},"g":-1.5e3}"#) == [
                "=\"\"", "b=[1,{\"c\":2}]", "d,}=\"x\\\"},\"", "e={\"f\":\"]\"}", "g=-1.5e3",
            ])
        #expect(elements("[]") == [])
        #expect(elements("[[]]") == ["[]"])
        #expect(elements(#"[1,"a,]",[2,[3]],{"x":[4]},null]"#) == ["1", "\"a,]\"", "[2,[3]]", "{\"x\":[4]}", "null"])
    }

    @Test func memberByName() {
        let bytes = Array(#"{"x":1,"\u0061b":2,"ab":3,"abc":4}"#.utf8)
        bytes.withUnsafeBytes { buffer in
            func value(_ name: StaticString) -> String? {
                JSONScanner.member(name, of: buffer).map { String(decoding: buffer[$0], as: UTF8.self) }
            }
            #expect(value("x") == "1")
            #expect(value("ab") == "2")
            #expect(value("abc") == "4")
            #expect(value("b") == nil)
        }
    }

    @Test(arguments: [
        (#""""#, ""), (#""a""#, "a"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
        (#""\u0041\u00e9\u20AC\u0000""#, "Aé€\0"), (#""x\ud83d\ude00y""#, "x😀y"), (#""\uD834\uDD1E""#, "𝄞"),
        (#""\ud800""#, "\u{FFFD}"), (#""\udc00x""#, "\u{FFFD}x"), (#""\ud800\u0041""#, "\u{FFFD}A"),
        (#""\ud800\ud83d\ude00""#, "\u{FFFD}😀"), (#""\ud83dx""#, "\u{FFFD}x"), (#""é\n€""#, "é\n€"),
        (#""\udbff\udfff""#, "\u{10FFFF}"),
    ])
    func unescapes(_ literal: String, _ text: String) throws {
        #expect(Array(literal.utf8).withUnsafeBytes { JSONScanner.unescape($0) } == Array(text.utf8))
        #expect(try JSON(parsing: literal) == .string(text))
    }

    // MARK: properties

    static let samples = accepted.map { Array($0.utf8) } + refused.map(\.1)

    /// A random value in a random layout.
    static func randomText(_ generator: inout SeededGenerator, depth: Int = 0) -> String {
        let blank = { (g: inout SeededGenerator) in ["", "", "", " ", "\n  ", "\t", "\r\n"].randomElement(using: &g) ?? "" }
        let strings = [
            "\"\"", "\"plain text\"", #""\u00e9\n\"""#, "\"€ 😀\"", "\"a much longer string with { and ] in it, to be scanned\"",
        ]
        func around(_ text: String, _ g: inout SeededGenerator) -> String { blank(&g) + text + blank(&g) }
        switch Int.random(in: 0..<(depth < 5 ? 8 : 5), using: &generator) {
        case 0: return around(["null", "true", "false"].randomElement(using: &generator) ?? "", &generator)
        case 1, 2: return around(strings.randomElement(using: &generator) ?? "", &generator)
        case 3, 4:
            return around(
                ["0", "-1", "12.50", "1e9", "-0.1E-7", "12345678901234567890"].randomElement(using: &generator) ?? "", &generator)
        case 5, 6:
            let members = (0..<Int.random(in: 0...4, using: &generator)).map { _ in
                around(strings.randomElement(using: &generator) ?? "", &generator) + ":"
                    + randomText(&generator, depth: depth + 1)
            }
            return around("{" + (members.isEmpty ? blank(&generator) : members.joined(separator: ",")) + "}", &generator)
        default:
            let elements = (0..<Int.random(in: 0...4, using: &generator)).map { _ in randomText(&generator, depth: depth + 1) }
            return around("[" + (elements.isEmpty ? blank(&generator) : elements.joined(separator: ",")) + "]", &generator)
        }
    }

    /// Compacting changes no value, leaves nothing to take away, and the parts found in it are the tree's.
    @Test(arguments: 0..<300)
    func compactIsEqual(_ seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let text = Array(JSONScannerTests.randomText(&generator).utf8)
        let out = try compact(text).bytes
        let tree = try JSON(parsing: text)
        #expect(try JSON(parsing: out) == tree, "seed \(seed)")
        #expect(try compact(out).bytes == out, "seed \(seed)")
        #expect(JSONReference.compacted(text) == out, "seed \(seed)")
        out.withUnsafeBytes { buffer in
            var parts: [JSON] = []
            switch tree {
            case .object(let expected):
                JSONScanner.members(of: buffer) { key, value in
                    parts.append((try? JSON(parsing: UnsafeRawBufferPointer(rebasing: buffer[value]))) ?? .null)
                    let name = JSONScanner.unescapeContent(UnsafeRawBufferPointer(rebasing: buffer[key]))
                    #expect(Array(expected[parts.count - 1].key.utf8) == name, "seed \(seed)")
                }
                #expect(parts == expected.map(\.value), "seed \(seed)")
            case .array(let expected):
                JSONScanner.elements(of: buffer) {
                    parts.append((try? JSON(parsing: UnsafeRawBufferPointer(rebasing: buffer[$0]))) ?? .null)
                }
                #expect(parts == expected, "seed \(seed)")
            default: break
            }
        }
    }

    /// Same verdict and same bytes as the plain reader, whatever comes; and the rest survives what it was not made for.
    @Test func fuzzAgainstReference() {
        var generator = SeededGenerator(seed: 8259)
        let texts = (0..<100).map { _ in Array(JSONScannerTests.randomText(&generator).utf8) }
        let finding = fuzz(JSONScannerTests.samples + texts, rounds: 8000) { input, generator in
            let depthMax = Int.random(in: 0...70, using: &generator)
            let expected = JSONReference.compacted(input, depthMax: min(depthMax, 64))
            if isWhole(input, depthMax: depthMax) != expected { return "compact" }
            if ((try? JSON(parsing: input, depthMax: depthMax)) != nil) != (expected != nil) { return "tree" }
            var isInside = true
            input.withUnsafeBytes { buffer in
                JSONScanner.members(of: buffer) { key, value in
                    isInside =
                        isInside && key.lowerBound >= 0 && value.upperBound <= input.count && key.upperBound <= value.lowerBound
                }
                JSONScanner.elements(of: buffer) { isInside = isInside && $0.lowerBound >= 0 && $0.upperBound <= input.count }
                _ = JSONScanner.unescape(buffer)
            }
            return isInside ? nil : "range outside"
        }
        #expect(finding == nil)
    }
}
