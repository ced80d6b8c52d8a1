import TestSupport
import Testing

@testable import Protocol

@Suite struct JSONTests {
    @Test func access() throws {
        let json = try JSON(
            parsing: #"{"type":"subscribe","id":"1","n":3,"x":1.5,"b":true,"z":null,"data":{"channels":["a","b"]},"n":4}"#)
        #expect(json["type"]?.string == "subscribe")
        #expect(json["n"]?.int == 3)
        #expect(json["x"]?.double == 1.5)
        #expect(json["b"]?.bool == true)
        #expect(json["z"]?.isNull == true)
        #expect(json["data"]?["channels"]?.array?.compactMap(\.string) == ["a", "b"])
        #expect(json["missing"] == nil)
        #expect(json["type"]?["x"] == nil)
        #expect(json["type"]?.int == nil && json["n"]?.string == nil && json["n"]?.bool == nil)
        #expect(json.object?.map(\.key) == ["type", "id", "n", "x", "b", "z", "data", "n"])
    }

    @Test(arguments: [
        ("0", 0), ("-0", 0), ("42", 42), ("-42", -42), ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min),
        ("9223372036854775808", nil), ("1.0", 1), ("1e3", 1000), ("1.5", nil), ("1e400", nil), ("1e17", nil), ("\"1\"", nil),
    ])
    func integers(_ text: String, _ value: Int?) throws { #expect(try JSON(parsing: text).int == value) }

    @Test(arguments: [
        ("0", 0), ("-1.5", -1.5), ("1e3", 1000), ("12345678901234567890", 12_345_678_901_234_567_168), ("1e400", nil),
        ("1e-400", 0), ("null", nil),
    ])
    func doubles(_ text: String, _ value: Double?) throws { #expect(try JSON(parsing: text).double == value) }

    @Test(arguments: [
        ("1", "1.0"), ("\"a\"", "\"b\""), ("[1]", "[1,1]"), ("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}"), ("null", "false"),
        ("\"é\"", "\"e\u{301}\""), ("[]", "{}"),
    ])
    func different(_ a: String, _ b: String) throws {
        #expect(try JSON(parsing: a) != JSON(parsing: b))
        #expect(try JSON(parsing: a) == JSON(parsing: " \(a) "))
    }
}

@Suite struct JSONWriterTests {
    @Test func commas() {
        var writer = JSONWriter(reserving: 100)
        writer.beginObject()
        writer.key("a")
        writer.int(-1)
        writer.key("b")
        writer.beginArray()
        writer.endArray()
        writer.key("c")
        writer.beginArray()
        writer.string("x")
        writer.beginObject()
        writer.endObject()
        writer.beginArray()
        writer.null()
        writer.bool(true)
        writer.endArray()
        writer.bool(false)
        writer.endArray()
        writer.key("d" as String)
        writer.raw("{\"e\":1}")
        writer.key("f")
        writer.double(1.5)
        writer.endObject()
        #expect(writer.text == #"{"a":-1,"b":[],"c":["x",{},[null,true],false],"d":{"e":1},"f":1.5}"#)
        writer.removeAll()
        writer.int(7)
        #expect(writer.text == "7")
    }

    @Test(arguments: [
        ("", #""""#), ("plain", #""plain""#), ("\"\\/", #""\"\\/""#), ("\u{8}\u{C}\n\r\t", #""\b\f\n\r\t""#),
        ("\0\u{1}\u{1F}\u{7F}", "\"\\u0000\\u0001\\u001f\u{7F}\""), ("é€😀<>&\u{2028}", "\"é€😀<>&\u{2028}\""),
        ("12345678\n", #""12345678\n""#),
    ])
    func strings(_ text: String, _ json: String) throws {
        var writer = JSONWriter()
        writer.string(text)
        #expect(writer.text == json)
        #expect(try JSON(parsing: writer.bytes) == .string(text))
        var fromBytes = JSONWriter()
        fromBytes.string(utf8: Array(text.utf8))
        #expect(fromBytes.bytes == writer.bytes)
        var key = JSONWriter()
        key.key(text)
        #expect(key.text == json + ":")
    }

    @Test func invalidUTF8IsReplaced() {
        var writer = JSONWriter()
        writer.string(utf8: [0x61, 0xFF, 0x22, 0xE2, 0x82])
        #expect(writer.text == "\"a\u{FFFD}\\\"\u{FFFD}\"")
    }

    @Test(arguments: [Int64.min, -1, 0, 9, 10, 1_234_567_890, Int64.max]) func integers(_ value: Int64) {
        var writer = JSONWriter()
        writer.int(value)
        #expect(writer.text == "\(value)")
    }

    /// The texts of Go's encoding/json.
    @Test(
        arguments: [
            (0, "0"), (-0.0, "-0"), (1, "1"), (-1, "-1"), (1.5, "1.5"), (0.1, "0.1"), (0.05, "0.05"), (-0.25, "-0.25"),
            (100, "100"), (123456.789, "123456.789"), (0.1 + 0.2, "0.30000000000000004"), (1e-6, "0.000001"), (9.5e-7, "9.5e-7"),
            (1e-7, "1e-7"), (1.25e-10, "1.25e-10"), (1e15, "1000000000000000"), (1e16, "10000000000000000"),
            (1.5e16, "15000000000000000"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (1.25e21, "1.25e+21"),
            (1e100, "1e+100"),
            (9_007_199_254_740_992, "9007199254740992"), (.leastNonzeroMagnitude, "5e-324"),
            (Double.greatestFiniteMagnitude, "1.7976931348623157e+308"), (.nan, "0"), (.infinity, "0"), (-.infinity, "0"),
        ] as [(Double, String)])
    func doubles(_ value: Double, _ text: String) {
        var writer = JSONWriter()
        writer.double(value)
        #expect(writer.text == text)
    }

    @Test func doublesReadBack() throws {
        var generator = SeededGenerator(seed: 754)
        for _ in 0..<5000 {
            let value = Double(bitPattern: generator.next())
            guard value.isFinite else { continue }
            var writer = JSONWriter()
            writer.double(value)
            #expect(try JSON(parsing: writer.bytes).double == value)
        }
    }

    /// A tree written and read again is the same tree.
    @Test(arguments: 0..<100)
    func roundTrip(_ seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let tree = try JSON(parsing: JSONScannerTests.randomText(&generator))
        var writer = JSONWriter()
        func write(_ json: JSON) {
            switch json {
            case .null: writer.null()
            case .bool(let value): writer.bool(value)
            case .number(let text): writer.raw(text)
            case .string(let text): writer.string(text)
            case .array(let elements):
                writer.beginArray()
                for element in elements { write(element) }
                writer.endArray()
            case .object(let members):
                writer.beginObject()
                for (key, value) in members {
                    writer.key(key)
                    write(value)
                }
                writer.endObject()
            }
        }
        write(tree)
        #expect(try JSON(parsing: writer.bytes) == tree, "seed \(seed)")
        #expect(try compact(writer.bytes).bytes == writer.bytes, "seed \(seed)")
    }

    @Test(arguments: ["[1,2,[]]", #"{"a":{"b":null},"c":"d"}"#])
    func valuesAreCounted(text: String) throws {
        #expect(try JSON(parsing: text, valuesMax: 4) == JSON(parsing: text))
        #expect(throws: JSONError(offset: text.utf8.count - (text.hasPrefix("[") ? 3 : 4), what: "too many values")) {
            try JSON(parsing: text, valuesMax: 3)
        }
    }
}
