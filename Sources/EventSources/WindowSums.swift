// The running sums of one window.

import Base

/// Sums over the rows from `edge` on. Rows later than now count too: there is no upper end.
///
/// Costs per move of the edge: the rows that it passes, once, and a look at those of the minute in which it lies.
struct WindowSums {
    /// The window's begin in µs; rows at it count.
    private(set) var edge: Int64
    private(set) var total = RowSums()
    /// Indexed as `PairTable`; may be shorter.
    private(set) var byPair: [RowSums] = []
    private(set) var latencies = LatencyHistogram()

    /// Sums up what is in the store; the store must cover `edge`.
    init(edge: Int64, store: RowStore) {
        self.edge = edge
        store.forEach(from: edge, to: .max) { add($0) }
    }

    /// Takes in a row that was added to the store.
    mutating func add(_ row: StatsRow, microseconds: Int64) {
        if microseconds >= edge { add(row) }
    }

    /// Takes out a row that was removed from the store.
    mutating func remove(_ row: StatsRow, microseconds: Int64) {
        if microseconds >= edge { subtract(row) }
    }

    /// Moves the begin; backwards too, when the clock was set back. The store must cover both places.
    mutating func move(to target: Int64, in store: RowStore) {
        if target > edge {
            store.forEach(from: edge, to: target) { subtract($0) }
        } else {
            store.forEach(from: target, to: edge) { add($0) }
        }
        edge = target
    }

    private mutating func add(_ row: StatsRow) {
        total.add(row)
        if row.pair >= byPair.count {
            byPair += Array(repeating: RowSums(), count: row.pair + 1 - byPair.count)
        }
        byPair[row.pair].add(row)
        latencies.add(row.latency)
    }

    private mutating func subtract(_ row: StatsRow) {
        total.subtract(row)
        // Whatever is taken out was put in, so the place exists.
        byPair[row.pair].subtract(row)
        latencies.subtract(row.latency)
    }
}
