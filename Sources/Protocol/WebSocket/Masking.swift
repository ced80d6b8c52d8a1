// RFC 6455 §5.3: every byte a client sends is XORed with one of four key bytes, in turn.

/// The masking key of one frame.
public struct MaskingKey: Equatable, Sendable {
    /// The four bytes, the first on the wire lowest.
    let value: UInt32

    /// The key whose bytes stood on the wire in this order.
    public init(_ first: UInt8, _ second: UInt8, _ third: UInt8, _ fourth: UInt8) {
        value = UInt32(first) | UInt32(second) << 8 | UInt32(third) << 16 | UInt32(fourth) << 24
    }

    init(value: UInt32) { self.value = value }

    /// The key as it stands for a byte `offset` bytes into the payload.
    func rotated(by offset: Int) -> UInt32 {
        let bits = UInt32(truncatingIfNeeded: offset & 3) * 8
        return value >> bits | value << ((32 - bits) & 31)
    }
}

/// Unmasks (or masks: it is the same) part of a payload in place.
///
/// - Parameters:
///   - bytes: the next bytes of one frame's payload, in wire order; borrowed for the call only.
///   - key: the frame's masking key.
///   - offset: payload bytes of this frame that stand before `bytes`, `0...`.
/// - Complexity: O(bytes.count), eight bytes at a time; allocates nothing.
public func unmask(_ bytes: UnsafeMutableRawBufferPointer, key: MaskingKey, offset: Int) {
    guard let base = bytes.baseAddress else { return }
    let key32 = key.rotated(by: offset)
    let key64 = UInt64(key32) | UInt64(key32) << 32
    let count = bytes.count
    var i = 0
    while count - i >= 8 {
        let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: i, as: UInt64.self)) ^ key64
        base.storeBytes(of: word.littleEndian, toByteOffset: i, as: UInt64.self)
        i += 8
    }
    // Eight is a multiple of four, so the key stands at its first byte again; at most seven bytes are left.
    var rest = key64
    while i < count {
        let byte = base.load(fromByteOffset: i, as: UInt8.self) ^ UInt8(truncatingIfNeeded: rest)
        base.storeBytes(of: byte, toByteOffset: i, as: UInt8.self)
        rest >>= 8
        i += 1
    }
}
