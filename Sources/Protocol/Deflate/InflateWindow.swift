// What the messages of one peer may refer to (RFC 7692 §7.2.2): the end of those before.

import Base
import Glibc

/// The LZ77 window of a peer that keeps its context, between two of its messages; meanwhile the inflater serves others.
///
/// Not thread safe: used by the connection's owner only. It takes memory as messages come, in steps, and not before: who sends little costs little.
public final class InflateWindow {
    /// Bytes that it keeps at most.
    public let bytesMax: Int
    private var base: UnsafeMutableRawPointer?
    private(set) var capacity = 0
    private var count = 0
    /// Where the next byte goes. A full window goes round: the oldest byte is there.
    private var next = 0
    /// What `base` points to once it is large: thousands of such blocks, taken and given back in turns, would stay with the allocator.
    private var pages: MappedMemory?

    private static let capacityMin = 256
    private static let allocatedMax = 4096

    /// - Parameter bits: of the window that the peer compresses with: 8 to 15.
    public init(bits: Int) { bytesMax = InflateWindow.bytesMax(bits: bits) }

    deinit { if capacity <= InflateWindow.allocatedMax { free(base) } }

    /// Bytes that one takes at most.
    public static func bytesMax(bits: Int) -> Int { 1 << min(max(bits, 8), 15) }

    /// The end of what came, the oldest byte first, in two parts, either of which may be empty; valid until the next `keep`.
    var parts: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) {
        let all = UnsafeRawBufferPointer(start: base, count: count)
        let start = count == bytesMax ? next : 0
        return (UnsafeRawBufferPointer(rebasing: all[start...]), UnsafeRawBufferPointer(rebasing: all[..<start]))
    }

    /// A message came, which those that follow may refer to.
    /// - Returns: false without memory.
    func keep(_ message: UnsafeRawBufferPointer) -> Bool {
        let piece = UnsafeRawBufferPointer(rebasing: message.suffix(bytesMax))
        if piece.isEmpty { return true }
        guard grow(to: min(count + piece.count, bytesMax)), let base else { return false }
        let first = UnsafeRawBufferPointer(rebasing: piece.prefix(capacity - next))
        let second = UnsafeRawBufferPointer(rebasing: piece.dropFirst(first.count))
        if let source = first.baseAddress { (base + next).copyMemory(from: source, byteCount: first.count) }
        if let source = second.baseAddress { base.copyMemory(from: source, byteCount: second.count) }
        next += piece.count
        if next >= bytesMax { next -= bytesMax }
        count = min(count + piece.count, bytesMax)
        return true
    }

    /// Makes room for so many bytes: by doubling while it is small, then for all at once, of which only what is written takes room.
    private func grow(to wanted: Int) -> Bool {
        if wanted <= capacity { return true }
        if wanted > InflateWindow.allocatedMax {
            guard let mapped = MappedMemory(trying: bytesMax) else { return false }
            if let base { mapped.start.copyMemory(from: base, byteCount: count) }
            free(base)
            (base, capacity) = (mapped.start, bytesMax)
            pages = consume mapped
            return true
        }
        var bytes = max(capacity, InflateWindow.capacityMin)
        while bytes < wanted { bytes *= 2 }
        guard let grown = realloc(base, min(bytes, bytesMax)) else { return false }
        (base, capacity) = (grown, min(bytes, bytesMax))
        return true
    }
}
