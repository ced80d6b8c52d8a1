// Requests from before, read from the gateway's database when somebody asks for them: what history no longer holds.

import Base
import Storage

/// Why the archive cannot be read just now.
public enum ArchiveError: Error, Equatable, Sendable {
    /// The live reader has not begun yet, or has yet to find its place in what is there now: try again in a moment.
    case notBegun
    /// A writer has kept its lock for too long: try again.
    case busy(String)
    /// A sentence that says what is the matter.
    case unreadable(String)
}

/// Reads rows of request_logs that lie before history, oldest first. Owner: one thread at a time.
///
/// Rows come in the order of their instants (microseconds), and in that of insertion within one; each once, as the same events
/// that the live reader makes of them. A read transaction lasts a few milliseconds, however much there is to read, so that
/// the gateway can write. Rows whose timestamp makes no sense are left out: they have no place in that order.
///
/// The border between archive and history is one in the order of insertion, because that is the order in which rows are published:
/// history holds the last rows published, so the rows before its first one are not in it. Where it holds no row of the table,
/// none of those that had been published by then is in it.
///
/// The border moves on between two calls as history forgets. The rows in between are read one by one, in the order of
/// insertion. Those whose turn is still to come are given in their turn; those whose turn is over (their instant is
/// older than that of a row already given, because requests end in another order than they are written) come next, late.
public final class RequestArchive {
    /// How long a call waits for a writer's lock.
    private static let busyMilliseconds: Int32 = 200
    /// A call that has not found enough by then returns what it has.
    private static let callNanosecondsMax: UInt64 = 100_000_000

    let clock: any Clock
    private let published: PublishedPlaces
    private let database: GatewayDatabase
    private var queries: ArchiveQueries?
    var encoder = RequestEncoder()
    var reader = TimestampReader()
    var zones = ZoneCheck()

    /// - Parameters:
    ///   - path: the database file; opened when first needed.
    ///   - published: the places of the sampler that reads the same file.
    public init(path: String, published: PublishedPlaces, clock: any Clock = SystemClock()) {
        self.clock = clock
        self.published = published
        database = GatewayDatabase(path: path, busyMilliseconds: RequestArchive.busyMilliseconds)
    }

    /// A position in front of the first row from an instant on. Reads nothing. Call it before looking at history for the first `next`.
    public func begin(from: Instant) -> Position {
        var position = Position(from: from)
        position.published = published.request.withLock { $0 }
        return position
    }

    /// The next rows before history. Afterwards, `position.isFinished` tells whether these were all; without it there may
    /// be more, even where none has come (the call took long, or rows were published meanwhile).
    ///
    /// - Parameters:
    ///   - until: rows of this instant and later are left for a later call.
    ///   - edge: history as it was found after `begin` and after the call before; not older, or rows come twice.
    ///   - limit: the most rows to give.
    /// - Throws: only where there is not a single row to give; the position stays good.
    public func next(
        _ position: inout Position, until: Instant? = nil, edge: HistoryEdge, limit: Int
    ) throws(ArchiveError) -> [SourceEvent] {
        var events: [SourceEvent] = []
        let known = position.published
        position.isFinished = false
        position.follow(edge)
        // What is published from now on is either in history when the caller looks there again, or has been forgotten by then.
        defer { position.published = published.request.withLock { $0 } }
        let began = clock.monotonic()
        do throws(ArchiveError) {
            repeat {
                switch try read(&position, until: until, edge: edge, limit: max(limit, 1), &events) {
                case .more: continue
                case .unsettled:
                    if known == published.request.withLock({ $0 }) { throw .notBegun }
                    return events
                case .finished(let usedPlace):
                    position.isFinished = !usedPlace || known == published.request.withLock { $0 }
                    return events
                }
            } while events.count < limit && clock.monotonic() &- began < RequestArchive.callNanosecondsMax
        } catch {
            // What has been read must not be lost; the next call fails by itself.
            if events.isEmpty { throw error }
        }
        return events
    }

    /// How many rows there are from an instant on and before another: never too few, history included, and for texts of
    /// several zones too many by the rows of their difference.
    ///
    /// - Returns: at most `max` + 1.
    public func count(from: Instant, until: Instant? = nil, max: Int) throws(ArchiveError) -> Int {
        let second = Place.second(from.microseconds)
        var place: (text: [UInt8], rowid: Int64)?
        var end: [UInt8]?
        var count = 0
        var isDone = false
        while !isDone, count <= max {
            try withQueries { queries, file throws(DatabaseError) in
                var budget = ReadBudget(clock)
                if place == nil {
                    guard try zones.cover(ZoneBounds.lowestText(of: second), queries, file: file, &reader, &budget) else { return }
                    place = (Array(zones.bounds.firstText(of: second).utf8), .min)
                    end = until.map { Array(zones.bounds.endText(of: Place.second($0.microseconds) + 1).utf8) }
                }
                let row = queries.index
                place?.text.withUnsafeBytes { row.bind($0, at: 1) }
                row.bind(place?.rowid ?? .min, at: 2)
                defer { row.reset() }
                var rows = 0
                while try row.step() {
                    rows += 1
                    let isBeyond = end.map { end in row.withText(0) { !$0.lexicographicallyPrecedes(end) } } ?? false
                    if isBeyond || count >= max {
                        count += isBeyond ? 0 : 1
                        isDone = true
                        return
                    }
                    count += 1
                    if rows == ArchiveQueries.indexRowsMax || budget.isSpent() {
                        place = (row.withText(0) { Array($0) }, row.int64(1))
                        return
                    }
                }
                isDone = true
            }
        }
        return count
    }

    /// Lets go of the file; the next call opens it again.
    public func close() {
        queries = nil
        database.close()
    }

    // MARK: the file

    enum Outcome {
        case more
        /// - Parameter usedPlace: the live reader's place was taken for the border.
        case finished(usedPlace: Bool)
        /// The live reader's place cannot be found.
        case unsettled
    }

    private func read(
        _ position: inout Position, until: Instant?, edge: HistoryEdge, limit: Int, _ events: inout [SourceEvent]
    ) throws(ArchiveError) -> Outcome {
        var outcome = Outcome.more
        try withQueries { queries, file throws(DatabaseError) in
            outcome = try read(&position, until: until, edge: edge, limit: limit, &events, queries, file)
        }
        return outcome
    }

    /// Runs `body` in one read transaction on the file that stands at the path.
    private func withQueries(
        _ body: (ArchiveQueries, GatewayDatabase.FileID) throws(DatabaseError) -> Void
    ) throws(ArchiveError) {
        var state = database.look()
        if case .replaced = state {
            close()
            state = database.look()
        }
        if case .failing(let sentence) = state {
            close()
            throw .unreadable(sentence)
        }
        guard let session = database.session else { throw .unreadable("the database \(database.path) is just being replaced") }
        do throws(DatabaseError) {
            let queries: ArchiveQueries
            if let prepared = self.queries { queries = prepared } else { queries = try ArchiveQueries(session.connection) }
            self.queries = queries
            try session.connection.read { () throws(DatabaseError) in try body(queries, session.file) }
        } catch {
            let sentence = database.sentence(error)
            if error.isBusy { throw .busy(sentence) }
            close()
            throw .unreadable(sentence)
        }
    }
}
