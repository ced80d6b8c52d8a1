// Secrets at random places of random JSON, escaped at random: nothing of them is left, and nothing else is changed. And what it costs.

import Base
import Glibc
import Protocol
import TestSupport
import Testing

/// JSON in the making that knows what it is to look like when it is masked.
private struct Maker {
    var random: SeededGenerator
    var json = ""
    var expected = ""
    var secrets: [String] = []

    private static let letters = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    private static let words = [
        "risk-averse", "request", "glance", "Bearing", "basic", "eyJust", "https://a.b/c", "hf_hub", "disk-usage", "\n", "\"", "\\", "ü", "\u{1F600}", "<b>", "a:b@ c", "sk-",
        "gpt-4", "x", "\u{1B}[0m", "/", "550e8400-e29b-41d4-a716-446655440000",
    ]

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    private mutating func body(_ count: Int) -> String {
        // With a digit, so that no rule takes it for words.
        String((0..<count).map { _ in random.pick(Maker.letters) }) + "7"
    }

    /// A secret, what is kept of it, and its kernel.
    private mutating func secret() -> (text: String, masked: String, kernel: String) {
        let kernel = body(random.int(20...60))
        switch random.int(0..<6) {
        case 0: return ("Bearer " + kernel, "Bearer [redacted]", kernel)
        case 1: return ("eyJ\(body(10)).eyJ\(body(9)).\(kernel)", "[redacted]", kernel)
        case 2: return ("gla_" + kernel, "gla_[redacted]", kernel)
        case 3: return ("postgres://user:\(kernel)@host", "postgres://user:[redacted]@host", kernel)
        default:
            let prefix = random.pick(["sk-", "sk-ant-", "gsk_", "xai-", "hf_", "ghp_", "csk-", "github_pat_", "glpat-", "xoxb-", "nvapi-"])
            return (prefix + kernel, (prefix == "sk-ant-" ? "sk-" : prefix) + "[redacted]", kernel)
        }
    }

    /// A text as part of a JSON string, with as many escapes as chance wants.
    private mutating func escaped(_ text: String, _ percent: Int) -> String {
        text.unicodeScalars.map { scalar -> String in
            if random.chance(percent), scalar.value < 0x10000 {
                let digits = String(scalar.value, radix: 16, uppercase: random.chance(50))
                return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
            if scalar == "/", random.chance(percent) { return "\\/" }
            switch scalar {
            case "\"", "\\": return "\\\(scalar)"
            case "\n": return "\\n"
            default: return scalar.value < 0x20 ? "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16) : String(scalar)
            }
        }.joined()
    }

    private mutating func put(_ text: String) {
        json += text
        expected += text
    }

    mutating func value(_ depth: Int) {
        switch random.int(0..<(depth > 0 ? 8 : 5)) {
        case 0: put(random.pick(["1", "-2.5e3", "true", "null", "false"]))
        case 5, 6:
            put("{")
            for number in 0..<random.int(0...4) {
                put((number > 0 ? "," : "") + "\"" + random.pick(["message", "gla_0123456789abcdef", "k", "sk-0123456789abcdefg"]) + "\(number)\":")
                value(depth - 1)
            }
            put("}")
        case 7:
            put("[")
            for number in 0..<random.int(0...4) {
                if number > 0 { put(",") }
                value(depth - 1)
            }
            put("]")
        default: string()
        }
    }

    private mutating func string() {
        let percent = random.pick([0, 0, 10, 50, 100])
        put("\"")
        for _ in 0..<random.int(0...4) {
            if random.chance(40) {
                let (text, masked, kernel) = secret()
                secrets.append(kernel)
                put(" ")
                // What is kept is escaped the same way on both sides.
                let kept = masked.split(separator: "[redacted]", omittingEmptySubsequences: false).map(String.init)
                let (before, behind) = (escaped(kept[0], percent), escaped(kept[1], percent))
                json += before + escaped(String(text.dropFirst(kept[0].count).dropLast(kept[1].count)), percent) + behind
                expected += before + "[redacted]" + behind
                put(random.pick([" ", ", ", ") ", "\\n", "\\\"", "\\u0020"]))
            } else {
                put(escaped(random.pick(Maker.words), percent) + " ")
            }
        }
        put("\"")
    }
}

@Suite struct RedactorPropertyTests {
    @Test func nothingIsLeftAndNothingElseChanges() throws {
        let redactor = Redactor()
        var secrets = 0
        for seed in testSeeds(6000) {
            var maker = Maker(seed: seed)
            maker.value(4)
            let json = Array(maker.json.utf8)
            _ = try JSON(parsing: json)
            var count = 0
            let masked = redactor.masked(json) { _ in count += 1 } ?? json
            #expect(String(decoding: masked, as: UTF8.self) == maker.expected, "seed \(seed)")
            let text = try "\(JSON(parsing: masked))"
            #expect(!maker.secrets.contains { text.contains($0) }, "seed \(seed)")
            #expect(count == maker.secrets.count, "seed \(seed)")
            #expect(redactor.masked(masked) { _ in } == nil, "seed \(seed): not idempotent")
            secrets += maker.secrets.count
        }
        #expect(testSeeds(6000).count < 6000 || secrets > 3000)
    }

    /// Whatever valid JSON comes in, valid JSON goes out, keys and all, and a second pass has nothing to do.
    @Test func fuzzed() {
        let redactor = Redactor(fields: ["password", "x"])
        let samples = [
            #"{"password":"x","a":{"x":[1,2,{"b":"gla_0123456789abcdef"}]},"c":"Bearer a1b2c3d4e5\n"}"#,
            #"["http:\/\/u:p\u0040@h","sk\u002d0123456789abcdef","\ud83d\ude00","Basic dXNlcjpwYXNz",{"p\u0061ssword":null}]"#,
            #"{"m":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc \"x\":1","AKIAIOSFODNN7EXAMPLE":"AKIAIOSFODNN7EXAMPLE"}"#,
        ].map { Array($0.utf8) }
        let finding = fuzz(samples, rounds: 20_000) { input, _ in
            // Also of what is no JSON, for the sake of memory.
            _ = redactor.masked(input) { _ in }
            _ = redactor.masked(text: String(decoding: input, as: UTF8.self)) { _ in }
            var json: [UInt8] = []
            guard let end = try? input.withUnsafeBytes({ try JSONScanner.compact($0, at: 0, into: &json) }), end > 0 else { return nil }
            guard let masked = redactor.masked(json, { _ in }) else { return nil }
            guard let (before, after) = try? (JSON(parsing: json), JSON(parsing: masked)) else { return "no JSON any more" }
            if !isSame(before, after) { return "changed more than values" }
            return redactor.masked(masked) { _ in } == nil ? nil : "not idempotent"
        }
        #expect(finding == nil)
    }

    private func isSame(_ a: JSON, _ b: JSON) -> Bool {
        switch (a, b) {
        case (.array(let a), .array(let b)): return a.count == b.count && zip(a, b).allSatisfy(isSame)
        case (.object(let a), .object(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { $0.key.utf8.elementsEqual($1.key.utf8) && isSame($0.value, $1.value) }
        case (_, .string(let text)) where text.contains("[redacted]"): return true
        default: return a == b
        }
    }

    /// Texts that are all beginnings of secrets and no secret: twice the text, twice the work.
    @Test(arguments: ["sk-", "eyJ", "://a:b/", "Bearer ", "basic A", "gla_a-", "\\u0041", "\\/", "eyJa.", "\\\\", "hf_", "://a:", "\\\\\\\"", "gla_0123456789abcdef "])
    func isLinear(piece: String) {
        let redactor = Redactor(fields: ["x"])
        /// Of this thread's processor time.
        func spent() -> UInt64 {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
        }
        func nanoseconds(_ count: Int) -> UInt64 {
            let json = Array(("[\"" + String(repeating: piece, count: count / piece.utf8.count) + "\"]").utf8)
            return (0..<3).map { _ in
                let began = spent()
                _ = redactor.masked(json) { _ in }
                return spent() - began
            }.min() ?? 0
        }
        // 16 times as much; were it quadratic, it would be 256 times.
        let (small, large) = (nanoseconds(16_384), nanoseconds(262_144))
        #expect(large < 100 * max(small, 20_000), "\(small) ns, \(large) ns")
    }
}
