// Decompressing messages of permessage-deflate (RFC 7692 §7.2.2), as far as a limit and no further.

import CZlib
import Glibc

/// A decompressor of zlib, with the room for one message.
///
/// Not thread safe: used by its owner only, for as many peers as it likes: what messages refer to is in the peer's `InflateWindow`. It takes its own
/// window, and room for what comes, when the first message comes; `giveBack` lets go of room.
public final class Inflater: @unchecked Sendable {  // Sendable because it alone owns what its pointers point to, and its owner is one at a time.
    public enum Outcome {
        /// The message; valid until the next call.
        case message(UnsafeRawBufferPointer)
        /// It is longer than it may be.
        case tooLong
        /// No DEFLATE, or it ends before its end, or it refers to what there is not.
        case garbage
        case outOfMemory
    }

    private let stream: UnsafeMutablePointer<z_stream>
    private var room: UnsafeMutableRawPointer?
    private var roomBytes = 0
    private static let roomBytesMin = 4096
    private let roomBytesKept: Int
    /// The one that zlib has as it is: what came last was of it. So it is kept until the next message, whoever else lets go of it.
    private var resident: InflateWindow?

    /// - Parameters:
    ///   - window: bits of the window that the peer compresses with, or more: 8 to 15.
    ///   - roomBytesKept: of the room for a message, what `giveBack` leaves for the next one.
    /// - Returns: nil without memory.
    public init?(window: Int = 15, roomBytesKept: Int = 65_536) {
        self.roomBytesKept = roomBytesKept
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard czlib_inflate_init(stream, Int32(min(max(window, 8), 15))) == Z_OK else {
            stream.deallocate()
            return nil
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
        free(room)
    }

    /// Decompresses a message.
    ///
    /// - Parameters:
    ///   - payload: as it came, without the four bytes that RFC 7692 §7.2.1 takes off.
    ///   - bytesMax: the most that it may become; never is more than this made of it, and one byte.
    ///   - window: of the messages before, to which this one may refer, and is added; nil for one that stands for itself.
    public func inflate(_ payload: UnsafeRawBufferPointer, bytesMax: Int, window: InflateWindow? = nil) -> Outcome {
        giveBack()
        // An empty message of a stream is nothing at all with some compressors, though RFC 7692 §7.2.3.6 wants a byte.
        if payload.isEmpty { return .message(UnsafeRawBufferPointer(start: nil, count: 0)) }
        defer {
            stream.pointee.next_in = nil
            stream.pointee.next_out = nil
        }
        guard begin(window) else { return .outOfMemory }
        var count = 0
        let isEnded: Bool
        switch take(payload, &count, bytesMax) {
        case .taken: isEnded = false
        case .ended: isEnded = true
        case .stopped(let outcome): return outcome
        }
        // A final block may be the payload's end, though RFC 7692 §7.2.3.4 wants a byte behind it.
        if !isEnded {
            let rest = Deflater.tail.withUnsafeBytes { take($0, &count, bytesMax) }
            if case .stopped(let outcome) = rest { return outcome }
            // 128: at the end of a block, and of a byte (zlib.h, on data_type). A message that is cut short is elsewhere.
            guard stream.pointee.data_type & 0xFF == 128 else { return .garbage }
        }
        let message = UnsafeRawBufferPointer(start: room, count: count)
        if let window {
            guard window.keep(message) else { return .outOfMemory }
            resident = window
        }
        return .message(message)
    }

    /// Begins a message that may refer to what is in a window.
    /// - Returns: false without memory.
    private func begin(_ window: InflateWindow?) -> Bool {
        defer { resident = nil }
        if let window, window === resident { return inflateResetKeep(stream) == Z_OK }
        guard inflateReset(stream) == Z_OK else { return false }
        guard let window else { return true }
        // zlib.h: without a wrapping a dictionary can be set at any time, and adds to what is there.
        let (older, newer) = window.parts
        return load(older) && load(newer)
    }

    private func load(_ part: UnsafeRawBufferPointer) -> Bool {
        guard let start = part.baseAddress, !part.isEmpty else { return true }
        return inflateSetDictionary(stream, start.assumingMemoryBound(to: UInt8.self), UInt32(part.count)) == Z_OK
    }

    /// The newest message is not needed any more: its room is given back, but for what is kept.
    public func giveBack() {
        guard roomBytes > roomBytesKept else { return }
        free(room)
        room = nil
        roomBytes = 0
    }

    private enum Step {
        case taken
        /// With the last byte a final block has ended.
        case ended
        case stopped(Outcome)
    }

    private func take(_ input: UnsafeRawBufferPointer, _ count: inout Int, _ bytesMax: Int) -> Step {
        stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(clamping: input.count)
        while true {
            // One byte more than is allowed, so that what is too long shows.
            if count == roomBytes, !grow(to: bytesMax + 1) { return .stopped(.outOfMemory) }
            stream.pointee.next_out = room?.advanced(by: count).assumingMemoryBound(to: UInt8.self)
            let space = min(roomBytes, bytesMax + 1) - count
            stream.pointee.avail_out = UInt32(clamping: space)
            let result = CZlib.inflate(stream, Z_SYNC_FLUSH)
            count += space - Int(stream.pointee.avail_out)
            if count > bytesMax { return .stopped(.tooLong) }
            switch result {
            case Z_OK, Z_BUF_ERROR:
                if stream.pointee.avail_in == 0, stream.pointee.avail_out > 0 { return .taken }
                if result == Z_BUF_ERROR, stream.pointee.avail_out > 0 { return .stopped(.garbage) }
            case Z_STREAM_END:
                // RFC 7692 §7.2.3.4: behind a final block there may be others; they may refer to what was before it.
                if inflateResetKeep(stream) != Z_OK { return .stopped(.garbage) }
                if stream.pointee.avail_in == 0 { return .ended }
            case Z_MEM_ERROR: return .stopped(.outOfMemory)
            default: return .stopped(.garbage)
            }
        }
    }

    /// Makes room for more, by doubling.
    private func grow(to most: Int) -> Bool {
        let wanted = min(max(roomBytes * 2, Inflater.roomBytesMin), most)
        guard wanted > roomBytes, let grown = realloc(room, wanted) else { return false }
        room = grown
        roomBytes = wanted
        return true
    }
}
