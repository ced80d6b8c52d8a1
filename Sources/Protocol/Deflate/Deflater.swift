// Compressing messages with DEFLATE (RFC 1951), as permessage-deflate sends them (RFC 7692 §7.2.1).

import CZlib

/// A compressor of zlib: for messages that stand each for itself, or for a stream of them that refer to those before.
///
/// Not thread safe: used by its owner only. Takes `memoryBytes` from its first breath on.
public final class Deflater: @unchecked Sendable {  // Sendable because it alone owns what its pointer points to, and its owner is one at a time.
    private let stream: UnsafeMutablePointer<z_stream>

    /// What zlib can compress with, as powers of two. It has none of 8, but with 9 it refers back to 250 bytes at most (2^9 less the 262 of its
    /// look-ahead), which whoever asked for 8 can follow.
    public static let windows = 9...15
    /// What a flush ends with; it is not sent (RFC 7692 §7.2.1).
    static let tail: [UInt8] = [0x00, 0x00, 0xFF, 0xFF]

    /// - Parameters:
    ///   - window: bits of the window, one of `windows`.
    ///   - level: 1 (fast) to 9.
    ///   - memoryLevel: 1 to 9; how much zlib remembers of the window, and how long a block may be.
    /// - Returns: nil without memory.
    public init?(window: Int, level: Int, memoryLevel: Int) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let bits = Int32(min(max(window, Deflater.windows.lowerBound), Deflater.windows.upperBound))
        guard czlib_deflate_init(stream, Int32(min(max(level, 1), 9)), bits, Int32(min(max(memoryLevel, 1), 9))) == Z_OK else {
            stream.deallocate()
            return nil
        }
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    /// Memory that a compressor takes, as zlib.h tells it.
    public static func memoryBytes(window: Int, memoryLevel: Int) -> Int { (1 << (window + 2)) + (1 << (memoryLevel + 9)) + 6144 }

    /// Compresses a message without reference to any before.
    ///
    /// - Parameters:
    ///   - target: room for what it may become, and the four bytes of the flush behind it. Where it does not fit, it would not have paid.
    ///   - keepsTail: ends with the flush's four bytes, so that another stream may follow behind it.
    /// - Returns: bytes written; nil where the room is too small.
    public func compress(_ message: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, keepsTail: Bool = false) -> Int? {
        guard deflateReset(stream) == Z_OK else { return nil }
        feed(message)
        defer { forget() }
        stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(clamping: target.count)
        // Where no room is left, there may be more to come (zlib.h, on Z_SYNC_FLUSH).
        guard deflate(stream, Z_SYNC_FLUSH) == Z_OK, stream.pointee.avail_in == 0, stream.pointee.avail_out > 0 else { return nil }
        let count = target.count - Int(stream.pointee.avail_out)
        return keepsTail ? count : max(0, count - Deflater.tail.count)
    }

    /// Compresses the next message of a stream, which may refer to those before.
    /// - Parameter output: takes the message at its end, without the flush's four bytes.
    public func append(_ message: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        let start = output.count
        feed(message)
        defer { forget() }
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { room in
            repeat {
                stream.pointee.next_out = room.baseAddress?.assumingMemoryBound(to: UInt8.self)
                stream.pointee.avail_out = UInt32(room.count)
                // Not an error where a flush of before has said everything already (Z_BUF_ERROR).
                deflate(stream, Z_SYNC_FLUSH)
                output.append(contentsOf: room[..<(room.count - Int(stream.pointee.avail_out))])
            } while stream.pointee.avail_out == 0
        }
        if output.count - start >= Deflater.tail.count {
            output.removeLast(Deflater.tail.count)
        } else {
            // Of an empty message behind another zlib says nothing at all; RFC 7692 §7.2.3.6 wants this.
            output.append(0)
        }
    }

    private func feed(_ message: UnsafeRawBufferPointer) {
        stream.pointee.next_in = UnsafeMutablePointer(mutating: message.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(clamping: message.count)
    }

    /// Keeps no pointer to what was lent for a call.
    private func forget() {
        stream.pointee.next_in = nil
        stream.pointee.next_out = nil
    }
}
