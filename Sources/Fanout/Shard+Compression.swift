// Compression that is a client's own: what it sends is decompressed, and where we keep context, what it gets is compressed on its way from the
// ring to the socket.
//
// A stream of messages that refer to each other can leave out none and swap none. So events wait in the ring as they wait for all,
// uncompressed and shared, and only what is about to be written is compressed: what is dropped, superseded or withdrawn until then has not been part of the
// stream.

import Base
import Protocol

/// What a client has for itself. Confined to the shard's queue.
final class ClientContext {
    /// Nil where our messages are compressed for all alike.
    let deflater: Deflater?
    /// Of what it has sent; nil while that was nothing compressed, and where its messages stand each for itself.
    var window: InflateWindow?
    private let place: ContextPlace?

    init(_ deflater: Deflater? = nil, _ place: ContextPlace? = nil) {
        self.deflater = deflater
        self.place = place
    }
}

extension Shard {
    private static let level = 6

    /// Gives a client that begins what it needs for its compression.
    /// - Returns: false without memory.
    func beginCompression(_ index: UInt32, _ agreed: AgreedCompression?) -> Bool {
        guard let agreed else { return true }
        let client = client(index)
        if agreed.deflate.serverKeepsContext {
            let limits = limits.compression
            guard let deflater = Deflater(window: agreed.deflate.serverWindow, level: Shard.level, memoryLevel: limits.contextMemoryLevel) else { return false }
            client.pointee.details.context = ClientContext(deflater, agreed.compressor)
            client.pointee.flags.insert(.streams)
        }
        client.pointee.receiver.acceptsCompressed = true
        if let place = agreed.window {
            place.handOver()
            client.pointee.details.windowBits = UInt8(clamping: agreed.deflate.clientWindow)
        }
        return true
    }

    /// Gives back what was counted for a client that is gone.
    func endCompression(_ client: UnsafeMutablePointer<Client>) {
        let bits = client.pointee.details.windowBits
        if bits > 0 { hub.contexts.giveBack(windowBytes: InflateWindow.bytesMax(bits: Int(bits))) }
    }

    /// What a compressed message of a client may refer to, and is added to; nil where it stands for itself.
    func window(of details: ClientDetails) -> InflateWindow? {
        if details.windowBits == 0 { return nil }
        let context = details.context ?? ClientContext()
        let window = context.window ?? InflateWindow(bits: Int(details.windowBits))
        (details.context, context.window) = (context, window)
        return window
    }

    /// Of the room for a message, what the one keeps that all share.
    private static let inflaterBytesKept = 65_536

    /// What decompresses a client's messages: one for all.
    func inflater(for client: UnsafeMutablePointer<Client>) -> Inflater? {
        guard client.pointee.receiver.acceptsCompressed else { return nil }
        if sharedInflater == nil { sharedInflater = Inflater(roomBytesKept: Shard.inflaterBytesKept) }
        return sharedInflater
    }

    /// What waits in the ring when a client begins is no frame: the answer to its handshake, and answers to requests before it in the same connection.
    func exemptWaiting(of client: UnsafeMutablePointer<Client>) {
        guard client.pointee.flags.contains(.streams) else { return }
        var position = 0
        while let span = client.pointee.ring.peek(position, capacity: slots.capacity) {
            position += 1
            guard span.pointee.kind == .own else { continue }
            client.pointee.outboxBytes -= span.pointee.length
            span.pointee.kind = .streamed
        }
    }

    /// Whether a client with a stream of its own has to wait, for the next round or for those who wait already.
    func waitsForCompression(_ client: UnsafeMutablePointer<Client>) -> Bool {
        client.pointee.flags.contains(.streams) && (compressionLeft <= 0 || !takesTurns && !ready.isEmpty)
    }

    /// Compresses what is written next: the oldest spans of a ring, about `budget` bytes of them, as far as the round allows it.
    /// - Returns: bytes that may be written; 0 when others come first.
    func compressWaiting(_ client: UnsafeMutablePointer<Client>, _ budget: Int) -> Int {
        guard let deflater = client.pointee.details.context?.deflater else { return budget }
        var bytes = 0
        var position = 0
        while bytes < budget, var span = client.pointee.ring.peek(position, capacity: slots.capacity) {
            if span.pointee.kind != .streamed, span.pointee.kind != .void {
                if waitsForCompression(client) { break }
                if span.pointee.kind == .log, Int(span.pointee.length) > limits.roundBytesMax {
                    // Only the oldest one can be divided.
                    if position > 0 { break }
                    divideOldest(of: client)
                    guard let first = client.pointee.ring.peek(0, capacity: slots.capacity) else { break }
                    span = first
                }
                compressionLeft -= Int(span.pointee.length)
                compress(span, of: client, deflater)
            }
            bytes += Int(span.pointee.length)
            position += 1
        }
        return min(bytes, budget)
    }

    /// Makes two spans of a long run, the first of them whole frames, as many as one client has in a round. Not where the ring is full, nor where the run is one frame.
    private func divideOldest(of client: UnsafeMutablePointer<Client>) {
        guard let span = client.pointee.ring.peek(0, capacity: slots.capacity) else { return }
        let segment = Unmanaged<Segment>.fromOpaque(span.pointee.owner).takeUnretainedValue()
        let frames = segment.spanFrames(client.pointee.encoding)
        let target = span.pointee.start + limits.roundBytesMax - 1
        let (frame, _) = frames.position(of: target, among: segment.indices(of: span.pointee))
        let end = target + frames.rest(from: target, ofFrame: frame).count
        let length = UInt32(end - span.pointee.start)
        guard length < span.pointee.length else { return }
        var piece = span.pointee
        piece.last = segment.firstSequence + UInt64(frame)
        piece.length = length
        piece.events = UInt32(piece.last + UInt64(span.pointee.events) - span.pointee.last)
        piece.lanes = segment.lanes(of: piece.last + 1 - UInt64(piece.events)..<piece.last + 1)
        guard client.pointee.ring.putBefore(piece, capacity: slots.capacity) else { return }
        span.pointee.start = end
        span.pointee.length -= piece.length
        span.pointee.events -= piece.events
        span.pointee.lanes -= piece.lanes
    }

    /// Makes a block of a client's stream out of a span of whole frames.
    private func compress(_ span: UnsafeMutablePointer<Span>, of client: UnsafeMutablePointer<Client>, _ deflater: Deflater) {
        let threshold = limits.compression.thresholdBytes
        var rest = UnsafeRawBufferPointer(start: span.pointee.start, count: Int(span.pointee.length))
        var block: [UInt8] = []
        var payload: [UInt8] = []
        while let frame = FrameWriter.Written(rest) {
            rest = UnsafeRawBufferPointer(rebasing: rest[frame.bytes.count...])
            if frame.opcode.isControl || frame.payload.count < threshold {
                block += frame.bytes
                continue
            }
            payload.removeAll(keepingCapacity: true)
            deflater.append(frame.payload, to: &payload)
            hub.framer.countStreamed(before: frame.payload.count, after: payload.count)
            block += FrameWriter.header(frame.opcode, payloadBytes: payload.count, isCompressed: true)
            block += payload
        }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: block.count, alignment: 1)
        memory.copyBytes(from: block)
        guard let start = UnsafeRawPointer(memory.baseAddress) else { return }
        if span.pointee.kind == .own {
            client.pointee.outboxBytes -= span.pointee.length
            if client.pointee.details.placedGap?.block == span.pointee.owner { client.pointee.details.placedGap = nil }
        }
        release(span.pointee)
        span.pointee.start = start
        span.pointee.length = UInt32(block.count)
        span.pointee.owner = start
        span.pointee.kind = .streamed
    }
}
