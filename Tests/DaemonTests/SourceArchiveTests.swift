// Both sources in one replay, while history moves on between two reads.

import Base
import EventSources
import Glibc
import Host
import Testing

@testable import Daemon
@testable import Fanout

@Suite struct SourceArchiveTests {
    private static let unit = "goleapai.service"
    /// The last rows of the fixture's table: timestamp and id.
    private let database: String
    private let directory: String
    private let published = PublishedPlaces()
    private let hub: Hub

    /// The newest rows of the fixture, oldest first.
    private static let rows = [
        ("2026-03-02T14:29:45.335Z", "ecb81b16-d8e2-4f8d-addf-d32f28f970a9"), ("2026-03-02T14:29:55.532Z", "8fd3b376-2784-417d-a1ab-2fd9fd2ac6e3"),
        ("2026-03-02T14:29:57.356Z", "a86a08a3-abb0-4446-9770-28b6487979cd"),
    ]

    init() throws {
        let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        database = "\(folder)/Fixtures/gateway/gateway-small.db"
        var template = Array("/tmp/goleapai-archive-XXXXXX".utf8CString)
        directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        var limits = Limits()
        limits.historyEventsMax = 16
        hub = Hub(limits: limits, clock: SystemClock())
    }

    /// Lines of the unit, a second apart.
    private func write(_ count: Int, from begin: Instant) throws {
        let tool = try #require(popen("/lib/systemd/systemd-journal-remote --output='\(directory)/system.journal' - >/dev/null 2>&1", "w"))
        var text = ""
        for number in 0..<count {
            text += """
                __REALTIME_TIMESTAMP=\(begin.microseconds + Int64(number) * 1_000_000)
                __MONOTONIC_TIMESTAMP=\(1_000_000 + number)
                _BOOT_ID=0123456789abcdef0123456789abcdef
                _SYSTEMD_UNIT=\(SourceArchiveTests.unit)
                MESSAGE=line \(number)


                """
        }
        fputs(text, tool)
        try #require(pclose(tool) == 0)
    }

    private var options: JournalOptions {
        JournalOptions(
            units: [SourceArchiveTests.unit], own: OwnService(processID: 4711, since: Instant(microseconds: 0), unit: "goleapai-ws.service"),
            directory: directory)
    }

    private func reader() -> any ArchiveReader {
        SourceArchive(databasePath: database, journal: options, published: published, names: ProviderNames()) {}.makeReader()
    }

    private func view() -> HistoryView {
        let (segments, head) = hub.snapshot()
        return HistoryView(segments, from: 1, until: head)
    }

    private func publish(_ row: (String, String)) throws -> UInt64 {
        let instant = try #require(Instant(parsing: row.0))
        let range = hub.publish([
            EventDraft(channel: .requests, type: "request", timestamp: instant, data: Array(#"{"request_id":"\#(row.1)"}"#.utf8), origin: .table)
        ])
        return try #require(range).lowerBound
    }

    private func publishOthers(_ count: Int) {
        for _ in 0..<count { hub.publish([EventDraft(channel: .logs, type: "note", timestamp: hub.clock.now(), data: Array("{}".utf8))]) }
    }

    private func places() throws -> [(UInt64, UInt64, Instant)] {
        let journal = try Journal(directory: directory)
        try journal.match(units: [SourceArchiveTests.unit])
        try journal.seek(to: Instant(microseconds: 0))
        var places: [(UInt64, UInt64, Instant)] = []
        while let entry = try journal.next() { places.append((entry.sequenceID, entry.sequence, entry.realtime)) }
        return places
    }

    /// The table has been read up to history, the journal has not; then history lets go of rows.
    @Test func historyMovesOnBetweenTheEndsOfBoth() throws {
        let begin = try #require(Instant(parsing: "2026-03-02T14:29:58Z"))
        try write(1000, from: begin)
        // The newest line stays in history to the end.
        let line = try #require(try places().last)
        let first = try publish(SourceArchiveTests.rows[0])
        let second = try publish(SourceArchiveTests.rows[1])
        publishOthers(20)
        let reader = reader()
        let place = reader.begin([.init(.requests), .init(.logs)], from: try #require(Instant(parsing: "2026-03-02T14:29:00Z")), until: nil)
        func keep() throws {
            _ = try publish(SourceArchiveTests.rows[2])
            hub.publish([
                EventDraft(
                    channel: .logs, type: "log", timestamp: line.2, data: Array("{}".utf8), origin: .journal(sequenceID: line.0, sequence: line.1))
            ])
        }
        try keep()
        var given: [String] = []
        var edge = view()
        #expect(edge.from <= first)
        for round in 0..<200 {
            edge = view()
            let batch = reader.next(place, edge: edge, limit: 128)
            for event in batch.events {
                let text = String(decoding: event.data, as: UTF8.self)
                given += SourceArchiveTests.rows.filter { text.contains($0.1) }.map(\.1)
            }
            #expect(batch.failures.isEmpty, "\(batch.failures)")
            if batch.isFinished { break }
            if round == 0 {
                // Both rows leave; the last row and the last line are there again.
                publishOthers(20)
                try keep()
                publishOthers(2)
            }
        }
        #expect(edge.from > second, "history has let go of both")
        #expect(given.contains(SourceArchiveTests.rows[0].1) && given.contains(SourceArchiveTests.rows[1].1), "\(given)")
    }
}
