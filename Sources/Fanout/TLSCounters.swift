// What became of TLS handshakes.

import Base
import Host
import Synchronization

/// Handshakes of one shard since the start. Writer: the shard's queue. Readers: any thread.
public final class TLSCounters: Sendable {
    /// Complete ones, resumed ones included.
    public let handshakes = Atomic<UInt64>(0)
    /// By a ticket, without the costly part.
    public let resumed = Atomic<UInt64>(0)
    /// Begun and not over.
    public let underway = Atomic<Int>(0)
    /// Not begun, since others are before them.
    public let waiting = Atomic<Int>(0)
    private let failures = CaseCounters<TLSFailure.Kind>()

    init() {}

    func add(_ kind: TLSFailure.Kind) { failures.add(kind) }
    public func count(_ kind: TLSFailure.Kind) -> UInt64 { failures.count(kind) }
}
