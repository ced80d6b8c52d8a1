// How often somebody was told that events are missing, by reason.

import Synchronization

/// Why events are missing; the text is the `reason` of a `gap`.
public enum GapReason: String, CaseIterable, Sendable {
    // Of one client.
    case slowConsumer = "slow_consumer"
    case historyExpired = "history_expired"
    case restarted
    // Of a channel.
    case sourceLag = "source_lag"
    case sourceLost = "source_lost"
}

/// Gaps told since the start. Any thread counts and reads.
public final class GapCounters: @unchecked Sendable {  // Sendable because every cell is atomic and the memory never moves.
    private let cells = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: GapReason.allCases.count)

    init() { for index in GapReason.allCases.indices { (cells + index).initialize(to: Atomic(0)) } }

    deinit {
        cells.deinitialize(count: GapReason.allCases.count)
        cells.deallocate()
    }

    private func cell(_ reason: GapReason) -> UnsafeMutablePointer<Atomic<UInt64>> {
        cells + (GapReason.allCases.firstIndex(of: reason) ?? 0)
    }

    public func add(_ reason: GapReason) { cell(reason).pointee.add(1, ordering: .relaxed) }
    public func count(_ reason: GapReason) -> UInt64 { cell(reason).pointee.load(ordering: .relaxed) }
}
