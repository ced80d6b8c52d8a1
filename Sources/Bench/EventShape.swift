// The events that a bench publishes, and how they are known again: each ends with its run, its sequence and the instant it was due.

import Protocol

/// The bytes of the events of one run. All have the same size; they differ in fields that filters look at, and in their last bytes:
/// `"bench":"RUN-SEQUENCE-INSTANT"}}`, in hexadecimal digits. A server that passes `data` on as it is leaves these at the end of the frame, where they
/// cost nothing to find.
struct EventShape: Sendable {
    /// `"bench":"`, 8 digits of the run, `-`, 8 of the sequence, `-`, 16 of the instant, `"}}`.
    static let trailerBytes = 46
    static let key = Array(#""bench":""#.utf8)
    static let runAt = 9
    static let sequenceAt = 18
    static let instantAt = 27

    /// After how many events their fields come again.
    let period: Int
    let eventBytes: Int
    /// The same text before the trailer of every event.
    let pad: [UInt8]
    /// Whole events, by sequence modulo `period`, with zeros in place of sequence and instant.
    private let templates: [[UInt8]]

    static let periodMax = 10_000

    /// - Parameters:
    ///   - channel: where the events go.
    ///   - fields: of their data; each is named as the filter that looks at it.
    ///   - clients: what `{n}` counts to.
    ///   - run: makes the events of this run different from those of any other.
    init(channel: String, fields: FieldPatterns, clients: Int, eventBytes: Int, run: UInt32) throws(BenchError) {
        var period = 1
        for field in fields.fields {
            period = EventShape.leastCommonMultiple(period, field.pattern.period(of: clients))
            guard period <= EventShape.periodMax else {
                throw BenchError("the fields of events come again after more than \(EventShape.periodMax); use divisors that divide each other")
            }
        }
        self.period = period
        self.eventBytes = eventBytes
        let digits = String(run, radix: 16)
        let trailer = #""bench":""# + String(repeating: "0", count: 8 - digits.count) + digits + "-00000000-0000000000000000\"}}"
        var heads: [[UInt8]] = []
        for residue in 0..<period {
            var writer = JSONWriter()
            writer.beginObject()
            writer.key("channel")
            writer.string(channel)
            writer.key("type")
            writer.string(EventShape.type(of: channel))
            writer.key("data")
            writer.beginObject()
            for field in fields.fields where field.name != "q" {
                EventShape.write(field.name, field.pattern.text(residue, of: clients), to: &writer)
            }
            writer.key("message")
            writer.string(fields["q"].map { $0.text(residue, of: clients) + " " } ?? "")
            // The text of the message goes on in the padding.
            heads.append(Array(writer.bytes.dropLast()))
        }
        let tail = Array("\",".utf8) + Array(trailer.utf8)
        let longest = (heads.map(\.count).max() ?? 0) + tail.count
        guard eventBytes >= longest else { throw BenchError("--size \(eventBytes): with these fields an event has at least \(longest) bytes") }
        let letters = Array("abcdefghijklmnopqrstuvwxyz ".utf8)
        // Counted from the end, so that the padding of all events ends alike.
        let padding = (0..<eventBytes).map { letters[(eventBytes - $0) % letters.count] }
        pad = Array(padding.suffix(eventBytes - longest)) + Array("\",".utf8)
        templates = heads.map { $0 + padding.suffix(eventBytes - $0.count - tail.count) + tail }
    }

    /// Writes event `sequence` at `target`, which has room for `eventBytes`.
    func write(sequence: UInt32, due: UInt64, to target: UnsafeMutableRawPointer) {
        let template = templates[Int(sequence) % period]
        template.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { target.copyMemory(from: base, byteCount: eventBytes) }
        }
        let trailer = target + (eventBytes - EventShape.trailerBytes)
        Hexadecimal.write(sequence, to: trailer + EventShape.sequenceAt)
        Hexadecimal.write(UInt32(truncatingIfNeeded: due >> 32), to: trailer + EventShape.instantAt)
        Hexadecimal.write(UInt32(truncatingIfNeeded: due), to: trailer + EventShape.instantAt + 8)
    }

    /// The type that belongs to a channel; `bench` where none may be published or none belongs to it.
    private static func type(of channel: String) -> String {
        switch channel {
        case "logs": "log"
        case "requests": "request"
        case "providers": "provider_status"
        default: "bench"
        }
    }

    /// What passes the filter `name=value`.
    private static func write(_ name: String, _ value: String, to writer: inout JSONWriter) {
        // Of several values the filter takes any.
        let first = String(value.prefix { $0 != "," })
        switch name {
        case "only_errors":
            writer.key("success")
            writer.bool(value != "true")
        case "min_latency_ms":
            writer.key("latency_ms")
            writer.int(Int(first) ?? 0)
        default:
            writer.key(name)
            writer.string(first)
        }
    }

    static func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
        var (x, y) = (a, b)
        while y != 0 { (x, y) = (y, x % y) }
        return a / max(1, x) * b
    }
}

/// Eight hexadecimal digits at a time, without a loop.
enum Hexadecimal {
    /// The number in eight digits, `0`–`9` and `a`–`f`. Other bytes give some number: compare it with the one that is expected.
    @inline(__always)
    static func read(_ digits: UnsafeRawPointer) -> UInt32 {
        let text = UInt64(littleEndian: digits.loadUnaligned(as: UInt64.self))
        // Letters have bit 6 set, and count nine more than their low four bits say.
        var value = (text & 0x0F0F_0F0F_0F0F_0F0F) &+ 9 &* (text >> 6 & 0x0101_0101_0101_0101)
        value = value.byteSwapped
        value = (value | value >> 4) & 0x00FF_00FF_00FF_00FF
        value = (value | value >> 8) & 0x0000_FFFF_0000_FFFF
        return UInt32(truncatingIfNeeded: value | value >> 16)
    }

    static func write(_ value: UInt32, to target: UnsafeMutableRawPointer) {
        for place in 0..<8 {
            let digit = UInt8(truncatingIfNeeded: value >> UInt32(28 - 4 * place)) & 0xF
            target.storeBytes(of: digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10, toByteOffset: place, as: UInt8.self)
        }
    }

    /// The same as `read` for bytes of which nothing is known; nil where one is no digit.
    static func readChecked(_ digits: UnsafeRawBufferPointer) -> UInt64? {
        var value: UInt64 = 0
        for byte in digits {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }
}
