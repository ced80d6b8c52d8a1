// Compression as one client and we have agreed upon it, and the memory that clients have of their own for it.

import Base
import Protocol
import Synchronization

/// How compression is offered and done.
public struct CompressionLimits: Equatable, Sendable {
    public var isEnabled = true
    /// Messages shorter than this go out as they are.
    public var thresholdBytes = 512
    /// A compressor for each client: fewer bytes, more memory and CPU.
    public var keepsContext = false
    /// Bits of its window and of the client's, 9 to 15, and zlib's memory level, 1 to 9.
    public var contextWindow = 12
    public var contextMemoryLevel = 5
    /// Memory of all compressors, and of what clients' messages may refer to. Who comes when it is used up has messages that stand each for itself, both ways.
    public var contextBytesMax = 67_108_864

    public init() {}
}

/// What was agreed upon with a client that begins.
public struct AgreedCompression: Sendable {
    public let deflate: DeflateAgreement
    /// Counts the memory that the client may need for itself, until it is let go of; nil where that is nothing.
    let place: ContextPlace?
}

/// Memory for what messages refer to: of compressors that clients have of their own, and of the windows of what clients send. These take it as it is
/// needed, but it is counted from the beginning: what was agreed upon cannot be taken back. Any thread.
public final class ContextMemory: Sendable {
    private let used = Atomic<Int>(0)
    private let counted = Atomic<Int>(0)

    /// Bytes at most.
    public var bytes: Int { used.load(ordering: .relaxed) }
    /// Clients that have compressors of their own.
    public var compressors: Int { counted.load(ordering: .relaxed) }

    /// - Returns: nil where `most` would be passed.
    fileprivate func reserve(_ bytes: Int, withCompressor: Bool, most: Int) -> ContextPlace? {
        guard used.add(bytes, ordering: .relaxed).newValue <= most else {
            used.subtract(bytes, ordering: .relaxed)
            return nil
        }
        if withCompressor { counted.add(1, ordering: .relaxed) }
        return ContextPlace(bytes, withCompressor, of: self)
    }

    fileprivate func give(back bytes: Int, withCompressor: Bool) {
        used.subtract(bytes, ordering: .relaxed)
        if withCompressor { counted.subtract(1, ordering: .relaxed) }
    }
}

/// Counts one client's memory until it is let go of.
final class ContextPlace: Sendable {
    private let bytes: Int
    private let withCompressor: Bool
    private let memory: ContextMemory

    fileprivate init(_ bytes: Int, _ withCompressor: Bool, of memory: ContextMemory) {
        self.bytes = bytes
        self.withCompressor = withCompressor
        self.memory = memory
    }

    deinit { memory.give(back: bytes, withCompressor: withCompressor) }
}

extension Hub {
    /// Looks at what a request offers. Any thread.
    /// - Returns: nil where nothing will be compressed.
    /// - Throws: 400 for a malformed Sec-WebSocket-Extensions.
    public func agreeOnCompression(_ head: RequestHead) throws(HTTPError) -> AgreedCompression? {
        let limits = limits.compression
        var policy = DeflateAgreement.Policy(keepsContext: limits.keepsContext, windowMax: limits.contextWindow)
        guard let deflate = try DeflateAgreement.reach(head, limits.isEnabled ? policy : nil) else { return nil }
        let bytes =
            (deflate.serverKeepsContext ? Deflater.memoryBytes(window: deflate.serverWindow, memoryLevel: limits.contextMemoryLevel) : 0)
            + (deflate.clientKeepsContext ? InflateWindow.bytesMax(bits: deflate.clientWindow) : 0)
        if bytes == 0 { return AgreedCompression(deflate: deflate, place: nil) }
        if let place = contexts.reserve(bytes, withCompressor: deflate.serverKeepsContext, most: limits.contextBytesMax) {
            return AgreedCompression(deflate: deflate, place: place)
        }
        refusals.add(.compressionContexts)
        (policy.keepsContext, policy.takesContext) = (false, false)
        return try DeflateAgreement.reach(head, policy).map { AgreedCompression(deflate: $0, place: nil) }
    }
}
