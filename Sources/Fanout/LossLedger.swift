// Where events go: every one that was offered to a client is in exactly one of these accounts.

import Synchronization

/// What became of an event that a client was to be judged for.
public enum Outcome: Int, CaseIterable, Sendable {
    /// The left side: published, times clients subscribed to its channel at that moment; and events of history that a client
    /// asked for again.
    case offered
    /// Given to the kernel, whole.
    case delivered
    /// Held back by the client's filters.
    case filtered
    /// An older state, left out for a newer one.
    case conflated
    /// Lost because history had moved on; told by a `gap` of `slow_consumer`.
    case dropped
    /// Still waiting when the client left, or when it was closed.
    case abandoned
    /// Given by a replay from its source, because history no longer had it.
    case replayed

    public var name: String { "\(self)" }
}

/// The accounts of one shard, per channel. Writer: the shard's queue alone, so that counting needs no locked instruction.
/// Readers: any thread (relaxed; the sums agree when read on the shard's queue).
///
/// At every moment on that queue: offered = delivered + filtered + conflated + dropped + abandoned + replayed + waiting.
public final class LossLedger: @unchecked Sendable {  // Sendable because every cell is atomic and the memory never moves.
    private static let channels = Channel.allCases.count
    private let cells = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: Outcome.allCases.count * LossLedger.channels)

    init() {
        for index in 0..<Outcome.allCases.count * LossLedger.channels { (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        cells.deinitialize(count: Outcome.allCases.count * LossLedger.channels)
        cells.deallocate()
    }

    @inline(__always)
    private func cell(_ outcome: Outcome, _ channel: Channel) -> UnsafeMutablePointer<Atomic<UInt64>> {
        cells + (outcome.rawValue &* LossLedger.channels &+ Int(channel.rawValue))
    }

    /// On the shard's queue.
    @inline(__always)
    func add(_ outcome: Outcome, _ channel: Channel, _ count: UInt64) {
        let cell = cell(outcome, channel)
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ count, ordering: .relaxed)
    }

    /// On the shard's queue.
    @inline(__always)
    func add(_ outcome: Outcome, _ lanes: Lanes, times factor: Int = 1) {
        lanes.forEach { add(outcome, $0, $1 &* UInt64(factor)) }
    }

    func add(_ outcome: Outcome, _ lanes: WideLanes) {
        for channel in Channel.allCases where lanes[channel] > 0 { add(outcome, channel, lanes[channel]) }
    }

    /// Events given to the kernel, on all channels. On the way from history to the socket, so spelled out.
    @inline(__always)
    var delivered: UInt64 {
        var sum: UInt64 = 0
        for channel in 0..<LossLedger.channels {
            sum = sum &+ cells[Outcome.delivered.rawValue &* LossLedger.channels &+ channel].load(ordering: .relaxed)
        }
        return sum
    }

    /// Any thread.
    public func count(_ outcome: Outcome, _ channel: Channel) -> UInt64 { cell(outcome, channel).pointee.load(ordering: .relaxed) }
    public func total(_ outcome: Outcome) -> UInt64 { Channel.allCases.reduce(0) { $0 + count(outcome, $1) } }
}
