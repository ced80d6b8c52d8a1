// Events of a segment as frames, ready for the wire, in one encoding.

import Base
import Synchronization

/// The frames of one encoding that have been made of a segment's events. They lie in the order in which they were made: in that of the events
/// where they are made ahead (`Encoding.isMadeAhead`), else as they were needed.
///
/// Any thread may make frames, behind a lock; shards read without one what is made.
final class FrameLog: @unchecked Sendable {  // Sendable because frames are written under the lock, before their place is stored.
    /// Where a frame lies.
    struct Place {
        /// Its end in the high half, its begin in the low one. No frame is empty, so 0 is none.
        fileprivate let bits: UInt64

        @inline(__always)
        fileprivate init(bits: UInt64) { self.bits = bits }

        @inline(__always)
        var start: Int { Int(bits & 0xFFFF_FFFF) }
        @inline(__always)
        var end: Int { Int(bits >> 32) }
        @inline(__always)
        var length: UInt32 { UInt32(truncatingIfNeeded: bits >> 32) &- UInt32(truncatingIfNeeded: bits) }
    }

    private let encoding: Encoding
    private let framer: Framer
    /// Per event its frame's `Place`. Writer: who has the lock, with release after the bytes are in place; readers: any, with acquire.
    private let places: UnsafeMutablePointer<Atomic<UInt64>>
    private let framesMax: Int
    private let bytesMax: Int
    private let memory: MappedMemory
    @inline(__always)
    private var bytes: UnsafeMutableRawPointer { memory.start }
    /// How many events, from the first on, have their frames. Writer: who has the lock.
    private let filled = Atomic<Int>(0)
    /// Guards the making: its value is the bytes used.
    private let used = Locked(0)

    /// - Parameters:
    ///   - framesMax: most messages.
    ///   - messageBytesMax: most bytes of all messages together.
    init(_ encoding: Encoding, framesMax: Int, messageBytesMax: Int, framer: Framer) {
        self.encoding = encoding
        self.framer = framer
        self.framesMax = framesMax
        bytesMax = encoding.framesBytes(messages: framesMax, bytes: messageBytesMax)
        places = .allocate(capacity: framesMax)
        for index in 0..<framesMax { (places + index).initialize(to: Atomic(0)) }
        memory = MappedMemory(byteCount: bytesMax)
    }

    deinit {
        places.deinitialize(count: framesMax)
        places.deallocate()
    }

    /// How many events, from the first on, have their frames; any thread. Where they are made as needed, others may have theirs.
    var filledCount: Int { filled.load(ordering: .acquiring) }

    /// Sees to it that the first `count` events have their frames. Any thread that knows so many to be published.
    func fill(upTo count: Int, of segment: Segment) {
        precondition(count <= framesMax)
        used.withLock { used in
            for index in filled.load(ordering: .relaxed)..<max(count, filled.load(ordering: .relaxed)) {
                if places[index].load(ordering: .relaxed) == 0 { _ = write(index, of: segment, &used) }
                filled.store(index + 1, ordering: .releasing)
            }
        }
    }

    /// An event's frame, made if nobody has needed it before. Any thread that knows the event to be published.
    @inline(__always)
    func place(of index: Int, _ segment: Segment) -> Place {
        let bits = places[index].load(ordering: .acquiring)
        return bits != 0 ? Place(bits: bits) : make(index, of: segment)
    }

    // Never inlined: its lock has no place on the way of those that are there.
    @inline(never)
    private func make(_ index: Int, of segment: Segment) -> Place {
        used.withLock { used in
            // Another shard may have been here first.
            let bits = places[index].load(ordering: .relaxed)
            return bits != 0 ? Place(bits: bits) : write(index, of: segment, &used)
        }
    }

    /// Under the lock.
    private func write(_ index: Int, of segment: Segment, _ used: inout Int) -> Place {
        let message = segment.text(of: segment.entry(at: index).pointee.json)
        precondition(used + encoding.framesBytes(messages: 1, bytes: message.count) <= bytesMax)
        let end = used + framer.write(message, as: encoding, to: bytes + used)
        let place = Place(bits: UInt64(end) << 32 | UInt64(used))
        used = end
        places[index].store(place.bits, ordering: .releasing)
        return place
    }

    /// A frame that is known to be made.
    private func made(_ index: Int) -> Place { Place(bits: places[index].load(ordering: .acquiring)) }

    /// The first byte of a frame.
    @inline(__always)
    func start(of place: Place) -> UnsafeRawPointer { UnsafeRawPointer(bytes) + place.start }

    /// The bytes of a frame.
    func bytes(of place: Place) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start(of: place), count: Int(place.length)) }

    /// The frame that a span of this log begins in, and whether it begins in its middle: then the frame is partly sent.
    /// - Parameter events: of which the span was made. Their frames lie one behind the other.
    func position(of start: UnsafeRawPointer, among events: Range<Int>) -> (frame: Int, isBegun: Bool) {
        let offset = start - UnsafeRawPointer(bytes)
        // Binary search; for the rare case of a frame cut by a full socket.
        var low = events.lowerBound
        var high = events.upperBound
        while low + 1 < high {
            let middle = (low + high) / 2
            if made(middle).start <= offset { low = middle } else { high = middle }
        }
        return (low, made(low).start != offset)
    }

    /// Bytes from `start` to the end of a frame.
    func rest(from start: UnsafeRawPointer, ofFrame frame: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: start, count: made(frame).end - (start - UnsafeRawPointer(bytes)))
    }
}
