// One counter for each case of an enumeration: gaps by reason, refusals by limit, masks by rule.

import Synchronization

/// Totals since the start, by case. Any thread counts and reads; relaxed, since each stands for itself.
///
/// `@unchecked Sendable` because every cell is atomic and the memory never moves.
public final class CaseCounters<Case: CaseIterable & Equatable & Sendable>: @unchecked Sendable where Case.AllCases == [Case] {
    private let cells = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: Case.allCases.count)

    public init() { for index in Case.allCases.indices { (cells + index).initialize(to: Atomic(0)) } }

    deinit {
        cells.deinitialize(count: Case.allCases.count)
        cells.deallocate()
    }

    private func cell(_ one: Case) -> UnsafeMutablePointer<Atomic<UInt64>> {
        cells + (Case.allCases.firstIndex(of: one) ?? 0)
    }

    public func add(_ one: Case) { cell(one).pointee.add(1, ordering: .relaxed) }
    public func count(_ one: Case) -> UInt64 { cell(one).pointee.load(ordering: .relaxed) }
}
