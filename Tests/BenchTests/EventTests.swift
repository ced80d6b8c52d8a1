import Protocol
import Testing

@testable import Bench

struct PatternTests {
    @Test(arguments: [
        ("plain", 1, ["plain", "plain", "plain", "plain", "plain"]), ("", 1, ["", "", "", "", ""]),
        ("c{n%3}", 3, ["c0", "c1", "c2", "c0", "c1"]), ("{n}x", 5, ["0x", "1x", "2x", "3x", "4x"]), ("a{n%1}", 1, ["a0", "a0", "a0", "a0", "a0"]),
        ("}{n%2}}", 2, ["}0}", "}1}", "}0}", "}1}", "}0}"]),
    ])
    func texts(pattern: String, period: Int, texts: [String]) throws {
        let parsed = try Pattern(parsing: pattern)
        #expect(parsed.period(of: 5) == period)
        #expect((0..<5).map { parsed.text($0, of: 5) } == texts)
    }

    @Test(arguments: ["{", "c{n", "{m}", "{n%}", "{n%0}", "{n%-1}", "{n%10001}", "{n}{n}", "{n %5}", "{}"])
    func refused(pattern: String) {
        #expect(throws: BenchError.self) { try Pattern(parsing: pattern) }
    }

    @Test func fields() throws {
        let fields = try FieldPatterns(parsing: "component=c{n%5}&level=warn,error&q=a=b")
        #expect(fields.fields.map(\.name) == ["component", "level", "q"])
        #expect(fields["q"]?.text(0, of: 1) == "a=b" && fields["x"] == nil)
        let filled = try FieldPatterns(parsing: "level=info").filled(by: fields)
        #expect(filled.fields.map(\.name) == ["level", "component", "q"] && filled["level"]?.text(0, of: 1) == "info")
        for wrong in ["", "a", "=b", "a=1&", "a=1&a=2", "a={"] { #expect(throws: BenchError.self) { try FieldPatterns(parsing: wrong) } }
    }
}

struct EventShapeTests {
    static func bytes(_ shape: EventShape, _ sequence: UInt32, due: UInt64 = 0) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: shape.eventBytes) { buffer, count in
            if let base = buffer.baseAddress { shape.write(sequence: sequence, due: due, to: base) }
            count = shape.eventBytes
        }
    }

    @Test(arguments: [200, 250, 1000, 65_536])
    func eventsAreJSONOfOneSize(size: Int) throws {
        let fields = try FieldPatterns(parsing: "component=c{n%11}&level=warn,error&q=needle&only_errors=true&min_latency_ms=7&provider_id={n%2}")
        let shape = try EventShape(channel: "logs", fields: fields, clients: 3, eventBytes: size, run: 0xABC)
        #expect(shape.period == 22)
        for sequence in [0, 1, 10, 21, 22, 4_000_000_000] as [UInt32] {
            let bytes = EventShapeTests.bytes(shape, sequence, due: 0x0123_4567_89AB_CDEF)
            #expect(bytes.count == size)
            let json = try JSON(parsing: bytes)
            #expect(json["channel"]?.string == "logs" && json["type"]?.string == "log")
            let data = try #require(json["data"])
            #expect(data["component"]?.string == "c\(sequence % 11)" && data["provider_id"]?.string == "\(sequence % 2)")
            #expect(data["level"]?.string == "warn" && data["success"]?.bool == false && data["latency_ms"]?.int == 7)
            #expect(data["message"]?.string?.hasPrefix("needle ") == true)
            #expect(data["bench"]?.string?.hasPrefix("00000abc-") == true && data["bench"]?.string?.hasSuffix("-0123456789abcdef") == true)
            let trailer = bytes.suffix(EventShape.trailerBytes)
            #expect(trailer.starts(with: EventShape.key))
            #expect(Array(trailer.dropFirst(EventShape.sequenceAt)).withUnsafeBytes { $0.baseAddress.map { Hexadecimal.read($0) } } == sequence)
            // The same bytes before every trailer.
            #expect(Array(bytes.dropLast(EventShape.trailerBytes).suffix(shape.pad.count)) == shape.pad)
        }
    }

    @Test func limits() throws {
        let fields = try FieldPatterns(parsing: "component=c{n%100}")
        let least = try #require((1..<300).first { (try? EventShape(channel: "logs", fields: fields, clients: 1, eventBytes: $0, run: 1)) != nil })
        #expect((100..<160).contains(least))
        let shape = try EventShape(channel: "logs", fields: fields, clients: 1, eventBytes: least, run: 1)
        for sequence in [0, 9, 10, 99] as [UInt32] { _ = try JSON(parsing: EventShapeTests.bytes(shape, sequence)) }
        #expect(throws: BenchError.self) { try EventShape(channel: "logs", fields: fields, clients: 1, eventBytes: least - 1, run: 1) }
        let wide = try FieldPatterns(parsing: "a={n%9999}&b={n%9998}")
        #expect(throws: BenchError.self) { try EventShape(channel: "logs", fields: wide, clients: 1, eventBytes: 500, run: 1) }
    }

    @Test func hexadecimal() {
        for value in [0, 1, 9, 10, 0xDEAD_BEEF, 0x0123_4567, 0x89AB_CDEF, .max] as [UInt32] {
            let text = [UInt8](unsafeUninitializedCapacity: 8) { buffer, count in
                if let base = buffer.baseAddress { Hexadecimal.write(value, to: base) }
                count = 8
            }
            #expect(String(decoding: text, as: UTF8.self) == String(repeating: "0", count: 8 - String(value, radix: 16).count) + String(value, radix: 16))
            text.withUnsafeBytes { bytes in
                #expect(bytes.baseAddress.map { Hexadecimal.read($0) } == value)
                #expect(Hexadecimal.readChecked(bytes) == UInt64(value))
            }
        }
        for wrong in ["0000000g", "0000000G", "-0000000"] { #expect(Array(wrong.utf8).withUnsafeBytes { Hexadecimal.readChecked($0) } == nil) }
    }
}

struct ExpectationTests {
    @Test(arguments: [
        ("", ""), ("component=c{n%3}", ""), ("component=c{n%6}&level={n%4}", ""), ("component=c{n%5}", "component=c0"), ("component=c", "component=d"),
        ("component=c", "component=c{n%2}"), ("q={n}", ""), ("level=x", "component=y"),
    ])
    func agreesWithTheTexts(filter: String, event: String) throws {
        let clients = 7
        let filters = try filter.isEmpty ? FieldPatterns() : FieldPatterns(parsing: filter)
        let fields = try (event.isEmpty ? FieldPatterns() : FieldPatterns(parsing: event)).filled(by: filters)
        let shape = try EventShape(channel: "logs", fields: fields, clients: clients, eventBytes: 300, run: 1)
        let expectation = Expectation(filters: filters, fields: fields, period: shape.period, clients: clients)
        for client in 0..<clients {
            let residues = expectation.classes[expectation.classOfClient[client]]
            for sequence in 0..<UInt32(50) {
                let isWanted = filters.fields.allSatisfy { $0.pattern.text(client, of: clients) == fields[$0.name]?.text(Int(sequence), of: clients) }
                #expect(residues.contains(sequence % UInt32(shape.period)) == isWanted, "client \(client), event \(sequence)")
                residues.withUnsafeBufferPointer { residues in
                    let before = (0..<sequence).count { residues.contains($0 % UInt32(shape.period)) }
                    #expect(Expectation.count(of: residues, period: shape.period, before: sequence) == before)
                }
            }
        }
    }
}

struct ScheduleTests {
    @Test(arguments: [(1, 1), (3, 1), (100, 1), (7, 100), (1_000_000, 1), (10_000_000, 10_000)])
    func doesNotDrift(rate: Int, batch: Int) {
        let schedule = Schedule(start: 1000, eventsPerSecond: rate, batch: batch)
        #expect(schedule.due(0) == 1000)
        for second in [1, 2, 3600, 86_400] as [UInt64] {
            // After whole seconds' worth of events the clock says exactly that.
            #expect(schedule.due(second * UInt64(rate)) == 1000 + second * UInt64(batch) * 1_000_000_000)
        }
        var last: UInt64 = 0
        for number in 0..<UInt64(1000) {
            let due = schedule.due(number)
            let exact = Double(number) * Double(batch) * 1e9 / Double(rate)
            #expect(due >= last && abs(Double(due - 1000) - exact) <= 1)
            last = due
        }
    }

    @Test(arguments: [(100, 1, 5_000_000_000, 500), (1, 1, 1_000_000, 1), (7, 1, 1_000_000_000, 7), (1000, 300, 1_000_000_000, 900), (10, 50, 1_000_000_000, 50)])
    func howMany(rate: Int, batch: Int, nanoseconds: UInt64, count: UInt64) {
        let schedule = Schedule(start: 7, eventsPerSecond: rate, batch: batch)
        #expect(schedule.count(within: nanoseconds) == count)
        // The last of several requests is due before the end, and one more would not be.
        if count > UInt64(batch) {
            #expect(schedule.due(count / UInt64(batch) - 1) < 7 + nanoseconds && schedule.due(count / UInt64(batch) + 1) > 7 + nanoseconds)
        }
    }

    @Test func farAway() {
        #expect(Schedule(start: 0, eventsPerSecond: 1, batch: 1).due(.max / 2) == .max)
    }
}
