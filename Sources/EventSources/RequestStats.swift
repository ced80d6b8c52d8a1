// The windows over request_logs: what is kept of the rows, and the sums that follow the clock.

import Base
import Storage

/// Statistics of the last 24 hours (or five minutes, where only the providers need them). Owner: the sampler.
struct RequestStats {
    /// Rows are kept this much longer than the longest window, so that a clock that is put right by a little needs
    /// nothing read again.
    private static let slackMinutes: Int64 = 5
    /// The longest window.
    let horizon: StatsWindow
    var store: RowStore
    var windows: [StatsWindow: WindowSums] = [:]
    private(set) var isLoading = true
    /// Set when there were more rows than may be kept: windows that begin before `store.keptFrom` have no figures then.
    private(set) var isFull = false
    private let rowsMax: Int
    var reader = TimestampReader()
    var check = DeletionCheck()
    /// The store's `minutesAdded` when the check was last planned.
    var minutesPlanned = 0

    init(horizon: StatsWindow, now: Instant, rowsMax: Int = RowStore.rowsMax) {
        self.horizon = horizon
        self.rowsMax = rowsMax
        store = RowStore(keptFromMinute: RequestStats.keptFromMinute(horizon, now))
    }

    private static func keptFromMinute(_ horizon: StatsWindow, _ now: Instant) -> Int64 {
        GatewayTimestamp.minute(of: now) - horizon.minutes - slackMinutes
    }

    /// Forgets everything; it will be loaded again.
    mutating func reset(now: Instant) {
        windows = [:]
        store = RowStore(keptFromMinute: RequestStats.keptFromMinute(horizon, now))
        isLoading = true
        isFull = false
        check = DeletionCheck()
    }

    // MARK: rows

    /// Counts a row that was appended to the table.
    mutating func append(_ row: Statement, _ timestamp: GatewayTimestamp?) {
        guard let timestamp, row.withText(RequestQueries.Column.timestamp, { store.isLoaded($0) }) else { return }
        add(row, timestamp)
        if store.count > rowsMax { shed() }
    }

    /// Takes in a row of `RequestQueries.tail`, `load`, `fetch` or `between`.
    mutating func add(_ row: Statement, _ timestamp: GatewayTimestamp) {
        store.note(timestamp)
        guard let kept = store.keep(timestamp, { RequestQueries.statsRow(row, timestamp, &$0) }) else { return }
        for window in windows.keys { windows[window]?.add(kept.row, microseconds: kept.microseconds) }
    }

    /// Lets go of the oldest rows, ten minutes at a time.
    private mutating func shed() {
        isFull = true
        var minute = store.keptFromMinute
        while store.count > rowsMax / 20 * 19 {
            minute += 10
            evict(before: minute)
        }
    }

    /// Lets go of what no window needs any more. Call about once a minute.
    mutating func evict(now: Instant) {
        let minute = RequestStats.keptFromMinute(horizon, now)
        guard minute > store.keptFromMinute else { return }
        for window in windows.keys {
            let since = now.advanced(byMilliseconds: -window.milliseconds)
            if since >= store.keptFrom { windows[window]?.move(to: since.microseconds, in: store) }
        }
        evict(before: minute)
        isFull = false
    }

    private mutating func evict(before minute: Int64) {
        let begin = minute * 60_000_000
        // A window that begins before (there were too many rows) is summed up anew when it is asked for.
        for (window, sums) in windows where sums.edge < begin { windows[window] = nil }
        store.evict(before: minute)
    }

    // MARK: windows

    /// The sums of a window that ends now.
    ///
    /// - Parameter now: rows from exactly `window` before it count, and all later ones.
    /// - Returns: nil while the rows of that window have not all been read.
    mutating func sums(_ window: StatsWindow, at now: Instant) -> WindowSums? {
        let since = now.advanced(byMilliseconds: -window.milliseconds)
        if since < store.keptFrom, !isFull {
            // The clock was set back further than rows are kept.
            reset(now: now)
            return nil
        }
        guard store.covers(since) else { return nil }
        if windows[window] == nil {
            windows[window] = WindowSums(edge: since.microseconds, store: store)
        } else {
            windows[window]?.move(to: since.microseconds, in: store)
        }
        return windows[window]
    }

    /// Stops keeping the sums of a window, until it is asked for again.
    mutating func release(_ window: StatsWindow) { windows[window] = nil }

    // MARK: loading

    /// Reads on where something is left to be read: rows of the windows first, then the look for deletions. Belongs into a
    /// read transaction in which the tail has read to the end.
    ///
    /// - Returns: whether more is to be read at once.
    mutating func readOn(
        _ queries: RequestQueries, clock: any Clock, version: Int64, isUrgent: Bool
    ) throws(DatabaseError) -> Bool {
        if isLoading {
            var budget = ReadBudget(clock)
            try load(queries, &budget)
            return isLoading
        }
        return try findDeletions(queries, clock: clock, version: version, isUrgent: isUrgent) || isLoading
    }

    /// Whether the next slice of the look for deletions is due.
    func isCheckDue(monotonic: UInt64, version: Int64) -> Bool {
        check.isDue(monotonic: monotonic, version: version) || check.hasNext(monotonic: monotonic)
    }

    /// Reads some more rows, from the newest back.
    private mutating func load(_ queries: RequestQueries, _ budget: inout ReadBudget) throws(DatabaseError) {
        // Texts under this one are of kept rows only where the gateway writes an offset west of UTC: there the index
        // alone is read, and the row itself only if it is needed.
        let sparse = GatewayTimestamp.minuteText(store.keptFromMinute)
        if store.frontier.text.lexicographicallyPrecedes(sparse.utf8) || store.frontier.text.elementsEqual(sparse.utf8) {
            let lowest = GatewayTimestamp.minuteText(store.keptFromMinute - GatewayTimestamp.offsetMinutesMax)
            if try loadSparse(queries, downTo: lowest, &budget) {
                store.frontier = RowStore.Frontier(text: Array(lowest.utf8), rowid: .min)
                isLoading = false
            }
        } else if try loadFull(queries, downTo: sparse, &budget) {
            store.frontier = RowStore.Frontier(text: Array(sparse.utf8), rowid: .min)
        }
    }

    /// - Returns: whether there is nothing left above the text.
    private mutating func loadFull(
        _ queries: RequestQueries, downTo text: String, _ budget: inout ReadBudget
    ) throws(DatabaseError) -> Bool {
        let row = queries.load
        bindFrontier(row, text)
        defer { row.reset() }
        var count: Int64 = 0
        while try row.step() {
            count += 1
            let timestamp = moveFrontier(row, rowid: row.int64(RequestQueries.Column.rowid))
            if let timestamp { add(row, timestamp) }
            if store.count > rowsMax, let minute = timestamp?.minute {
                // No room: keep from the minute after this row on. The rest is only counted.
                isFull = true
                evict(before: minute + 1)
            }
            if budget.isSpent() { return false }
        }
        return count < RequestQueries.loadRowsMax
    }

    private mutating func loadSparse(
        _ queries: RequestQueries, downTo text: String, _ budget: inout ReadBudget
    ) throws(DatabaseError) -> Bool {
        let row = queries.loadSparse
        bindFrontier(row, text)
        defer {
            row.reset()
            queries.fetch.reset()
        }
        var count: Int64 = 0
        while try row.step() {
            count += 1
            if let timestamp = moveFrontier(row, rowid: row.int64(1)) {
                if store.keeps(timestamp) {
                    queries.fetch.bind(store.frontier.rowid, at: 1)
                    if try queries.fetch.step() { add(queries.fetch, timestamp) }
                    queries.fetch.reset()
                } else {
                    store.note(timestamp)
                }
            }
            if budget.isSpent() { return false }
        }
        return count < RequestQueries.sparseRowsMax
    }

    private func bindFrontier(_ row: Statement, _ lower: String) {
        store.frontier.text.withUnsafeBytes { row.bind($0, at: 1) }
        row.bind(store.frontier.rowid, at: 2)
        row.bind(lower, at: 3)
    }

    private mutating func moveFrontier(_ row: Statement, rowid: Int64) -> GatewayTimestamp? {
        store.frontier.rowid = rowid
        return row.withText(RequestQueries.Column.timestamp) { text in
            store.frontier.text.replaceSubrange(0..., with: text)
            return reader.read(text)
        }
    }
}
