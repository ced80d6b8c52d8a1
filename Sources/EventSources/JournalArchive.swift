// Lines of before: what the journal holds from some instant up to the first line that history still has.

import Base
import Host

/// Reads the journal for a replay. Owner: one thread at a time. Closes its files when a position is finished.
public final class JournalArchive {
    /// How far a replay has come.
    public struct Position: Sendable {
        /// Events that are older are not wanted.
        let from: Instant
        /// Of the last entry consumed.
        fileprivate(set) var cursor: String?
        fileprivate var assembler: JournalAssembler
        /// Made, but not given out yet, because the limit was reached.
        fileprivate var waiting: ArraySlice<SourceEvent> = []
        fileprivate var hasReachedEnd = false
        /// Up to where the live reader had published before the caller looked at history.
        fileprivate var published: JournalPlace?

        /// Whether there is nothing more: what follows is in history.
        public var isFinished: Bool { hasReachedEnd && waiting.isEmpty }
    }

    /// The live reader has not begun, so nobody knows where the archive ends; tried again a moment later it will be known.
    public struct NotBegun: Error, CustomStringConvertible {
        public var description: String { "the journal has not been opened yet" }
    }

    /// Reading begins so much earlier, so that lines in several parts are whole.
    static let leadMilliseconds: Int64 = 2000
    /// Of events that one read makes at most, about.
    static let bytesMax = 262_144

    private let options: JournalOptions
    private let names: ProviderNames
    private let published: PublishedPlaces
    private let clock: any Clock
    private var journal: Journal?
    /// Behind which entry the open journal stands.
    private var stand: String?

    /// - Parameter published: the live reader's, which says where the archive ends.
    public init(_ options: JournalOptions, names: ProviderNames, published: PublishedPlaces, clock: any Clock = SystemClock()) {
        self.options = options
        self.names = names
        self.published = published
        self.clock = clock
    }

    /// Where a replay begins.
    public func position(from instant: Instant) -> Position {
        Position(from: instant, assembler: JournalAssembler(options), published: published.entry.withLock { $0 })
    }

    /// Why the journal has nothing for us, although it can be opened; nil where it has.
    public var obstacle: String? {
        guard options.directory == nil else { return nil }
        let access = JournalDirectories.look().access
        return access == .ok ? nil : access.sentence
    }

    /// At least how many events there are from an instant on; `max + 1` where there are more than `max`.
    /// - Throws: `SystemError` where the journal cannot be read.
    public func count(from: Instant, max: Int) throws(SystemError) -> Int {
        close()
        let journal = try options.open()
        try journal.seek(to: from.advanced(byMilliseconds: -JournalArchive.leadMilliseconds))
        return try journal.skip(max + 1)
    }

    /// Closes the journal's files until the next read; to be called where a replay is given up. An open journal holds a
    /// descriptor per file, and the space of deleted ones.
    public func close() {
        journal = nil
        stand = nil
    }

    /// The next events, in the order of the journal.
    ///
    /// - Parameters:
    ///   - position: moves on; with any archive of the same options it goes on from there.
    ///   - until: events of this instant or later are not wanted.
    ///   - edge: the beginning of history as it is now.
    ///   - limit: of events, at least 1.
    ///   - deadline: on the monotonic clock; behind it what there is is given out. One entry is read in any case.
    /// - Returns: nothing although `position` is not finished, where the deadline came first.
    /// - Throws: `NotBegun`; `SystemError` where the journal cannot be read.
    public func next(
        _ position: inout Position, until: Instant? = nil, edge: HistoryEdge, limit: Int, deadline: UInt64
    ) throws -> [SourceEvent] {
        let known = position.published
        // What is published from now on is either in history when the caller looks there again, or has been forgotten by then.
        defer { position.published = published.entry.withLock { $0 } }
        guard let end = end(edge, known) else { throw NotBegun() }
        if position.waiting.isEmpty {
            // Also where the end was reached: history may have moved on since.
            position.hasReachedEnd = false
            do {
                try read(&position, until: until, end: end, limit: limit, deadline: deadline)
            } catch {
                close()
                throw error
            }
            if position.hasReachedEnd { close() }
            if case .behind = end, known != published.entry.withLock({ $0 }) { position.hasReachedEnd = false }
        }
        let events = position.waiting.prefix(limit)
        position.waiting = position.waiting.dropFirst(limit)
        return Array(events)
    }

    // MARK: the end

    private enum End {
        case before(JournalPlace)
        case behind(JournalPlace)

        func isReached(by place: JournalPlace) -> Bool {
            switch self {
            case .before(let first): !place.isBefore(first)
            case .behind(let last): last.isBefore(place)
            }
        }
    }

    private func end(_ edge: HistoryEdge, _ published: JournalPlace?) -> End? {
        if let first = edge.firstEntry { return .before(first) }
        return published.map(End.behind)
    }

    // MARK: reading

    private func read(_ position: inout Position, until: Instant?, end: End, limit: Int, deadline: UInt64) throws(SystemError) {
        let journal = try opened(at: position)
        var bytes = 0
        var output: [SourceEvent] = []
        repeat {
            let entry = try journal.next()
            // Time is that of the entries: live, parts of a line come as they are written.
            let time = UInt64(clamping: (entry?.realtime ?? clock.now()).microseconds) &* 1000
            if let entry, !end.isReached(by: entry.place), !isBeyond(until, entry, position.assembler) {
                position.assembler.add(entry, at: time, names: names, into: &output)
                position.cursor = entry.cursor
                stand = entry.cursor
            } else {
                // Unfinished lines go on behind the end, and will be in history as a whole, unless they were given up before it.
                position.assembler.expire(at: time, names: names, into: &output)
                position.hasReachedEnd = true
            }
            for event in output where isWanted(event, from: position.from, until: until, end: end) {
                position.waiting.append(event)
                bytes += event.data.count
            }
            output.removeAll(keepingCapacity: true)
        } while !position.hasReachedEnd && position.waiting.count < limit && bytes < JournalArchive.bytesMax
            && clock.monotonic() < deadline
    }

    /// Whether nothing from this entry on can belong to an event before `until`.
    private func isBeyond(_ until: Instant?, _ entry: JournalEntry, _ assembler: JournalAssembler) -> Bool {
        guard let until, entry.realtime >= until else { return false }
        let isLate = entry.realtime > until.advanced(byMilliseconds: JournalArchive.leadMilliseconds)
        return isLate || !assembler.isPending(before: until)
    }

    private func isWanted(_ event: SourceEvent, from: Instant, until: Instant?, end: End) -> Bool {
        if event.timestamp < from { return false }
        if let until, event.timestamp >= until { return false }
        // One that was given up just there.
        if case .before(let first) = end, let place = event.entry { return place.isBefore(first) }
        return true
    }

    /// The journal behind the position's last entry, all files known that there are now.
    private func opened(at position: Position) throws(SystemError) -> Journal {
        if let journal, let stand, stand == position.cursor {
            try journal.wait(milliseconds: 0)
            return journal
        }
        close()
        let journal = try options.open()
        if let cursor = position.cursor {
            try journal.seek(cursor: cursor)
        } else {
            try journal.seek(to: position.from.advanced(byMilliseconds: -JournalArchive.leadMilliseconds))
        }
        self.journal = journal
        return journal
    }
}
