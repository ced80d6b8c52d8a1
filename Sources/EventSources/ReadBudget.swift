// How long a read transaction may last.

import Base

/// Time for one read: a gateway with a rollback journal cannot commit meanwhile, so it ends early on a slow disk rather
/// than be complete. Rows are counted because asking for the time costs as much as reading a row.
struct ReadBudget {
    private static let nanosecondsMax: UInt64 = 5_000_000
    private static let rowsPerLook = 32

    private let clock: any Clock
    private let began: UInt64
    private var rows = 0

    init(_ clock: any Clock) {
        self.clock = clock
        began = clock.monotonic()
    }

    /// Call after each row.
    /// - Returns: whether the read should end here.
    mutating func isSpent() -> Bool {
        rows += 1
        return rows % ReadBudget.rowsPerLook == 0 && isOver
    }

    /// The same for who does more between two looks than read a row.
    var isOver: Bool { clock.monotonic() &- began > ReadBudget.nanosecondsMax }
}
