// The queue between fan-out and a client's socket: a bounded lock-free ring of spans.

import Synchronization

/// Something contiguous that a client is still to get.
struct Span {
    enum Kind: UInt8 {
        /// Whole frames of a frame log (the first may be partly sent).
        case log
        /// A block of the client's own outbox; the span owns it.
        case own
        /// Nothing any more: what it was is lost, superseded, or comes from history again. Holds nothing.
        case void
        /// A state frame shared by a group; the span holds one of its references.
        case state
        /// A block of a stream that is compressed for the client alone, or what stands before it; the span owns it.
        case streamed
    }

    /// First byte not sent yet.
    var start: UnsafeRawPointer
    var length: UInt32
    /// Events that the span was made of; not lessened as its bytes are sent.
    var events: UInt32
    /// The same per channel: what is entered as delivered when the span is sent.
    var lanes: Lanes
    /// `.log`: sequence of the last event in the span.
    var last: UInt64
    /// `.log`: the `Segment`, kept alive by the shard's list; `.own`, `.streamed`: the block; `.state`: the `StateFrame`, retained.
    var owner: UnsafeRawPointer
    var kind: Kind
    /// `.log`: its delay since publishing is a figure of ours; not so for what a replay gives.
    var isTimed = true
    /// `.state`: which group's state it is.
    var group: UInt32 = 0

    /// Makes a span of nothing out of it; the caller has let go of what it held.
    mutating func becomeVoid() {
        kind = .void
        length = 0
        events = 0
        lanes = .none
    }
}

/// A bounded ring of spans for one producer and one consumer.
///
/// Lock-free: `tail` is written by the producer (release: the slot before it), `head` by the consumer (release: the slot is
/// free). In the daemon both are the client's shard; the ring does not rely on that. Slots are lent by a pool while
/// something is waiting and given back when the ring is empty, so an idle client pays for the two indices only.
struct Ring: ~Copyable {
    private var slots: UnsafeMutablePointer<Span>?
    private let head: Atomic<UInt32>
    private let tail: Atomic<UInt32>

    /// - Parameter startIndex: of the first slot. The indices run through all of UInt32 and begin anew; tests begin near the end.
    init(startIndex: UInt32 = 0) {
        head = Atomic(startIndex)
        tail = Atomic(startIndex)
    }

    /// Spans waiting.
    var depth: Int { Int(tail.load(ordering: .acquiring) &- head.load(ordering: .acquiring)) }
    var isEmpty: Bool { depth == 0 }
    var hasSlots: Bool { slots != nil }

    /// Gives the ring its slots. Only while it has none.
    mutating func lend(_ memory: UnsafeMutablePointer<Span>) {
        precondition(slots == nil)
        slots = memory
    }

    /// Takes the slots back. Only while the ring is empty.
    mutating func takeBack() -> UnsafeMutablePointer<Span>? {
        precondition(isEmpty)
        defer { slots = nil }
        return slots
    }

    /// Producer: appends a span.
    /// - Returns: false when `capacity` (a power of two, the number of slots) or the smaller `limit` is reached.
    @inline(__always)
    func push(_ span: Span, limit: Int, capacity: Int) -> Bool {
        guard let slots else { return false }
        let end = tail.load(ordering: .relaxed)
        if Int(end &- head.load(ordering: .acquiring)) >= min(limit, capacity) { return false }
        (slots + Int(end) & (capacity - 1)).initialize(to: span)
        tail.store(end &+ 1, ordering: .releasing)
        return true
    }

    /// Puts a span before the oldest one. Only where producer and consumer are the same queue.
    /// - Returns: false when the ring is full.
    func putBefore(_ span: Span, capacity: Int) -> Bool {
        guard let slots, depth < capacity else { return false }
        let start = head.load(ordering: .relaxed) &- 1
        (slots + Int(start) & (capacity - 1)).initialize(to: span)
        head.store(start, ordering: .releasing)
        return true
    }

    /// The `index`-th waiting span, oldest first; nil beyond the last. Consumer, or the producer for its own last one.
    @inline(__always)
    func peek(_ index: Int, capacity: Int) -> UnsafeMutablePointer<Span>? {
        guard let slots, index < depth else { return nil }
        return slots + (Int(head.load(ordering: .relaxed)) &+ index) & (capacity - 1)
    }

    /// Producer: the newest span, to let a neighbour grow it. Only where producer and consumer are the same queue.
    @inline(__always)
    func newest(capacity: Int) -> UnsafeMutablePointer<Span>? {
        let end = tail.load(ordering: .relaxed)
        guard let slots, end != head.load(ordering: .acquiring) else { return nil }
        return slots + Int(end &- 1) & (capacity - 1)
    }

    /// Consumer: removes the oldest span.
    @inline(__always)
    func pop() {
        let start = head.load(ordering: .relaxed)
        precondition(start != tail.load(ordering: .acquiring))
        head.store(start &+ 1, ordering: .releasing)
    }
}

/// Lends slot memory to rings; one per shard, used on its queue only.
final class SlotPool {
    /// Slots per ring, a power of two.
    let capacity: Int
    /// Those not lent, the last one given back on top: it is still in the cache. Not an array, whose changes would be checked at run time, twice
    /// per delivery.
    private let free = UnsafeMutablePointer<UnsafeMutablePointer<Span>>.allocate(capacity: SlotPool.freeMax)
    private var count = 0
    /// A burst of slow clients must not be paid for ever after.
    private static let freeMax = 64

    /// - Parameter spans: waiting spans that a client may have; rounded up to a power of two.
    init(spans: Int) {
        var size = 1
        while size < spans { size *= 2 }
        capacity = size
    }

    deinit {
        for place in 0..<count { free[place].deallocate() }
        free.deallocate()
    }

    func borrow() -> UnsafeMutablePointer<Span> {
        if count == 0 { return .allocate(capacity: capacity) }
        count -= 1
        return free[count]
    }

    func giveBack(_ memory: UnsafeMutablePointer<Span>) {
        guard count < SlotPool.freeMax else { return memory.deallocate() }
        free[count] = memory
        count += 1
    }
}

/// A state message as a frame, shared by the clients of a group and freed with its last reference. Never changed.
final class StateFrame: @unchecked Sendable {  // Sendable because the bytes are written in `init` only.
    let bytes: UnsafeRawBufferPointer

    init(_ frame: [UInt8]) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count, alignment: 1)
        memory.copyBytes(from: frame)
        bytes = UnsafeRawBufferPointer(memory)
    }

    deinit { bytes.deallocate() }
}

/// The present state of a stats group: what was said, and its frames in the encodings that somebody there has.
struct StateFrames: Sendable {
    let message: ControlMessage
    private var frames = [StateFrame?](repeating: nil, count: Encoding.count)

    init(_ message: ControlMessage) { self.message = message }

    subscript(_ encoding: Encoding) -> StateFrame? { frames[encoding.index] }

    /// The frame of an encoding, made if nobody has needed it before.
    mutating func make(_ encoding: Encoding, _ framer: Framer) -> StateFrame {
        if let made = frames[encoding.index] { return made }
        let frame = StateFrame(framer.frame(message, as: encoding))
        frames[encoding.index] = frame
        return frame
    }
}
