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
    /// Counts the client's compressor until it is let go of; nil without one.
    let compressor: ContextPlace?
    /// The same of what the client's messages may refer to.
    let window: ContextPlace?
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

    /// - Parameters:
    ///   - compressorBytes: 0 for none; so is the other.
    /// - Returns: nil where `most` would be passed.
    fileprivate func reserve(compressorBytes: Int, windowBytes: Int, most: Int) -> (compressor: ContextPlace?, window: ContextPlace?)? {
        let bytes = compressorBytes + windowBytes
        guard used.add(bytes, ordering: .relaxed).newValue <= most else {
            used.subtract(bytes, ordering: .relaxed)
            return nil
        }
        if compressorBytes > 0 { counted.add(1, ordering: .relaxed) }
        return (
            compressorBytes > 0 ? ContextPlace(compressorBytes, isCompressor: true, of: self) : nil,
            windowBytes > 0 ? ContextPlace(windowBytes, isCompressor: false, of: self) : nil
        )
    }

    /// Of a window whose place was handed over.
    func giveBack(windowBytes: Int) { used.subtract(windowBytes, ordering: .relaxed) }

    fileprivate func giveBack(compressorBytes: Int) {
        used.subtract(compressorBytes, ordering: .relaxed)
        counted.subtract(1, ordering: .relaxed)
    }
}

/// Counts one client's memory until it is let go of.
final class ContextPlace: Sendable {
    private let bytes: Int
    private let isCompressor: Bool
    private let memory: ContextMemory
    private let isHandedOver = Atomic<Bool>(false)

    fileprivate init(_ bytes: Int, isCompressor: Bool, of memory: ContextMemory) {
        self.bytes = bytes
        self.isCompressor = isCompressor
        self.memory = memory
    }

    deinit {
        if isHandedOver.load(ordering: .relaxed) { return }
        if isCompressor { memory.giveBack(compressorBytes: bytes) } else { memory.giveBack(windowBytes: bytes) }
    }

    /// From now on the caller counts the memory, and gives it back: thousands of clients have a window, and would each pay for this object.
    func handOver() { isHandedOver.store(true, ordering: .relaxed) }
}

extension Hub {
    /// Looks at what a request offers. Any thread.
    /// - Returns: nil where nothing will be compressed.
    /// - Throws: 400 for a malformed Sec-WebSocket-Extensions.
    public func agreeOnCompression(_ head: RequestHead) throws(HTTPError) -> AgreedCompression? {
        let limits = limits.compression
        var policy = DeflateAgreement.Policy(keepsContext: limits.keepsContext, windowMax: limits.contextWindow)
        guard let deflate = try DeflateAgreement.reach(head, limits.isEnabled ? policy : nil) else { return nil }
        let places = contexts.reserve(
            compressorBytes: deflate.serverKeepsContext ? Deflater.memoryBytes(window: deflate.serverWindow, memoryLevel: limits.contextMemoryLevel) : 0,
            windowBytes: deflate.clientKeepsContext ? InflateWindow.bytesMax(bits: deflate.clientWindow) : 0, most: limits.contextBytesMax)
        if let places { return AgreedCompression(deflate: deflate, compressor: places.compressor, window: places.window) }
        refusals.add(.compressionContexts)
        (policy.keepsContext, policy.takesContext) = (false, false)
        return try DeflateAgreement.reach(head, policy).map { AgreedCompression(deflate: $0, compressor: nil, window: nil) }
    }
}
