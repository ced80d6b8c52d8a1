// One read transaction of the archive: what is to be done next, until the time for it is over.

import Base
import Storage

extension RequestArchive {
    func read(
        _ position: inout Position, until: Instant?, edge: HistoryEdge, limit: Int, _ events: inout [SourceEvent],
        _ queries: ArchiveQueries, _ file: GatewayDatabase.FileID
    ) throws(DatabaseError) -> Outcome {
        var budget = ReadBudget(clock)
        let upTo: Int64
        let edgeName: RowName?
        switch try border(&position, edge, queries, &budget) {
        case .searching: return .more
        case .unsettled: return .unsettled
        case .row(let name, let rowid): (upTo, edgeName) = (rowid - 1, name)
        case .published(let rowid): (upTo, edgeName) = (rowid, nil)
        }
        if let border = position.border {
            let isInPlace = try border.isInPlace(queries)
            if position.file != file || !isInPlace { try relocate(&position, file, queries) }
        }
        if position.zones == nil || position.border == nil {
            // Rows up to the border were there before this call, so what is found out now holds for all of them. Rows that come
            // later lie behind it, and are looked at one by one before it moves over them.
            let text = ZoneBounds.lowestText(of: Place.second(position.from.microseconds))
            guard try zones.cover(text, queries, file: file, &reader, &budget) else { return .more }
            position.zones = zones.bounds
            position.file = file
            if position.border == nil { position.border = try TableBorder(queries, upTo: upTo) }
        }
        let end = until?.microseconds ?? .max
        while true {
            if position.collecting != nil {
                guard try collect(&position, end: end, queries, &budget) else { return .more }
            } else if position.late.count < Position.lateMax, try !moveBorder(&position, upTo: upTo, edgeName, queries, &budget) {
                if position.late.count < Position.lateMax { return .more }
            } else if !position.late.isEmpty || position.found.last.map({ $0.microseconds < end }) ?? false {
                guard events.count < limit else { return .more }
                try give(&position, end: end, limit: limit, &events, queries, &budget)
            } else if position.covered < (until == nil ? Place.end : Place(microseconds: end, rowid: .min)) {
                beginCollecting(&position)
            } else {
                return .finished(usedPlace: edgeName == nil)
            }
            if budget.isOver { return .more }
        }
    }

    // MARK: the border

    private enum Border {
        /// In front of a row that history holds.
        case row(RowName, rowid: Int64)
        /// Behind the last row published.
        case published(Int64)
        case searching
        case unsettled
    }

    private func border(
        _ position: inout Position, _ edge: HistoryEdge, _ queries: ArchiveQueries, _ budget: inout ReadBudget
    ) throws(DatabaseError) -> Border {
        var index = position.edge?.index ?? 0
        while let id = edge.requestID(index) {
            position.edge = (index, id)
            let name = RowName(bytes: id)
            if let rowid = try queries.rowid(of: name), rowid > .min { return .row(name, rowid: rowid) }
            if budget.isSpent() { return .searching }
            index += 1
        }
        guard let place = position.published, let rowid = try queries.rowid(of: place) else { return .unsettled }
        return .published(rowid)
    }

    /// Finds everything anew by names after rows may have been renumbered, or the newest ones deleted.
    private func relocate(
        _ position: inout Position, _ file: GatewayDatabase.FileID, _ queries: ArchiveQueries
    ) throws(DatabaseError) {
        // Without a single row that is known, all that is there now is taken for known: rather none than twice.
        let border = try position.border?.relocated(queries)
        var last = position.last
        if let names = last?.names {
            var rowid = Int64.min
            for name in names.reversed() {
                if let found = try queries.rowid(of: name) {
                    rowid = found
                    break
                }
            }
            last?.place.rowid = rowid
        }
        var late: [NamedPlace] = []
        for row in position.late {
            guard let rowid = try queries.rowid(of: row.name) else { continue }
            late.append(NamedPlace(place: Place(microseconds: row.place.microseconds, rowid: rowid), name: row.name))
        }
        position.border = border
        position.last = last
        position.late = late
        position.forgetFound()
        if position.file != file || border == nil { position.zones = nil }
        position.file = file
    }

    /// Moves the border on over the rows up to `upTo`, and sorts them in.
    ///
    /// - Returns: whether it has come there.
    private func moveBorder(
        _ position: inout Position, upTo: Int64, _ edgeName: RowName?, _ queries: ArchiveQueries, _ budget: inout ReadBudget
    ) throws(DatabaseError) -> Bool {
        guard let rowid = position.border?.rowid, rowid < upTo else {
            if position.border?.rowid == upTo { position.border?.edge = edgeName }
            return true
        }
        let lateBefore = position.late.count
        defer { if position.late.count > lateBefore { position.late.sort { $0.place > $1.place } } }
        let row = queries.forward
        row.bind(rowid, at: 1)
        row.bind(upTo, at: 2)
        defer { row.reset() }
        var count = 0
        while try row.step() {
            count += 1
            let rowid = row.int64(0)
            let name = RowName(row, 1)
            let timestamp = row.withText(2) { reader.read($0) }
            if let zone = timestamp?.zone { position.zones?.note(zone) }
            position.border?.append(rowid, name)
            if let instant = timestamp?.instant, instant >= position.from {
                let place = Place(microseconds: instant.microseconds, rowid: rowid)
                if let last = position.last, place < last.place {
                    position.late.append(NamedPlace(place: place, name: name))
                    if position.late.count >= Position.lateMax { return false }
                } else if place <= position.covered {
                    position.insert(place)
                }
            }
            if budget.isSpent() { return false }
        }
        guard count < ArchiveQueries.forwardRowsMax else { return false }
        position.border?.edge = edgeName
        return true
    }

    // MARK: the index

    private func beginCollecting(_ position: inout Position) {
        guard position.border?.rowidIfAny != nil, let zones = position.zones else {
            // No row lies before history; those that come to do so are sorted in as the border moves over them.
            position.covered = .end
            return
        }
        let second = max(position.last?.place.second ?? .min, Place.second(position.from.microseconds))
        position.collecting = Collecting(text: Array(zones.firstText(of: second).utf8))
    }

    /// Reads the index on, in the order of texts, and keeps the smallest places behind the last one given.
    ///
    /// - Parameter end: what is not before it need not be found.
    /// - Returns: whether it has come to an end, and the places are in `found`.
    private func collect(
        _ position: inout Position, end: Int64, _ queries: ArchiveQueries, _ budget: inout ReadBudget
    ) throws(DatabaseError) -> Bool {
        guard var collecting = position.collecting, let border = position.border?.rowid, let zones = position.zones else { return true }
        // Taken out while it changes, so that it is never copied.
        position.collecting = nil
        var isDone = false
        defer { position.collecting = isDone ? nil : collecting }
        let after = position.last?.place ?? .first
        let row = queries.index
        collecting.text.withUnsafeBytes { row.bind($0, at: 1) }
        row.bind(collecting.rowid, at: 2)
        defer { row.reset() }
        var seenBefore = Int64.max
        var count = 0
        while try row.step() {
            count += 1
            let rowid = row.int64(1)
            if let timestamp = row.withText(0, { reader.read($0) }) {
                let lowest = zones.lowestSecond(behind: timestamp)
                if lowest > collecting.cut?.second ?? .max { break }
                if lowest > Place.second(end) {
                    seenBefore = end
                    break
                }
                if rowid <= border, let instant = timestamp.instant, instant >= position.from {
                    collecting.add(Place(microseconds: instant.microseconds, rowid: rowid), after: after)
                }
            }
            if count == ArchiveQueries.indexRowsMax || budget.isSpent() {
                collecting.text = row.withText(0) { Array($0) }
                collecting.rowid = rowid
                return false
            }
        }
        collecting.cutOff()
        position.covered = seenBefore == .max ? .end : Place(microseconds: seenBefore, rowid: .min)
        if let cut = collecting.cut, cut < position.covered { position.covered = cut }
        position.found = collecting.places.prefix { $0 <= position.covered }.reversed()
        isDone = true
        return true
    }

    // MARK: rows

    /// Gives rows that were found, those that are late first.
    private func give(
        _ position: inout Position, end: Int64, limit: Int, _ events: inout [SourceEvent], _ queries: ArchiveQueries,
        _ budget: inout ReadBudget
    ) throws(DatabaseError) {
        while events.count < limit {
            if let late = position.late.last {
                if let (event, _) = try event(at: late.place, queries) { events.append(event) }
                position.late.removeLast()
            } else if let place = position.found.last, place.microseconds < end {
                if let (event, name) = try event(at: place, queries) {
                    events.append(event)
                    position.last = Last(place, name, after: position.last)
                }
                position.found.removeLast()
            } else {
                return
            }
            if budget.isSpent() { return }
        }
    }

    /// - Returns: nil where the row was deleted. One whose timestamp was changed has another turn.
    private func event(at place: Place, _ queries: ArchiveQueries) throws(DatabaseError) -> (SourceEvent, RowName)? {
        let row = queries.event
        row.bind(place.rowid, at: 1)
        defer { row.reset() }
        guard try row.step(),
            let instant = row.withText(RequestQueries.Column.timestamp, { reader.read($0) })?.instant,
            instant.microseconds == place.microseconds
        else { return nil }
        return (encoder.event(row, timestamp: instant, now: instant), RowName(row, RequestQueries.Column.id))
    }
}
