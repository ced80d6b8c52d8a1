// The rows that windows may need, in memory: so that a window's edge can move row by row without asking the database.

import Base

/// The rows of the last 24 hours (or less, where less is needed), in blocks of a minute and a zone. Owner: the sampler.
///
/// What is in here is exactly the rows whose text is at or above `frontier`; those of them that are older than
/// `keptFrom` are counted but not kept. That makes loading, tailing and checking independent of each other: a row that
/// is appended is taken in if its text is at or above the frontier, and otherwise left to the loader.
struct RowStore {
    /// All rows of one minute of time that were written with one offset.
    private struct BlockKey: Hashable {
        let minute: Int64
        let zone: GatewayTimestamp.Zone
    }

    /// Rows kept at most: 4 million, 96 MB (up to twice that while blocks grow). 46 requests a second, all day.
    static let rowsMax = 4_000_000

    private var blocks: [BlockKey: [StatsRow]] = [:]
    private var zones: [GatewayTimestamp.Zone: Int] = [:]
    private(set) var pairs = PairTable()
    private(set) var count = 0
    /// Rows known per minute of text, kept or not; those written with `T`, which the gateway never does, are left out.
    private(set) var textCounts: [Int64: Int] = [:]
    /// Counts up when a row comes into a minute that had none.
    private(set) var minutesAdded = 0

    /// A place in the index on timestamp: rows at or above are in here. Starts above all texts.
    struct Frontier {
        var text: [UInt8] = [0xFF]
        /// Among rows of that very text, from this rowid on. (A VACUUM makes it wrong; the check mends that.)
        var rowid = Int64.min
    }
    var frontier = Frontier()
    /// Rows before this minute are not kept.
    private(set) var keptFromMinute: Int64
    var keptFrom: Instant { Instant(microseconds: keptFromMinute * 60_000_000) }

    init(keptFromMinute: Int64) { self.keptFromMinute = keptFromMinute }

    /// Whether a row that is appended now belongs in here already.
    func isLoaded(_ text: UnsafeRawBufferPointer) -> Bool {
        // Equal texts: the new row's rowid is the larger one.
        !text.lexicographicallyPrecedes(frontier.text)
    }

    /// Whether every row of an instant from `since` on is in here.
    func covers(_ since: Instant) -> Bool {
        guard since >= keptFrom else { return false }
        let lowest = GatewayTimestamp.minuteText(GatewayTimestamp.minute(of: since) - GatewayTimestamp.offsetMinutesMax)
        return frontier.text.lexicographicallyPrecedes(lowest.utf8)
            || frontier.rowid == .min && frontier.text.elementsEqual(lowest.utf8)
    }

    /// Whether a row is young enough to be kept.
    func keeps(_ timestamp: GatewayTimestamp) -> Bool { timestamp.minute.map { $0 >= keptFromMinute } ?? false }

    /// Counts a row among those known.
    mutating func note(_ timestamp: GatewayTimestamp) {
        guard timestamp.zone?.hasT != true else { return }
        let count = (textCounts[timestamp.textMinute] ?? 0) + 1
        textCounts[timestamp.textMinute] = count
        if count == 1 { minutesAdded += 1 }
    }

    /// Keeps a row if it is young enough.
    ///
    /// - Parameter row: asked for only if the row is kept; gets the pairs to find the index of its ids.
    /// - Returns: the row and its instant (µs) if it was kept.
    mutating func keep(
        _ timestamp: GatewayTimestamp, _ row: (inout PairTable) -> StatsRow
    ) -> (row: StatsRow, microseconds: Int64)? {
        guard let zone = timestamp.zone, let minute = timestamp.minute, minute >= keptFromMinute else { return nil }
        let kept = row(&pairs)
        if blocks[BlockKey(minute: minute, zone: zone), default: []].appending(kept) { zones[zone, default: 0] += 1 }
        count += 1
        return (kept, minute * 60_000_000 + Int64(kept.microseconds))
    }

    /// Visits the kept rows with instants in `from..<to` (µs), block by block in no order.
    func forEach(from: Int64, to: Int64, _ body: (StatsRow) -> Void) {
        guard from < to else { return }
        let first = GatewayTimestamp.minute(of: Instant(microseconds: from))
        let last = GatewayTimestamp.minute(of: Instant(microseconds: to - 1))
        func visit(_ minute: Int64, _ rows: [StatsRow]) {
            let base = minute * 60_000_000
            if base >= from, base + 60_000_000 <= to {
                for row in rows { body(row) }
            } else {
                for row in rows where (from..<to).contains(base + Int64(row.microseconds)) { body(row) }
            }
        }
        if last - first < Int64(blocks.count) {
            for minute in first...last {
                for zone in zones.keys {
                    if let rows = blocks[BlockKey(minute: minute, zone: zone)] { visit(minute, rows) }
                }
            }
        } else {
            for (key, rows) in blocks where key.minute >= first && key.minute <= last { visit(key.minute, rows) }
        }
    }

    /// Forgets every row with texts of these minutes (those with `T` excepted), kept or only counted.
    ///
    /// - Parameter body: gets each row that was kept, with its instant (µs).
    mutating func remove(textMinutes: Range<Int64>, _ body: (StatsRow, Int64) -> Void) {
        for textMinute in textMinutes {
            guard textCounts.removeValue(forKey: textMinute) != nil else { continue }
            for zone in zones.keys where !zone.hasT {
                let key = BlockKey(minute: textMinute - Int64(zone.offsetMinutes), zone: zone)
                guard let rows = drop(key) else { continue }
                for row in rows { body(row, key.minute * 60_000_000 + Int64(row.microseconds)) }
            }
        }
    }

    /// Moves the begin of what is kept; older rows must be in no window any more.
    mutating func evict(before minute: Int64) {
        guard minute > keptFromMinute else { return }
        keptFromMinute = minute
        for key in blocks.keys where key.minute < minute { _ = drop(key) }
        // Texts this low cannot belong to a kept row.
        let lowest = minute - GatewayTimestamp.offsetMinutesMax
        let text = Array(GatewayTimestamp.minuteText(lowest).utf8)
        if frontier.text.lexicographicallyPrecedes(text) {
            frontier = Frontier(text: text, rowid: .min)
            for key in textCounts.keys where key < lowest { textCounts[key] = nil }
        }
    }

    /// The minutes of text that hold kept rows, sorted: what has to be checked for deletions.
    func textMinutesKept() -> [Int64] {
        var minutes: Set<Int64> = []
        for key in blocks.keys where !key.zone.hasT { minutes.insert(key.minute + Int64(key.zone.offsetMinutes)) }
        return minutes.sorted()
    }

    private mutating func drop(_ key: BlockKey) -> [StatsRow]? {
        guard let rows = blocks.removeValue(forKey: key) else { return nil }
        for row in rows { pairs.release(row.pair) }
        count -= rows.count
        let left = (zones[key.zone] ?? 1) - 1
        zones[key.zone] = left == 0 ? nil : left
        return rows
    }
}

extension [StatsRow] {
    /// Appends a row.
    /// - Returns: whether it is the first.
    fileprivate mutating func appending(_ row: StatsRow) -> Bool {
        append(row)
        return count == 1
    }
}
