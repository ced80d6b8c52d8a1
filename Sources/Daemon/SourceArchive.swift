// Events of before for replays: rows of the gateway's table and lines of the journal, merged by time.

import Base
import EventSources
import Fanout
import Glibc

/// What the sources keep, as replays read it. Any thread; each reader is for one.
final class SourceArchive: Archive {
    /// A source that is turned off has nothing.
    let databasePath: String?
    let journal: JournalOptions?
    private let published: PublishedPlaces
    private let names: ProviderNames
    private let settleSources: @Sendable () -> Void

    /// - Parameter settle: comes back when the live readers have published what was written before.
    init(
        databasePath: String?, journal: JournalOptions?, published: PublishedPlaces, names: ProviderNames,
        settle: @escaping @Sendable () -> Void
    ) {
        self.databasePath = databasePath
        self.journal = journal
        self.published = published
        self.names = names
        settleSources = settle
    }

    var channels: ChannelSet {
        (databasePath == nil ? [] : ChannelSet(.requests)).union(journal == nil ? [] : ChannelSet(.logs))
    }

    func makeReader() -> any ArchiveReader {
        SourceArchiveReader(
            requests: databasePath.map { RequestArchive(path: $0, published: published) },
            journal: journal.map { JournalArchive($0, names: names, published: published) }, settle: settleSources)
    }
}

/// Reads both sources. Owner: one thread.
private final class SourceArchiveReader: ArchiveReader {
    private let requests: RequestArchive?
    private let journal: JournalArchive?
    private let settleSources: @Sendable () -> Void

    /// Events that are read from a source at once.
    private static let readMax = 128
    /// A source that has not begun, or a table that is locked, is tried again for so long.
    private static let patienceNanoseconds: UInt64 = 1_000_000_000
    /// One read of the journal; then others have their turn.
    private static let journalNanoseconds: UInt64 = 50_000_000

    init(requests: RequestArchive?, journal: JournalArchive?, settle: @escaping @Sendable () -> Void) {
        self.requests = requests
        self.journal = journal
        settleSources = settle
    }

    /// One source's part of a place.
    private struct Stream {
        var events: ArraySlice<SourceEvent> = []
        /// Nothing was left before history when it was last read.
        var isFinished = false
        /// That was found in the present call, so for the present edge.
        var isCurrent = false
        /// Why nothing more can be had of it.
        var failure: String?
        /// Since when it could not be read.
        var triedSince: UInt64?

        var isOver: Bool { isFinished || failure != nil }
    }

    private final class Place: ArchivePosition {
        let until: Instant?
        var rows: RequestArchive.Position?
        var lines: JournalArchive.Position?
        var requests = Stream()
        var logs = Stream()

        init(until: Instant?) { self.until = until }
    }

    func begin(_ channels: ChannelSet, from: Instant, until: Instant?) -> any ArchivePosition {
        let place = Place(until: until)
        if channels.contains(ChannelSet(.requests)), let requests { place.rows = requests.begin(from: from) } else { place.requests.isFinished = true }
        if channels.contains(ChannelSet(.logs)), let journal {
            place.lines = journal.position(from: from)
            place.logs.failure = journal.obstacle
        } else {
            place.logs.isFinished = true
        }
        return place
    }

    func next(_ position: any ArchivePosition, edge: HistoryView, limit: Int) -> ArchiveBatch {
        guard let place = position as? Place else { return ArchiveBatch(events: [], isFinished: true) }
        let history = HistoryEdge(
            requestID: edge.requestID,
            // Looked for through history, so only where lines are read.
            firstEntry: place.lines == nil ? nil : edge.firstEntry.map { JournalPlace(sequenceID: $0.sequenceID, sequence: $0.sequence, realtime: $0.timestamp) })
        place.requests.isCurrent = place.rows == nil
        place.logs.isCurrent = place.lines == nil
        // At the end of both, history may have moved on since one of them came to its own.
        if place.requests.isOver, place.logs.isOver, place.requests.events.isEmpty, place.logs.events.isEmpty {
            place.requests.isFinished = place.rows == nil
            place.logs.isFinished = place.lines == nil
        }
        fill(&place.requests) { () throws -> ([SourceEvent], Bool) in
            guard let requests, var rows = place.rows else { return ([], true) }
            defer { place.rows = rows }
            let events = try requests.next(&rows, until: place.until, edge: history, limit: SourceArchiveReader.readMax)
            return (events, rows.isFinished)
        }
        fill(&place.logs) { () throws -> ([SourceEvent], Bool) in
            guard let journal, var lines = place.lines else { return ([], true) }
            defer { place.lines = lines }
            let events = try journal.next(
                &lines, until: place.until, edge: history, limit: SourceArchiveReader.readMax,
                deadline: SystemClock().monotonic() + SourceArchiveReader.journalNanoseconds)
            return (events, lines.isFinished)
        }
        var events: [EventDraft] = []
        while events.count < limit, let event = SourceArchiveReader.earliest(&place.requests, &place.logs) { events.append(EventDraft(event)) }
        let isFinished =
            place.requests.isOver && place.logs.isOver && place.requests.events.isEmpty && place.logs.events.isEmpty
            && (place.requests.isCurrent || place.requests.failure != nil) && (place.logs.isCurrent || place.logs.failure != nil)
        return ArchiveBatch(
            events: events, isFinished: isFinished,
            failures: [(Channel.requests, place.requests.failure), (.logs, place.logs.failure)].compactMap { channel, why in
                why.map { (channel, $0) }
            })
    }

    /// Reads on where everything was given.
    private func fill(_ stream: inout Stream, _ read: () throws -> (events: [SourceEvent], isFinished: Bool)) {
        guard stream.events.isEmpty, !stream.isOver else { return }
        let now = SystemClock().monotonic()
        do {
            let part = try read()
            stream.events = ArraySlice(part.events)
            stream.isFinished = part.isFinished
            stream.isCurrent = part.isFinished
            stream.triedSince = nil
        } catch {
            let isPassing = switch error {
            case ArchiveError.notBegun, ArchiveError.busy, is JournalArchive.NotBegun: true
            default: false
            }
            let since = stream.triedSince ?? now
            stream.triedSince = since
            // This thread has nothing else to do for its client.
            if isPassing { usleep(5000) }
            if !isPassing || now - since > SourceArchiveReader.patienceNanoseconds { stream.failure = "\(error)" }
        }
    }

    /// The next event in time; nil where it is not known yet which one that is.
    private static func earliest(_ requests: inout Stream, _ logs: inout Stream) -> SourceEvent? {
        guard let request = requests.events.first else { return requests.isOver ? logs.events.popFirst() : nil }
        guard let line = logs.events.first else { return logs.isOver ? requests.events.popFirst() : nil }
        return request.timestamp <= line.timestamp ? requests.events.popFirst() : logs.events.popFirst()
    }

    func count(_ channels: ChannelSet, from: Instant, max: Int) -> Int {
        var total = 0
        // What cannot be counted may be many.
        if channels.contains(ChannelSet(.logs)), let journal { total += (try? journal.count(from: from, max: max)) ?? max + 1 }
        if total <= max, channels.contains(ChannelSet(.requests)), let requests {
            total += (try? requests.count(from: from, max: max)) ?? max + 1
        }
        return min(total, max + 1)
    }

    func settle() { settleSources() }

    func close() {
        requests?.close()
        journal?.close()
    }
}

extension EventDraft {
    /// An event of a source, live or of before.
    init(_ event: SourceEvent) {
        let (channel, type): (Channel, String) =
            switch event.kind {
            case .request: (.requests, "request")
            case .providerStatus: (.providers, "provider_status")
            case .log: (.logs, "log")
            case .gap: (.logs, "gap")
            }
        let origin: EventOrigin =
            switch event.kind {
            case .request: .table
            case .providerStatus: .producer
            case .log, .gap: event.entry.map { .journal(sequenceID: $0.sequenceID, sequence: $0.sequence) } ?? .producer
            }
        let publisher: Publisher =
            switch event.kind {
            case .request: .requests
            case .providerStatus: .providers
            case .log, .gap: .journal
            }
        self.init(
            channel: channel, type: type, timestamp: event.timestamp, data: event.data, isConflatable: event.kind == .providerStatus,
            passesFilters: event.kind == .gap, origin: origin, publisher: publisher)
    }
}
