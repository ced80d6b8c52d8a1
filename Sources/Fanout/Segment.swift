// A stretch of history: events as JSON with what filters ask of them, and beside it the same events as ready frames.
//
// The history part is one flat block of memory, offsets instead of pointers, under a versioned header, so that it means
// the same wherever it is mapped. See docs/ARCHITECTURE.md, "Segments".

import Base
import Synchronization

/// A range of a segment's bytes. `length == absent`: the event has no such field.
struct FieldRange {
    var offset: UInt32
    var length: UInt32

    static let absentLength = UInt32.max
    static let absent = FieldRange(offset: 0, length: absentLength)
    var isPresent: Bool { length != FieldRange.absentLength }
}

/// What the fan-out knows of one event. Fixed layout, part of the segment's flat block.
struct EventEntry {
    /// The whole message as JSON.
    var json: FieldRange
    /// The origin's instant, microseconds since 1970.
    var timestamp: Int64
    /// When it was published, nanoseconds of the monotonic clock.
    var published: UInt64
    /// `latency_ms`, rounded down; `noLatency` without one.
    var latency: Int64
    var component: FieldRange
    var providerID: FieldRange
    var modelID: FieldRange
    var userID: FieldRange
    var message: FieldRange
    var requestID: FieldRange
    /// Of an event from the journal: which entry it was made of.
    var entrySequenceID: UInt64
    var entrySequence: UInt64
    /// Bits of the channels that it goes to; four bits for an event published to `all`.
    var channels: ChannelSet
    /// `rawValue` of the channel that it was published on: its lane in the ledger.
    var channel: UInt8
    /// `Severity.bit`.
    var severity: UInt8
    var flags: UInt8

    static let noLatency = Int64.min
    /// Published to `all`: passes every filter.
    static let passesFilters: UInt8 = 1
    /// Its data names a level.
    static let hasLevel: UInt8 = 128
    /// Its data says whether it succeeded.
    static let hasSuccess: UInt8 = 64
    /// Has `success: false`.
    static let isFailure: UInt8 = 2
    /// Superseded for clients that are behind by a later event of the same provider.
    static let isConflatable: UInt8 = 4
    /// Its source keeps it as well: a replay that is read from there gives it.
    static let isArchived: UInt8 = 8
}

/// The first bytes of a segment's flat block.
struct SegmentHeader {
    static let magic: UInt32 = 0x676C_7773  // "glws"
    static let version: UInt32 = 2

    var magic = SegmentHeader.magic
    var version = SegmentHeader.version
    var firstSequence: UInt64
    var count: UInt32 = 0
    var bytesUsed: UInt32 = 0
    var entriesMax: UInt32
    var bytesMax: UInt32
}

/// A segment of history and its frame logs.
///
/// Written by the hub under its lock, only ever by appending. Read by the shards without a lock up to the sequence that
/// they loaded from `Hub.head` (acquire; the hub stores it with release after the bytes are in place).
final class Segment: @unchecked Sendable {  // Sendable because of the rule above.
    let firstSequence: UInt64
    /// The flat block.
    private let block: MappedMemory
    private let entriesMax: Int
    private let bytesMax: Int
    private let framer: Framer
    private let entries: UnsafeMutablePointer<EventEntry>
    private let bytes: UnsafeMutablePointer<UInt8>
    /// Per event: the sequence of the next state of the same provider; 0 while it is the newest. Part of the flat block, and the only
    /// thing in it that changes afterwards. Writer: the hub, under its lock, before it stores the head that makes the newer one
    /// visible; readers: shards, relaxed, who heed it only where the newer one is below the head that they have seen.
    private let successors: UnsafeMutablePointer<Atomic<UInt64>>
    /// Per encoding its `FrameLog`, retained; nil until the first client needs it. Written once each, by whoever that is; readers: any.
    private let logs: UnsafeMutablePointer<Atomic<UnsafeMutableRawPointer?>>
    /// The segment after this one. Writer: the hub, once, before it stores a head beyond this segment. Readers: shards.
    private let following = Atomic<UnsafeMutableRawPointer?>(nil)
    /// Number of events. Confined to the hub's lock; shards go by `Hub.head`.
    private(set) var count = 0
    private(set) var bytesUsed = 0
    /// When the first and the newest event came in, nanoseconds of the monotonic clock; confined to the hub's lock.
    private(set) var firstPublished: UInt64 = 0
    private(set) var lastPublished: UInt64 = 0
    /// Per real channel: the latest instant of an event that only history has; confined to the hub's lock.
    private(set) var lastUnkept = InlineArray<4, Int64>(repeating: .min)

    init(firstSequence: UInt64, entriesMax: Int, bytesMax: Int, framer: Framer) {
        self.firstSequence = firstSequence
        self.framer = framer
        self.entriesMax = entriesMax
        self.bytesMax = bytesMax
        let entriesOffset = 64
        let successorsOffset = entriesOffset + entriesMax * MemoryLayout<EventEntry>.stride
        let bytesOffset = successorsOffset + entriesMax * MemoryLayout<Atomic<UInt64>>.stride
        block = MappedMemory(byteCount: bytesOffset + bytesMax)
        block.start.initializeMemory(
            as: SegmentHeader.self,
            to: SegmentHeader(firstSequence: firstSequence, entriesMax: UInt32(entriesMax), bytesMax: UInt32(bytesMax)))
        entries = (block.start + entriesOffset).bindMemory(to: EventEntry.self, capacity: entriesMax)
        successors = (block.start + successorsOffset).bindMemory(to: Atomic<UInt64>.self, capacity: entriesMax)
        bytes = (block.start + bytesOffset).bindMemory(to: UInt8.self, capacity: bytesMax)
        logs = .allocate(capacity: Encoding.count)
        for index in 0..<Encoding.count { (logs + index).initialize(to: Atomic(nil)) }
    }

    deinit {
        for index in 0..<Encoding.count {
            if let log = logs[index].load(ordering: .relaxed) { Unmanaged<FrameLog>.fromOpaque(log).release() }
        }
        logs.deinitialize(count: Encoding.count)
        logs.deallocate()
        if let next = following.load(ordering: .relaxed) { Unmanaged<Segment>.fromOpaque(next).release() }
    }

    var next: Segment? { following.load(ordering: .acquiring).map { Unmanaged<Segment>.fromOpaque($0).takeUnretainedValue() } }

    /// Links the following segment. Under the hub's lock, once.
    func link(_ segment: Segment) {
        following.store(Unmanaged.passRetained(segment).toOpaque(), ordering: .releasing)
    }

    /// Shards that have not let go of the segment yet. Writers: the hub once, when it takes the segment off its list; then each shard once.
    private let holders = Atomic<Int>(0)

    /// The hub lets go of it; so many shards still have to.
    func beginRetirement(holders count: Int) {
        if count == 0 { unlink() } else { holders.store(count, ordering: .relaxed) }
    }

    /// A shard has let go of it, and will not ask for `next` again. Whoever else still holds it (a replay that waits for a disk) must not
    /// keep all that came after it.
    func retire() { if holders.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { unlink() } }

    private func unlink() {
        if let next = following.exchange(nil, ordering: .acquiringAndReleasing) { Unmanaged<Segment>.fromOpaque(next).release() }
    }

    /// Whether an event of this size still fits.
    func fits(_ size: Int) -> Bool { count < entriesMax && bytesUsed + size <= bytesMax }

    /// Appends raw bytes to the event in making. Under the hub's lock; the caller has checked `fits`.
    func write(_ source: UnsafeRawBufferPointer) -> FieldRange {
        precondition(bytesUsed + source.count <= bytesMax)
        if let base = source.baseAddress { UnsafeMutableRawPointer(bytes + bytesUsed).copyMemory(from: base, byteCount: source.count) }
        defer { bytesUsed += source.count }
        return FieldRange(offset: UInt32(bytesUsed), length: UInt32(source.count))
    }

    /// Completes the event in making. Under the hub's lock.
    func append(_ entry: EventEntry) {
        precondition(count < entriesMax)
        (entries + count).initialize(to: entry)
        (successors + count).initialize(to: Atomic(0))
        if count == 0 { firstPublished = entry.published }
        count += 1
        lastPublished = entry.published
        if entry.flags & EventEntry.isArchived == 0 {
            for channel in Channel.allCases.prefix(4) where entry.channels.contains(ChannelSet(channel)) {
                lastUnkept[Int(channel.rawValue)] = max(lastUnkept[Int(channel.rawValue)], entry.timestamp)
            }
        }
        block.start.storeBytes(of: UInt32(count), toByteOffset: MemoryLayout<SegmentHeader>.offset(of: \.count) ?? 16, as: UInt32.self)
        block.start.storeBytes(of: UInt32(bytesUsed), toByteOffset: MemoryLayout<SegmentHeader>.offset(of: \.bytesUsed) ?? 20, as: UInt32.self)
    }

    /// Makes the frames of all events so far. Under the hub's lock.
    func fillFrames(_ encoding: Encoding) { frameLog(encoding).fill(upTo: count, of: self) }

    /// The frames of an encoding; nil while nobody has needed them. Any thread; they live as long as the segment.
    func frames(_ encoding: Encoding) -> FrameLog? {
        logs[encoding.index].load(ordering: .acquiring).map { Unmanaged<FrameLog>.fromOpaque($0).takeUnretainedValue() }
    }

    /// The frames of an encoding, none made yet where nobody has needed them. Any thread.
    func frameLog(_ encoding: Encoding) -> FrameLog {
        if let log = frames(encoding) { return log }
        let log = FrameLog(encoding, framesMax: entriesMax, messageBytesMax: bytesMax, framer: framer)
        let made = Unmanaged.passRetained(log)
        let (isFirst, present) = logs[encoding.index].compareExchange(expected: nil, desired: made.toOpaque(), ordering: .acquiringAndReleasing)
        guard !isFirst, let present else { return log }
        made.release()
        return Unmanaged<FrameLog>.fromOpaque(present).takeUnretainedValue()
    }

    /// The frames that a span of a client with this encoding is made of.
    func spanFrames(_ encoding: Encoding) -> FrameLog {
        guard let log = frames(encoding) else { preconditionFailure("a span of frames that were never made") }
        return log
    }

    /// The events that a span of this segment was made of, by index.
    func indices(of span: Span) -> Range<Int> {
        let end = Int(span.last + 1 - firstSequence)
        return end - Int(span.events)..<end
    }

    /// Says that a newer state of the same provider is event `sequence`. Under the hub's lock.
    func supersede(_ index: Int, by sequence: UInt64) { (successors + index).pointee.store(sequence, ordering: .relaxed) }

    /// The next state of the same provider; 0 where there is none.
    func successor(of index: Int) -> UInt64 { (successors + index).pointee.load(ordering: .relaxed) }

    /// An event's entry. Any thread that knows `index` to be published.
    @inline(__always)
    func entry(at index: Int) -> UnsafePointer<EventEntry> { UnsafePointer(entries + index) }

    /// The events of a range of sequences per channel.
    func lanes(of sequences: Range<UInt64>) -> Lanes {
        sequences.reduce(into: Lanes()) { $0 += Lanes(one: entry(at: Int($1 - firstSequence)).pointee.channel) }
    }

    /// The channels on which a range of sequences goes out.
    func channels(of sequences: Range<UInt64>) -> ChannelSet {
        sequences.reduce(into: ChannelSet()) { $0.formUnion(entry(at: Int($1 - firstSequence)).pointee.channels) }
    }

    /// Bytes of the segment; valid while the segment lives.
    @inline(__always)
    func text(of range: FieldRange) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: bytes + Int(range.offset), count: range.isPresent ? Int(range.length) : 0)
    }
}
