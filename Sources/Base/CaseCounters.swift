// One counter for each case of an enumeration: gaps by reason, refusals by limit, masks by rule.

/// Totals since the start, by case. Any thread counts and reads; relaxed, since each stands for itself.
public final class CaseCounters<Case: CaseIterable & Equatable & Sendable>: Sendable where Case.AllCases == [Case] {
    private let cells = CounterCells(max(1, Case.allCases.count))

    public init() {}

    private func index(_ one: Case) -> Int { Case.allCases.firstIndex(of: one) ?? 0 }

    public func add(_ one: Case) { cells.add(index(one)) }
    public func count(_ one: Case) -> UInt64 { cells[index(one)] }
}
