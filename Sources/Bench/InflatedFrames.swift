// What compressed frames are. Each stands for itself, and the clients of a worker get the same ones, so each is decompressed once.

import Glibc
import Protocol

/// Decompresses messages of permessage-deflate, and keeps some thousand of them. Used by its worker's thread only.
final class InflatedFrames {
    /// A frame in each place at most: the newest that belongs there.
    private var frames = [Frame?](repeating: nil, count: 1 << placeBits)
    private static let placeBits = 13
    /// Made when the first frame comes.
    private var inflater: Inflater?

    private final class Frame {
        let payload: [UInt8]
        let message: UnsafeMutableRawBufferPointer

        init(_ payload: UnsafeRawBufferPointer, _ message: UnsafeRawBufferPointer) {
            self.payload = Array(payload)
            self.message = .allocate(byteCount: message.count, alignment: 8)
            self.message.copyMemory(from: message)
        }

        deinit { message.deallocate() }
    }

    /// - Returns: valid until the next call; nil for what does not decompress.
    func message(of payload: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard let base = payload.baseAddress else { return nil }
        // Their last bytes differ most; the highest bits of the product hold something of each of them.
        let end = payload.count >= 8 ? payload.loadUnaligned(fromByteOffset: payload.count - 8, as: UInt64.self) : 0
        let place = Int((end &* 0x9E37_79B9_7F4A_7C15) >> UInt64(64 - InflatedFrames.placeBits))
        if let known = frames[place], known.payload.count == payload.count, memcmp(known.payload, base, payload.count) == 0 {
            return UnsafeRawBufferPointer(known.message)
        }
        if inflater == nil { inflater = Inflater() }
        guard case .message(let message)? = inflater?.inflate(payload, bytesMax: DeliveryCheck.bufferBytes) else { return nil }
        let made = Frame(payload, message)
        frames[place] = made
        return UnsafeRawBufferPointer(made.message)
    }
}
