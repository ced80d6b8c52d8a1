// Why somebody was turned away, and how often.

import Synchronization

/// A limit at which connections, requests or clients are turned away; the text is its name in counters.
public enum Refusal: String, CaseIterable, Sendable {
    /// 503.
    case maxClients = "max_clients"
    case httpConnections = "http_connections"
    case connections
    /// No descriptor was left for it.
    case descriptors
    /// 429.
    case connectionsPerAddress = "connections_per_address"
    case handshakesPerSecond = "handshakes_per_second"
    case connectionsPerUser = "connections_per_user"
    /// 400: a PROXY header that is malformed, or from an address that is no trusted proxy.
    case proxyHeader = "proxy_header"
    /// Close code 4013.
    case messagesPerSecond = "messages_per_second"
    case bytesPerSecond = "bytes_per_second"
}

/// Who was turned away since the start. Any thread counts and reads.
public final class RefusalCounters: @unchecked Sendable {  // Sendable because every cell is atomic and the memory never moves.
    private let cells = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: Refusal.allCases.count)

    public init() { for index in Refusal.allCases.indices { (cells + index).initialize(to: Atomic(0)) } }

    deinit {
        cells.deinitialize(count: Refusal.allCases.count)
        cells.deallocate()
    }

    private func cell(_ refusal: Refusal) -> UnsafeMutablePointer<Atomic<UInt64>> { cells + (Refusal.allCases.firstIndex(of: refusal) ?? 0) }

    public func add(_ refusal: Refusal) { cell(refusal).pointee.add(1, ordering: .relaxed) }
    public func count(_ refusal: Refusal) -> UInt64 { cell(refusal).pointee.load(ordering: .relaxed) }
}
