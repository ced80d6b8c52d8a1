// What the messages of one peer may refer to (RFC 7692 §7.2.2): the end of those before.

import Glibc

/// The LZ77 window of a peer that keeps its context, between two of its messages; meanwhile the inflater serves others.
///
/// Not thread safe: used by the connection's owner only. It takes memory as messages come, in steps, and not before: who sends little costs little.
public final class InflateWindow: @unchecked Sendable {  // Sendable because it alone owns what its pointer points to.
    /// Bytes that it keeps at most.
    public let bytesMax: Int
    private var base: UnsafeMutableRawPointer?
    private var count = 0
    private(set) var allocatedBytes = 0

    private static let allocatedBytesMin = 256

    /// - Parameter bits: of the window that the peer compresses with: 8 to 15.
    public init(bits: Int) { bytesMax = InflateWindow.bytesMax(bits: bits) }

    deinit { free(base) }

    /// Bytes that one takes at most.
    public static func bytesMax(bits: Int) -> Int { 1 << min(max(bits, 8), 15) }

    /// The end of what came, the newest byte last; valid until the next `keep`.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// A message came, which those that follow may refer to.
    /// - Returns: false without memory.
    func keep(_ message: UnsafeRawBufferPointer) -> Bool {
        let piece = UnsafeRawBufferPointer(rebasing: message.suffix(bytesMax))
        guard let source = piece.baseAddress, piece.count > 0 else { return true }
        let old = min(count, bytesMax - piece.count)
        guard grow(to: old + piece.count), let base else { return false }
        if old < count { memmove(base, base + (count - old), old) }
        (base + old).copyMemory(from: source, byteCount: piece.count)
        count = old + piece.count
        return true
    }

    /// Makes room for so many bytes, by doubling.
    private func grow(to wanted: Int) -> Bool {
        if wanted <= allocatedBytes { return true }
        var bytes = max(allocatedBytes, InflateWindow.allocatedBytesMin)
        while bytes < wanted { bytes *= 2 }
        bytes = min(bytes, bytesMax)
        guard let grown = realloc(base, bytes) else { return false }
        base = grown
        allocatedBytes = bytes
        return true
    }
}
