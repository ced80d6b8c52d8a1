// Events as bytes: the message, its frames, and what is indexed of it.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct SegmentTests {
    private func text(_ segment: Segment, _ index: Int) -> String {
        String(decoding: segment.text(of: segment.entry(at: index).pointee.json), as: UTF8.self)
    }

    @Test func messageAsOnTheWire() {
        let timestamp = Instant(microseconds: 1_770_287_400_123_456)
        let segment = Segment(firstSequence: 1045, entriesMax: 4, bytesMax: 4096, framer: Framer())
        let epoch = Epoch(Instant(milliseconds: 36 * 36 * 36 + 1))
        func add(_ channel: Channel, _ type: String, _ data: String) {
            segment.add(
                EventDraft(channel: channel, type: type, timestamp: timestamp, data: Array(data.utf8)),
                id: (epoch, 1045 + UInt64(segment.count)), published: 7)
        }
        add(.logs, "log", #"{"level":"warn"}"#)
        add(.logs, "deploy \"x\"", "null")
        add(.all, "note", #"[1,"é"]"#)
        #expect(
            text(segment, 0) == #"{"type":"log","id":"1001-1045","timestamp":"2026-02-05T10:30:00.123Z","data":{"level":"warn"}}"#
        )
        #expect(
            text(segment, 1)
                == #"{"type":"deploy \"x\"","id":"1001-1046","timestamp":"2026-02-05T10:30:00.123Z","channel":"logs","data":null}"#
        )
        #expect(
            text(segment, 2)
                == #"{"type":"note","id":"1001-1047","timestamp":"2026-02-05T10:30:00.123Z","channel":"all","data":[1,"é"]}"#)
        #expect(segment.lastPublished == 7)
    }

    /// Whatever is in them, the types and data of events come back out of the message.
    @Test(arguments: testSeeds(3))
    func messagesAreJSON(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let types = ["log", "a", "\u{0}\u{1}\u{1F}\u{7F}", "quote\"back\\slash", "ü🚀", String(repeating: "\u{1}", count: 128)]
        let drafts = (0..<100).map { number -> EventDraft in
            var draft = ModelEvent.random(number: number, using: &generator).draft
            draft.type = generator.pick(types)
            draft.timestamp = Instant(milliseconds: Int64(generator.int(-5_000_000_000_000...5_000_000_000_000)))
            return draft
        }
        let segment = segment(of: drafts)
        for (index, draft) in drafts.enumerated() {
            let message = try JSON(parsing: text(segment, index))
            #expect(message["type"]?.string == draft.type, "seed \(seed)")
            #expect(message["id"]?.string.flatMap(sequence(ofID:)) == UInt64(index + 1))
            #expect(message["timestamp"]?.string == draft.timestamp.rfc3339)
            #expect(try message["data"] == JSON(parsing: draft.data))
            #expect(message["channel"]?.string == (MessageType.ofChannel[draft.type] == draft.channel ? nil : draft.channel.name))
        }
    }

    /// `bytesNeeded` is never too small: a segment of exactly that size takes the event.
    @Test(arguments: [
        "{}", "null", #"{"message":"\u0041\u0041\u0041"}"#,
        #"{"message":"\"","component":"\"","provider_id":"\"","model_id":"\"","user_id":"\""}"#,
        #"{"message":"\ud800"}"#, #"{"level":"\u0077arn"}"#,
    ])
    func bytesNeededIsEnough(data: String) {
        for type in ["", "x", String(repeating: "\u{1}", count: 128), String(repeating: "ü", count: 64)] {
            let draft = EventDraft(
                channel: .providers, type: type, timestamp: Instant(milliseconds: .max / 1000), data: Array(data.utf8))
            let segment = Segment(firstSequence: .max - 1, entriesMax: 1, bytesMax: Segment.bytesNeeded(draft), framer: Framer(thresholdBytes: 0))
            #expect(segment.fits(Segment.bytesNeeded(draft)))
            segment.add(draft, id: (Epoch(Instant(milliseconds: .max / 1000)), .max - 1), published: 0)
            #expect(segment.bytesUsed <= Segment.bytesNeeded(draft))
            for encoding in Encoding.allCases { segment.fillFrames(encoding) }
            #expect(!segment.fits(0))
        }
    }

    @Test func indexedFieldsAreUnescaped() {
        let data =
            #"{"component":"a\"b","provider_id":"plain","model_id":"\u00fc","user_id":"","message":"x\\y","latency_ms":12.9,"success":false}"#
        let segment = segment(of: [draft(.requests, data)])
        let entry = segment.entry(at: 0).pointee
        func text(_ range: FieldRange) -> String? {
            range.isPresent ? String(decoding: segment.text(of: range), as: UTF8.self) : nil
        }
        #expect(text(entry.component) == "a\"b")
        #expect(text(entry.providerID) == "plain")
        #expect(text(entry.modelID) == "ü")
        #expect(text(entry.userID) == "")
        #expect(text(entry.message) == "x\\y")
        #expect(entry.latency == 12)
        #expect(entry.flags & EventEntry.isFailure != 0)
        #expect(text(segment.entry(at: 0).pointee.json)?.hasSuffix(data + "}") == true)
    }

    @Test func fieldsOfOtherKindsAreAbsent() {
        let segment = segment(of: [
            draft(.requests, #"{"component":1,"provider_id":null,"model_id":["x"],"user_id":{},"message":true}"#)
        ])
        let entry = segment.entry(at: 0).pointee
        for range in [entry.component, entry.providerID, entry.modelID, entry.userID, entry.message] { #expect(!range.isPresent) }
        #expect(entry.latency == EventEntry.noLatency)
        #expect(entry.flags & EventEntry.isFailure == 0)
    }

    /// Frames lie one behind the other, with the length form that their size asks for.
    @Test func framesAreContiguous() {
        let sizes = [0, 1, 20, 21, 22, 1000, 65_400, 65_535, 70_000]
        let drafts = sizes.map { draft(.logs, "\"" + String(repeating: "x", count: $0) + "\"", type: "log") }
        let segment = segment(of: drafts)
        let frames = segment.spanFrames(.text)
        #expect(frames.filledCount == sizes.count)
        let first = frames.start(of: frames.place(of: 0, segment))
        var end = first
        for index in sizes.indices {
            let place = frames.place(of: index, segment)
            #expect(frames.start(of: place) == end)
            end += Int(place.length)
            #expect(Array(frames.bytes(of: place)) == FrameWriter.frame(.text, segment.text(of: segment.entry(at: index).pointee.json)))
            #expect(frames.rest(from: end - 1, ofFrame: index).count == 1)
        }
        for offset in 0..<(end - first) where offset % 7 == 0 || offset < 400 {
            let (index, isBegun) = frames.position(of: first + offset, among: sizes.indices)
            let place = frames.place(of: index, segment)
            #expect(place.start <= offset && offset < place.end && isBegun == (offset > place.start))
        }
    }

    /// Events that came before the first client get their frames later, in one go or in several.
    @Test func framesAreFilledLate() {
        let segment = Segment(firstSequence: 1, entriesMax: 8, bytesMax: 8192, framer: Framer())
        let epoch = Epoch(Instant(milliseconds: 0))
        for number in 0..<3 { segment.add(draft(.logs, "\(number)"), id: (epoch, UInt64(number + 1)), published: 0) }
        for encoding in Encoding.allCases {
            #expect(segment.frames(encoding) == nil, "nobody has needed them")
        }
        segment.fillFrames(.text)
        #expect(segment.frames(.text)?.filledCount == 3)
        segment.add(draft(.logs, "3"), id: (epoch, 4), published: 0)
        #expect(segment.frames(.text)?.filledCount == 3)
        #expect(segment.frames(.eventStream) == nil)
        segment.fillFrames(.text)
        segment.fillFrames(.text)
        for encoding in Encoding.allCases { segment.fillFrames(encoding) }
        for encoding in Encoding.allCases { #expect(segment.frames(encoding)?.filledCount == 4) }
    }

    /// Frames of MessagePack are made for nobody before: each once, by whoever needs it first.
    @Test func packedWhenNeeded() throws {
        #expect(!Encoding.messagePack.isMadeAhead && Encoding.text.isMadeAhead)
        let segment = Segment(firstSequence: 1, entriesMax: 8, bytesMax: 8192, framer: Framer())
        for number in 0..<3 { segment.add(draft(.logs, "\(number)"), id: (Epoch(Instant(milliseconds: 0)), UInt64(number + 1)), published: 0) }
        let frames = segment.frameLog(.messagePack)
        let (last, first) = (frames.place(of: 2, segment), frames.place(of: 0, segment))
        #expect(last.start == 0 && first.start == last.end && frames.filledCount == 0)
        #expect(frames.place(of: 2, segment).start == last.start, "made once")
        let json = Array(segment.text(of: segment.entry(at: 2).pointee.json))
        #expect(Array(frames.bytes(of: last)) == FrameWriter.frame(.binary, MessagePack.bytes(of: json)))
    }

    @Test func entryKeepsItsFlatLayout() {
        #expect(MemoryLayout<SegmentHeader>.size <= 64)
        #expect(MemoryLayout<EventEntry>.stride % 8 == 0)
        #expect(_isPOD(EventEntry.self))
    }

    @Test(arguments: [(Int64(0), "0"), (35, "z"), (36, "10"), (1_770_287_400_000, "ml9bes00"), (-5, "0")])
    func epochs(milliseconds: Int64, text: String) {
        let epoch = Epoch(Instant(milliseconds: milliseconds))
        #expect(epoch.description == text)
        #expect(epoch.id(7) == "\(text)-7")
    }
}

struct EncodingTests {
    @Test func everyEncodingHasAPlaceOfItsOwn() {
        #expect(Compression.all.count == Compression.count && Compression.all.enumerated().allSatisfy { $0.offset == $0.element.index })
        #expect(Encoding.count == MessageForm.allCases.count * Compression.count)
        #expect(Set(Encoding.allCases.map(\.index)).count == Encoding.allCases.count)
        #expect(Encoding.allCases.allSatisfy { $0.index < Encoding.count && $0 == Encoding($0.form, $0.compression) })
        #expect(MemoryLayout<Encoding>.size == 2)
    }
}
