import Protocol
import Testing

@testable import Bench

/// Some clients, and the events that a server would send them.
private struct Rig {
    static let run: UInt32 = 0x1234_ABCD
    let shape: EventShape
    let encoding: BenchPlan.Encoding
    let check: DeliveryCheck

    init(clients: Int = 1, filter: String = "", event: String = "", size: Int = 250, ownRun: Bool = true, encoding: BenchPlan.Encoding = .json) throws {
        self.encoding = encoding
        let filters = try filter.isEmpty ? FieldPatterns() : FieldPatterns(parsing: filter)
        let fields = try (event.isEmpty ? FieldPatterns() : FieldPatterns(parsing: event)).filled(by: filters)
        shape = try EventShape(channel: "logs", fields: fields, clients: clients, eventBytes: size, run: Rig.run)
        let expectation = Expectation(filters: filters, fields: fields, period: shape.period, clients: clients)
        check = DeliveryCheck(shape: ownRun ? shape : nil, encoding: encoding, run: Rig.run, expectation: expectation, clients: 0..<clients)
    }

    /// The frame of an event as the daemon sends it.
    func frame(_ sequence: UInt32, due: UInt64 = 0, behind: String = "") throws -> [UInt8] {
        let json = try JSON(parsing: EventShapeTests.bytes(shape, sequence, due: due))
        let data = try #require(json["data"]?.object)
        let members = data.map { #""\#($0.key)":"\#($0.value.string ?? "")""# }.joined(separator: ",")
        return message(#"{"type":"log","id":"8f3k2-\#(sequence)","data":{\#(members)}\#(behind)}"#)
    }

    func message(_ json: String) -> [UInt8] {
        encoding == .json ? FrameWriter.text(json) : FrameWriter.frame(.binary, MessagePack.bytes(of: Array(json.utf8)))
    }

    func feed(_ frames: [[UInt8]], to client: Int = 0, at now: UInt64 = 1000) -> Bool {
        frames.flatMap { $0 }.withUnsafeBytes { check.receive($0, by: client, at: now) }
    }

    func gap(_ dropped: Int?) -> [UInt8] {
        message(#"{"type":"gap","data":{"reason":"slow_consumer"\#(dropped.map { #","dropped":\#($0)"# } ?? "")}}"#)
    }
}

struct DeliveryCheckTests {
    /// Whole, byte by byte, and cut at every position: the same is found.
    @Test(arguments: [180, 250, 70_000], BenchPlan.Encoding.allCases)
    func splitFeeding(size: Int, encoding: BenchPlan.Encoding) throws {
        let cuts = size > 1000 ? [1, 9, 10, 11, 65_536, size] : nil
        func run(_ parts: (DeliveryCheck, [UInt8]) -> Void) throws -> (DeliveryCheck.Counts, UInt64, [String]) {
            let rig = try Rig(size: size, encoding: encoding)
            var controls: [String] = []
            rig.check.onControl = { _, opcode, payload in controls.append("\(opcode) \(payload.count)") }
            var bytes: [UInt8] = []
            for sequence in 0..<UInt32(3) {
                bytes += try rig.frame(sequence, due: 400)
                bytes += FrameWriter.frame(.ping, [1, 2, 3])
                bytes += rig.message(#"{"type":"log","data":{"message":"of somebody else"}}"#)
            }
            parts(rig.check, bytes)
            return (rig.check.counts, rig.check.histogram.percentile(50_000), controls)
        }
        var total = 0
        let whole = try run { check, bytes in
            total = bytes.count
            #expect(bytes.withUnsafeBytes { check.receive($0, by: 0, at: 1000) })
        }
        #expect(whole.0.delivered == 3 && whole.0.foreign == 3 && whole.0.wrong == 0 && whole.0.lost == 0)
        #expect(whole.1.magnitude.distance(to: 600).magnitude <= 6 && whole.2 == ["ping 3", "ping 3", "ping 3"])
        let single = try run { check, bytes in
            bytes.withUnsafeBytes { all in
                for at in all.indices { #expect(check.receive(UnsafeRawBufferPointer(rebasing: all[at...at]), by: 0, at: 1000)) }
            }
        }
        #expect(single == whole)
        for cut in cuts ?? Array(1..<total) {
            let halves = try run { check, bytes in
                bytes.withUnsafeBytes { all in
                    _ = check.receive(UnsafeRawBufferPointer(rebasing: all[..<cut]), by: 0, at: 1000)
                    _ = check.receive(UnsafeRawBufferPointer(rebasing: all[cut...]), by: 0, at: 1000)
                }
            }
            #expect(halves == whole, "cut at \(cut)")
        }
    }

    @Test(arguments: [
        ([0, 1, 2, 3], 0, 0), ([0, 2, 3], 1, 0), ([0, 1, 1, 2, 3], 0, 1), ([0, 2, 1, 3], 1, 1), ([1, 2, 3], 1, 0), ([0, 1], 2, 0), ([], 4, 0),
        ([3], 3, 0), ([3, 0], 3, 1),
    ] as [([UInt32], UInt64, UInt64)])
    func lossAndOrder(sequences: [UInt32], lost: UInt64, repeated: UInt64) throws {
        let rig = try Rig()
        #expect(try rig.feed(sequences.map { try rig.frame($0) }))
        rig.check.finish(before: 4)
        #expect(rig.check.counts.lost == lost && rig.check.counts.repeated == repeated && rig.check.counts.wrong == 0)
        #expect(rig.check.faults.isEmpty == (lost + repeated == 0))
        #expect(rig.check.counts.delivered + lost == 4)
        // What comes next is the event behind these.
        rig.check.reset()
        #expect(try rig.feed([rig.frame(4)]))
        #expect(rig.check.counts.delivered == 1 && rig.check.faults.isEmpty)
    }

    @Test func whatGapsTellIsNotLostInSilence() throws {
        let rig = try Rig(clients: 4)
        // Told, then missing; told in two; told without a number; told too little.
        #expect(try rig.feed([rig.frame(0), rig.gap(3), rig.frame(4)], to: 0))
        #expect(try rig.feed([rig.gap(1), rig.gap(2), rig.frame(3), rig.frame(4)], to: 1))
        #expect(try rig.feed([rig.frame(0), rig.gap(nil), rig.frame(4)], to: 2))
        #expect(rig.check.counts.lost == 0 && rig.check.counts.toldLost == 9 && rig.check.counts.gaps == 4)
        #expect(try rig.feed([rig.frame(0), rig.gap(2), rig.frame(4)], to: 3))
        #expect(rig.check.counts.lost == 1 && rig.check.counts.toldLost == 11)
        rig.check.finish(before: 5)
        #expect(rig.check.counts.lost == 1 && rig.check.counts.wrong == 0)
    }

    @Test func gapsAtTheEndAndTooMany() throws {
        let rig = try Rig(clients: 2)
        #expect(try rig.feed([rig.frame(0), rig.gap(3)], to: 0))
        #expect(rig.check.settled == 1 && rig.check.toldPending == 3)
        #expect(try rig.feed([rig.frame(0), rig.gap(2), rig.frame(1), rig.frame(2), rig.frame(3)], to: 1))
        rig.check.finish(before: 4)
        #expect(rig.check.counts.lost == 0 && rig.check.counts.toldLost == 3 && rig.check.toldPending == 0)
        #expect(rig.check.counts.wrong == 1 && rig.check.faults.count == 1)
    }

    @Test func filters() throws {
        let rig = try Rig(clients: 4, filter: "component=c{n%2}")
        #expect(rig.check.expected(from: 0, before: 10) == 20 && rig.check.expected(from: 1, before: 2) == 2)
        for client in 0..<4 { #expect(try rig.feed((0..<5).map { try rig.frame(UInt32(2 * $0 + client % 2)) }, to: client)) }
        rig.check.finish(before: 10)
        #expect(rig.check.counts.delivered == 20 && rig.check.faults.isEmpty)
        #expect(try rig.feed([rig.frame(11)], to: 0))
        #expect(rig.check.counts.wrong == 1)
        let none = try Rig(filter: "component=c", event: "component=d")
        #expect(none.check.expected(from: 0, before: 10) == 0)
        #expect(try none.feed([none.frame(0)]))
        #expect(none.check.counts.wrong == 1 && none.check.counts.delivered == 0)
        none.check.finish(before: 10)
        #expect(none.check.counts.lost == 0)
    }

    @Test(arguments: BenchPlan.Encoding.allCases) func whatIsChanged(encoding: BenchPlan.Encoding) throws {
        let rig = try Rig(encoding: encoding)
        let trailer = EventTrailer(encoding)
        var frame = try rig.frame(0)
        frame[frame.count - trailer.bytes - 20] ^= 1
        #expect(rig.feed([frame]))
        #expect(rig.check.counts.wrong == 1)
        // Another run's events are somebody else's.
        var other = try rig.frame(1)
        other[other.count - trailer.bytes + trailer.runAt] = UInt8(ascii: "f")
        #expect(rig.feed([other]))
        #expect(rig.check.counts.foreign == 1 && rig.check.counts.wrong == 1)
        // Fields behind the data are fine.
        #expect(try rig.feed([rig.frame(1, due: 100, behind: #","more":{"a":[1]}"#)], at: 150))
        #expect(rig.check.counts.delivered == 2 && rig.check.counts.lost == 0)
    }

    @Test(arguments: [
        (FrameWriter.frame(.binary, [1]), false), ([0xC1, 1, 65], false), ([0x01, 1, 65], false), ([0x80, 1, 65], false), ([0x81, 0x81, 0, 0, 0, 0, 65], false),
        (FrameWriter.text("no JSON"), true), (FrameWriter.text(#"{"type":"error","data":{"code":"forbidden"}}"#), true),
    ] as [([UInt8], Bool)])
    func faults(frame: [UInt8], goesOn: Bool) throws {
        let rig = try Rig()
        #expect(rig.feed([frame]) == goesOn)
        #expect(rig.check.counts.wrong == 1 && rig.check.faults.count == 1)
    }

    @Test func aFrameBeyondTheBuffer() throws {
        let rig = try Rig()
        #expect(!rig.feed([[0x81, 127, 0, 0, 0, 0, 0, 0x20, 0, 0], [UInt8](repeating: 32, count: DeliveryCheck.bufferBytes)]))
        #expect(rig.check.counts.wrong == 1)
    }

    @Test func closing() throws {
        let rig = try Rig()
        var closed: [UInt8] = []
        rig.check.onControl = { _, opcode, payload in if opcode == .close { closed = payload } }
        #expect(!rig.feed([FrameWriter.close(.goingAway, "bye")]))
        #expect(closed == [0x03, 0xE9] + Array("bye".utf8))
    }

    @Test func eventsOfOthers() throws {
        let rig = try Rig(ownRun: false)
        func event(_ id: String) -> [UInt8] { FrameWriter.text(#"{"type":"log","id":"\#(id)","data":1}"#) }
        #expect(rig.feed([event("e-1"), event("e-2"), rig.gap(7), event("e-10"), FrameWriter.text(#"{"type":"stats_update","data":1}"#)]))
        rig.check.finish(before: 0)
        #expect(rig.check.counts.delivered == 4 && rig.check.counts.toldLost == 7 && rig.check.faults.isEmpty)
        #expect(rig.feed([event("e-10")]))
        #expect(rig.check.counts.repeated == 1)
    }
}
