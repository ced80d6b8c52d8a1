// Lines of before, against journal files that systemd's own tool has written.

import Base
import Host
import Testing

@testable import EventSources

@Suite struct JournalArchiveTests {
    let folder: Folder
    let published = PublishedPlaces()
    let archive: JournalArchive

    init() throws {
        folder = try Folder()
        archive = JournalArchive(journalOptions(folder.path), names: noNames, published: published)
    }

    private func edge(_ first: JournalPlace? = nil) -> HistoryEdge {
        HistoryEdge(requestID: { _ in nil }, firstEntry: first)
    }

    /// Everything, so many at a time; the archive is closed in between where asked for.
    private func all(
        from microseconds: Int64 = 0, until: Int64? = nil, first: JournalPlace? = nil, limit: Int = 256, deadline: UInt64 = .max,
        reopening: Bool = false
    ) throws -> [String] {
        var position = archive.position(from: TestEntry.began.advanced(byMicroseconds: microseconds))
        var messages: [String] = []
        for _ in 0..<10_000 where !position.isFinished {
            let events = try archive.next(
                &position, until: until.map { TestEntry.began.advanced(byMicroseconds: $0) }, edge: edge(first), limit: limit,
                deadline: deadline)
            #expect(events.count <= limit)
            messages += try events.map { try $0.kind == .gap ? gapText($0) : message($0) }
            if reopening { archive.close() }
        }
        #expect(position.isFinished)
        return messages
    }

    private func places() throws -> [JournalPlace] {
        let journal = try folder.journal()
        var places: [JournalPlace] = []
        while let entry = try journal.next() { places.append(entry.place) }
        return places
    }

    @Test func notBegun() throws {
        try folder.write(numbered(0..<3))
        #expect(throws: JournalArchive.NotBegun.self) { _ = try all() }
    }

    @Test func upToTheFirstOfHistory() throws {
        try folder.write(numbered(0..<10))
        let places = try places()
        for (number, place) in places.enumerated() { #expect(try all(first: place) == lines(0..<number)) }
        published.entry.withLock { $0 = places[9] }
        #expect(try all(first: places[4]) == lines(0..<4), "history counts before what is published")
    }

    @Test func upToTheLastPublished() throws {
        try folder.write(numbered(0..<10))
        for (number, place) in try places().enumerated() {
            published.entry.withLock { $0 = place }
            #expect(try all() == lines(0..<(number + 1)))
        }
        published.entry.withLock { $0 = JournalPlace(sequenceID: 0, sequence: 0, realtime: numbered(5..<6)[0].instant) }
        #expect(try all() == lines(0..<6), "where the live reader found no entry, by the clock")
    }

    /// As the rows of the table: what is published after the caller has looked at history is in the history that it goes on with.
    @Test func linesPublishedBehindTheEdge() throws {
        try folder.write(numbered(0..<10))
        let places = try places()
        published.entry.withLock { $0 = places[4] }
        var position = archive.position(from: TestEntry.began)
        let history = edge()
        published.entry.withLock { $0 = places[9] }
        #expect(try archive.next(&position, edge: history, limit: 256, deadline: .max).map(message) == lines(0..<5))
        // Now it has them.
        #expect(try archive.next(&position, edge: edge(places[5]), limit: 256, deadline: .max).isEmpty)
        #expect(position.isFinished)
    }

    @Test(arguments: [false, true]) func limitByLimit(_ reopening: Bool) throws {
        try folder.write(numbered(0..<20).filter { $0.at % 30_000 == 0 }, to: "a.journal")
        try folder.write(numbered(0..<20).filter { $0.at % 30_000 != 0 }, to: "b.journal")
        published.entry.withLock { $0 = JournalPlace(sequenceID: 0, sequence: 0, realtime: numbered(17..<18)[0].instant) }
        for limit in [1, 2, 3, 7, 100] {
            #expect(try all(from: 30_000, limit: limit, reopening: reopening) == lines(3..<18))
            #expect(try all(limit: limit, deadline: 0, reopening: reopening) == lines(0..<18), "one entry at a time")
        }
    }

    @Test(arguments: [(0, 0, 0), (0, 1, 1), (1, 100_000, 9), (20_000, 50_000, 3), (20_001, 50_001, 3), (500_000, 600_000, 0)])
    func fromAndUntil(_ from: Int64, _ until: Int64, _ count: Int) throws {
        try folder.write(numbered(0..<10))
        published.entry.withLock { $0 = JournalPlace(sequenceID: 0, sequence: 0, realtime: Instant(microseconds: .max)) }
        let messages = try all(from: from, until: until)
        let first = Int((from + 9999) / 10_000)
        #expect(messages == (count == 0 ? [] : lines(first..<(first + count))))
    }

    @Test func linesInPartsAreWhole() throws {
        let stream = [("_SYSTEMD_UNIT", gatewayUnit), ("_STREAM_ID", "a")]
        func part(_ text: String, _ milliseconds: Int64, isLast: Bool = false) -> TestEntry {
            TestEntry(text, at: milliseconds * 1000, stream + (isLast ? [] : [("_LINE_BREAK", "line-max")]))
        }
        let entries = [
            part("a1", 1000), TestEntry("x", at: 1_500_000), part("a2", 2000), part("a3", 2500, isLast: true),
            part("b1", 3000), part("b2", 3100, isLast: true), part("c1", 6000), TestEntry("y", at: 9_000_000),
            TestEntry("z", at: 9_100_000),
        ]
        try folder.write(entries)
        let places = try places()
        published.entry.withLock { $0 = places[8] }
        for limit in [1, 100] {
            #expect(try all(limit: limit, reopening: true) == ["x", "a1a2a3", "b1b2", "c1", "y", "z"])
        }
        // A line counts as what its first part does.
        #expect(try all(from: 1_000_000) == ["x", "a1a2a3", "b1b2", "c1", "y", "z"])
        #expect(try all(from: 1_000_001) == ["x", "b1b2", "c1", "y", "z"])
        #expect(try all(until: 2_500_000) == ["x", "a1a2a3"])
        #expect(try all(until: 3_050_000) == ["x", "a1a2a3", "b1b2"])
        // History begins with a line in parts: its first part is before, and not given out.
        #expect(try all(first: places[3]) == ["x"])
        #expect(try all(first: places[5]) == ["x", "a1a2a3"])
        // Given up before "y" came, and still in history, or not any more.
        let givenUp = JournalPlace(
            sequenceID: places[6].sequenceID, sequence: places[6].sequence + 1, realtime: places[6].realtime)
        #expect(try all(first: givenUp) == ["x", "a1a2a3", "b1b2"])
        #expect(try all(first: places[8]) == ["x", "a1a2a3", "b1b2", "c1", "y"])
        published.entry.withLock { $0 = places[6] }
        #expect(try all() == ["x", "a1a2a3", "b1b2", "c1"], "nothing came behind it, and its time is over")
    }

    @Test func noticesAreTold() throws {
        try folder.write([TestEntry("a", at: 1), TestEntry.suppressed(3, at: 2), TestEntry("b", at: 3)])
        published.entry.withLock { $0 = JournalPlace(sequenceID: 0, sequence: 0, realtime: Instant(microseconds: .max)) }
        #expect(try all() == ["a", "gap 3", "b"])
    }

    @Test func theEdgeMovesOnMeanwhile() throws {
        try folder.write(numbered(0..<10))
        let places = try places()
        var position = archive.position(from: TestEntry.began)
        #expect(try archive.next(&position, edge: edge(places[4]), limit: 3, deadline: .max).map(message) == lines(0..<3))
        #expect(try archive.next(&position, edge: edge(places[7]), limit: 100, deadline: .max).map(message) == lines(3..<7))
        #expect(position.isFinished)
        // Finished up to there: when history lets go of more, there is more.
        #expect(try archive.next(&position, edge: edge(places[9]), limit: 100, deadline: .max).map(message) == lines(7..<9))
        #expect(try archive.next(&position, edge: edge(places[9]), limit: 100, deadline: .max).isEmpty && position.isFinished)
    }

    @Test func filesThatComeAndGoBetweenReads() throws {
        try folder.write(numbered(0..<4), to: "a.journal")
        published.entry.withLock { $0 = JournalPlace(sequenceID: 0, sequence: 0, realtime: Instant(microseconds: .max)) }
        var position = archive.position(from: TestEntry.began)
        #expect(try archive.next(&position, edge: edge(), limit: 2, deadline: .max).map(message) == lines(0..<2))
        try folder.write(numbered(4..<8), to: "b.journal")
        #expect(try archive.next(&position, edge: edge(), limit: 3, deadline: .max).map(message) == lines(2..<5))
        folder.delete("a.journal")
        #expect(try archive.next(&position, edge: edge(), limit: 100, deadline: .max).map(message) == lines(5..<8))
        #expect(position.isFinished)
    }

    @Test func anEntryThatIsGoneIsNoHole() throws {
        try folder.write(numbered(0..<4), to: "a.journal")
        try folder.write(numbered(4..<8), to: "b.journal")
        published.entry.withLock { $0 = JournalPlace(sequenceID: 0, sequence: 0, realtime: Instant(microseconds: .max)) }
        var position = archive.position(from: TestEntry.began)
        #expect(try archive.next(&position, edge: edge(), limit: 2, deadline: .max).map(message) == lines(0..<2))
        archive.close()
        folder.delete("a.journal")
        #expect(try archive.next(&position, edge: edge(), limit: 100, deadline: .max).map(message) == lines(4..<8))
    }

    @Test func noJournalIsAnEnd() throws {
        published.entry.withLock { $0 = JournalPlace(sequenceID: 0, sequence: 0, realtime: TestEntry.began) }
        #expect(try all() == [])
    }
}
