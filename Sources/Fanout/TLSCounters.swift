// What became of TLS handshakes.

import Host
import Synchronization

/// Handshakes of one shard since the start. Writer: the shard's queue. Readers: any thread.
public final class TLSCounters: @unchecked Sendable {  // Sendable because every cell is atomic and the memory never moves.
    /// Complete ones, resumed ones included.
    public let handshakes = Atomic<UInt64>(0)
    /// By a ticket, without the costly part.
    public let resumed = Atomic<UInt64>(0)
    /// Begun and not over.
    public let underway = Atomic<Int>(0)
    /// Not begun, since others are before them.
    public let waiting = Atomic<Int>(0)
    private let failures = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: TLSFailure.Kind.allCases.count)

    init() { for index in TLSFailure.Kind.allCases.indices { (failures + index).initialize(to: Atomic(0)) } }

    deinit {
        failures.deinitialize(count: TLSFailure.Kind.allCases.count)
        failures.deallocate()
    }

    private func cell(_ kind: TLSFailure.Kind) -> UnsafeMutablePointer<Atomic<UInt64>> {
        failures + (TLSFailure.Kind.allCases.firstIndex(of: kind) ?? 0)
    }

    func add(_ kind: TLSFailure.Kind) { cell(kind).pointee.add(1, ordering: .relaxed) }
    public func count(_ kind: TLSFailure.Kind) -> UInt64 { cell(kind).pointee.load(ordering: .relaxed) }
}
