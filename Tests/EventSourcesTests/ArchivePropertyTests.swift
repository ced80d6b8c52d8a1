// Rows of before against a plain model: every zone, order of insertion, beginning, end and border.

import Base
import TestSupport
import Testing

@testable import EventSources

@Suite struct ArchivePropertyTests {
    static let zones: [Int64] = [0, 60, 120, -300, -270, 330, 345, 840, -720, 0, 0]

    /// Rows around one day, many of one instant, written in any order and in a few zones.
    static func rows(_ count: Int, _ random: inout SeededGenerator) throws -> [TestRow] {
        let start = try #require(Instant(parsing: "2026-03-28T18:00:00Z"))
        let zones = (0..<Int.random(in: 1...4, using: &random)).map { _ in ArchivePropertyTests.zones.randomElement(using: &random) ?? 0 }
        let span: Int64 = ([3, 600, 90_000].randomElement(using: &random) ?? 3) * 1_000_000
        let isSorted = Bool.random(using: &random)
        var at: [Int64] = []
        for _ in 0..<count {
            if Int.random(in: 0..<4, using: &random) == 0, let same = at.randomElement(using: &random) {
                at.append(same)
            } else {
                let unit: Int64 = [1, 1000, 1_000_000].randomElement(using: &random) ?? 1
                at.append(Int64.random(in: 0..<span, using: &random) / unit * unit)
            }
        }
        if isSorted { at.sort() }
        return at.enumerated().map { index, microseconds in
            TestRow(
                id: uuid(index), at: Instant(microseconds: start.microseconds + microseconds),
                offsetMinutes: zones.randomElement(using: &random) ?? 0)
        }
    }

    @Test(arguments: 0..<30) func anyZones(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let folder = try Folder()
        let database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
        let count = seed % 10 == 0 ? 11_000 : Int.random(in: 1...300, using: &random)
        let rows = try ArchivePropertyTests.rows(count, &random)
        database.insert(rows)
        if seed % 3 == 1 {
            database.execute("UPDATE request_logs SET timestamp = replace(timestamp, ' ', 'T') WHERE rowid % 3 = \(seed % 2)")
        }
        if seed % 5 == 2 {
            database.execute("UPDATE request_logs SET timestamp = substr(timestamp, 1, 19) WHERE rowid % 4 = 0")
        }
        let model = try ModelRow.all(database.path)
        let published = PublishedPlaces(upTo: model.last)
        let clock: any Clock = seed % 2 == 0 ? SystemClock() : HastyClock(stepMicroseconds: UInt64.random(in: 50...3000, using: &random))
        let archive = RequestArchive(path: database.path, published: published, clock: clock)
        for round in 0..<(count > 1000 ? 3 : 40) {
            let border = round == 0 ? model.count : Int.random(in: 0...model.count, using: &random)
            let instants = (0..<2).map { _ in
                (model.randomElement(using: &random)?.instant ?? Instant(microseconds: 0))
                    .advanced(byMilliseconds: Int64.random(in: -2...2, using: &random))
            }
            let from = round == 0 ? Instant(microseconds: 0) : instants[0]
            let until = round % 3 == 1 ? instants[1] : nil
            let expected = model[..<border].filter { row in row.instant >= from && until.map { row.instant < $0 } ?? true }
                .sorted(by: ModelRow.isBefore).map(\.id)
            let edge = HistoryEdge(model[border...].map(\.id))
            let limit = [1, 3, 100, 10_000].filter { count < 1000 || $0 > 10 }.randomElement(using: &random) ?? 1
            let events = try archive.all(from: from, until: until, edge: edge, limit: limit)
            let ids = try requestIDs(events)
            #expect(ids == expected, "seed \(seed), round \(round)")
            if ids != expected { return }
            #expect(try archive.count(from: from, until: until, max: 100_000) >= expected.count)
        }
    }
}
