// Compression as one client and we have agreed upon it, and the memory that clients have of their own for it.

import Base
import Protocol
import Synchronization

/// How compression is offered and done.
public struct CompressionLimits: Equatable, Sendable {
    public var isEnabled = true
    /// Messages shorter than this go out as they are.
    public var thresholdBytes = 512
    /// A compressor and a decompressor for each client: fewer bytes, more memory and CPU.
    public var keepsContext = false
    /// Bits of their windows, 9 to 15, and zlib's memory level, 1 to 9.
    public var contextWindow = 12
    public var contextMemoryLevel = 5
    /// Memory of all of them; who comes when it is used up is served by what all share.
    public var contextBytesMax = 67_108_864

    public init() {}
}

/// What was agreed upon with a client that begins.
public struct AgreedCompression: Sendable {
    public let deflate: DeflateAgreement
    /// Counts the memory of what the client gets for itself, until it is let go of; nil where that is nothing.
    let place: ContextPlace?
}

/// Memory of compressors and decompressors that clients have of their own. Any thread.
public final class ContextMemory: Sendable {
    private let used = Atomic<Int>(0)
    private let places = Atomic<Int>(0)

    /// Bytes in use, and clients that have them.
    public var bytes: Int { used.load(ordering: .relaxed) }
    public var clients: Int { places.load(ordering: .relaxed) }

    /// - Returns: nil where `most` would be passed.
    fileprivate func reserve(_ bytes: Int, most: Int) -> ContextPlace? {
        guard used.add(bytes, ordering: .relaxed).newValue <= most else {
            used.subtract(bytes, ordering: .relaxed)
            return nil
        }
        places.add(1, ordering: .relaxed)
        return ContextPlace(bytes, of: self)
    }

    fileprivate func give(back bytes: Int) {
        used.subtract(bytes, ordering: .relaxed)
        places.subtract(1, ordering: .relaxed)
    }
}

/// Counts one client's memory until it is let go of.
final class ContextPlace: Sendable {
    private let bytes: Int
    private let memory: ContextMemory

    fileprivate init(_ bytes: Int, of memory: ContextMemory) {
        self.bytes = bytes
        self.memory = memory
    }

    deinit { memory.give(back: bytes) }
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
            + (deflate.clientKeepsContext ? Inflater.memoryBytes(window: deflate.clientWindow) : 0)
        if bytes == 0 { return AgreedCompression(deflate: deflate, place: nil) }
        if let place = contexts.reserve(bytes, most: limits.contextBytesMax) { return AgreedCompression(deflate: deflate, place: place) }
        refusals.add(.compressionContexts)
        policy.keepsContext = false
        return try DeflateAgreement.reach(head, policy).map { AgreedCompression(deflate: $0, place: nil) }
    }
}
