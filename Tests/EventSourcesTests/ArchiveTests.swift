// Rows of before, case by case.

import Base
import Glibc
import Testing

@testable import EventSources

@Suite struct ArchiveTests {
    let folder: Folder
    let database: WritableDatabase
    let start: Instant

    init() throws {
        folder = try Folder()
        database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
        start = try #require(Instant(parsing: "2026-03-02T12:00:00Z"))
    }

    /// One row a second.
    func rows(_ numbers: Range<Int>) -> [TestRow] {
        numbers.map { TestRow(id: uuid($0), at: start.advanced(byMilliseconds: Int64($0) * 1000)) }
    }
    func ids(_ numbers: Range<Int>) -> [String] { numbers.map(uuid) }
    func edge(_ numbers: Range<Int>) -> HistoryEdge { HistoryEdge(ids(numbers)) }
    func model() throws -> [ModelRow] { try ModelRow.all(database.path) }
    func archive(_ published: PublishedPlaces) -> RequestArchive { RequestArchive(path: database.path, published: published) }
    func at(_ number: Int) -> Instant { start.advanced(byMilliseconds: Int64(number) * 1000) }

    @Test(arguments: [1, 7, 1000, 10_000]) func theFixtureInOrder(_ limit: Int) throws {
        let path = Fixture.path("gateway-small.db")
        let rows = try ModelRow.all(path)
        #expect(rows.count > 3000)
        #expect(rows != rows.sorted(by: ModelRow.isBefore), "some rows are older than the one before")
        let archive = RequestArchive(path: path, published: PublishedPlaces(upTo: rows.last))
        for (from, count) in [("2026-03-01T00:00:00Z", 3017), ("2026-03-02T14:00:00Z", 0), ("2026-03-02T14:29:00.001Z", 0)] {
            let from = try #require(Instant(parsing: from))
            let events = try archive.all(from: from, edge: .empty, limit: limit)
            let expected = rows.filter { $0.instant >= from }.sorted(by: ModelRow.isBefore)
            #expect(try requestIDs(events) == expected.map(\.id))
            #expect(events.map(\.timestamp) == expected.map(\.instant))
            if count > 0 { #expect(events.count == count) }
            #expect(try archive.count(from: from, max: 10_000) >= expected.count)
        }
    }

    @Test func theSameEventsAsLive() throws {
        let clock = ManualClock(start)
        let bench = Bench(database.path, clock: clock)
        bench.settle()
        var odd = rows(0..<50)
        odd[3].error = "o''ne \"bad\" thing: ж"
        odd[4].error = String(repeating: "x", count: 20_000)
        odd[5].provider = "none"
        database.insert(odd)
        bench.settle()
        let events = try archive(bench.published).all(from: start, edge: .empty)
        #expect(events.count == 50)
        #expect(events.map(\.data) == bench.sink.requests.map(\.data))
        #expect(events.allSatisfy { $0.kind == .request && $0.entry == nil })
    }

    @Test func onlyRowsBeforeHistory() throws {
        database.insert(rows(0..<20))
        let archive = archive(PublishedPlaces(upTo: try model().last))
        #expect(try requestIDs(archive.all(from: at(5), edge: edge(12..<20))) == ids(5..<12))
        #expect(try requestIDs(archive.all(from: at(5), edge: edge(0..<20))) == [])
        #expect(try requestIDs(archive.all(from: at(5), edge: edge(19..<20))) == ids(5..<19))
        #expect(try requestIDs(archive.all(from: at(5), until: at(9), edge: edge(12..<20))) == ids(5..<9))
        #expect(try requestIDs(archive.all(from: at(5), until: at(15), edge: edge(12..<20))) == ids(5..<12))
        #expect(try requestIDs(archive.all(from: at(25), edge: edge(12..<20))) == [])
    }

    @Test func untilMovesOn() throws {
        database.insert(rows(0..<20))
        let archive = archive(PublishedPlaces(upTo: try model().last))
        var position = archive.begin(from: at(0))
        for number in 1...25 {
            let events = try archive.rest(&position, until: at(number), edge: edge(15..<20))
            #expect(try requestIDs(events) == (number <= 15 ? ids(number - 1..<number) : []))
        }
        #expect(try archive.rest(&position, edge: .empty).count == 5)
    }

    @Test func upToWhatIsPublishedWhereHistoryHoldsNone() throws {
        database.insert(rows(0..<20))
        let rows = try model()
        let published = PublishedPlaces()
        let archive = archive(published)
        #expect(throws: ArchiveError.notBegun) { try archive.all(from: start, edge: .empty) }
        published.set(nil)
        #expect(try archive.all(from: start, edge: .empty).isEmpty)
        published.set(rows[11])
        #expect(try requestIDs(archive.all(from: at(5), edge: .empty)) == ids(5..<12))
        // Renumbered, and not yet noticed by the sampler.
        database.execute("DELETE FROM request_logs WHERE rowid % 2 = 0 AND rowid < 10")
        database.renumber()
        #expect(try requestIDs(archive.all(from: at(5), edge: .empty)) == [uuid(6)] + ids(8..<12))
        database.execute("DELETE FROM request_logs WHERE id = '\(uuid(11))'")
        #expect(throws: ArchiveError.notBegun) { try archive.all(from: start, edge: .empty) }
    }

    @Test func rowsPublishedMeanwhileAreNotGiven() throws {
        database.insert(rows(0..<10))
        var rows = try model()
        let published = PublishedPlaces(upTo: rows.last)
        let archive = archive(published)
        var position = archive.begin(from: start)
        // History is looked at here; the rows that come now are behind what was seen.
        database.insert(self.rows(10..<15))
        rows = try model()
        published.set(rows.last)
        var events = try archive.next(&position, edge: .empty, limit: 100)
        #expect(try requestIDs(events) == ids(0..<10))
        #expect(!position.isFinished, "history has to be looked at again")
        events = try archive.next(&position, edge: edge(12..<15), limit: 100)
        #expect(try requestIDs(events) == ids(10..<12))
        #expect(position.isFinished)
    }

    @Test func edgeRowsAreDeleted() throws {
        database.insert(rows(0..<30))
        let archive = archive(PublishedPlaces(upTo: try model().last))
        database.execute("DELETE FROM request_logs WHERE id IN (\(ids(18..<25).map { "'\($0)'" }.joined(separator: ",")))")
        #expect(try requestIDs(archive.all(from: at(10), edge: edge(20..<30))) == ids(10..<18))
        var position = archive.begin(from: at(10))
        #expect(try archive.next(&position, edge: edge(20..<30), limit: 3).count == 3)
        #expect(try requestIDs(archive.rest(&position, edge: edge(27..<30))) == ids(13..<18) + ids(25..<27))
        // History holds requests, the table none of them: everything published there is before history.
        #expect(try requestIDs(archive.all(from: at(26), edge: HistoryEdge(["gone", "too"]))) == ids(26..<30))
    }

    @Test func lateRowsComeLate() throws {
        var late = rows(0..<10)
        late[7].at = at(2).advanced(byMilliseconds: 1)
        late[8].at = at(0)
        late[9].at = at(-5)
        database.insert(late)
        let archive = archive(PublishedPlaces(upTo: try model().last))
        var position = archive.begin(from: at(0))
        #expect(try requestIDs(archive.next(&position, edge: edge(7..<10), limit: 4)) == ids(0..<4))
        #expect(!position.isFinished)
        // Before history now, and older than what was given; the last one is not asked for.
        #expect(try requestIDs(archive.rest(&position, edge: edge(10..<11))) == [uuid(8), uuid(7)] + ids(4..<7))
    }

    @Test(arguments: [false, true]) func manyLateRows(_ isRenumbered: Bool) throws {
        var late = rows(0..<5000)
        for index in 100..<5000 { late[index].at = at(3).advanced(byMilliseconds: Int64(5000 - index)) }
        database.insert(late)
        let archive = archive(PublishedPlaces(upTo: try model().last))
        var position = archive.begin(from: at(0))
        var found: [String] = []
        // A busy machine gives fewer at a time; row 20, which is deleted below, is to be among them.
        while found.count < 50 { found += try requestIDs(archive.next(&position, edge: edge(100..<101), limit: 50 - found.count)) }
        found += try requestIDs(archive.next(&position, edge: .empty, limit: 10))
        if isRenumbered {
            database.execute("DELETE FROM request_logs WHERE id = '\(uuid(20))'")
            database.renumber()
            archive.close()
        }
        found += try requestIDs(archive.rest(&position, edge: edge(4999..<5000)))
        #expect(found.count == 4999)
        #expect(Set(found) == Set(ids(0..<4999)))
    }

    /// More rows than are found ahead, so that the index is read again after rows of another zone have come.
    @Test(arguments: [-300, 330]) func aZoneThatComesLater(_ offset: Int64) throws {
        database.insert(rows(0..<9000))
        let archive = archive(PublishedPlaces(upTo: try model().last))
        var position = archive.begin(from: at(0))
        var found = try requestIDs(archive.next(&position, edge: HistoryEdge([uuid(8999)]), limit: 100))
        var other = rows(9000..<9010)
        for index in other.indices { other[index].offsetMinutes = offset }
        other[4].at = at(8000).advanced(byMilliseconds: 500)
        database.insert(other)
        found += try requestIDs(archive.rest(&position, edge: HistoryEdge([uuid(9009)])))
        #expect(found == ids(0..<8001) + [uuid(9004)] + ids(8001..<9004) + ids(9005..<9009))
    }

    @Test func tableIsMadeAnew() throws {
        let clock = ManualClock(start)
        database.insert(rows(0..<10))
        let bench = Bench(database.path, clock: clock)
        bench.settle()
        let archive = archive(bench.published)
        var position = archive.begin(from: start)
        #expect(try archive.next(&position, edge: .empty, limit: 4).count == 4)
        database.execute("DROP TABLE request_logs")
        #expect(throws: ArchiveError.self) { try archive.next(&position, edge: .empty, limit: 4) }
        bench.settle()
        let schema = try Fixture.text("schema.sql").split(separator: "\n").filter { $0.contains("`request_logs`") }
        schema.forEach { database.execute(String($0)) }
        bench.settle()
        database.insert(rows(20..<30))
        bench.settle()
        _ = try? archive.next(&position, edge: .empty, limit: 1)
        #expect(try requestIDs(archive.rest(&position, edge: edge(25..<30))) == ids(20..<25))
    }

    @Test func databaseIsNotThere() throws {
        let archive = RequestArchive(path: "\(folder.path)/none.db", published: PublishedPlaces())
        var position = archive.begin(from: start)
        #expect { try archive.next(&position, edge: .empty, limit: 1) } throws: {
            $0 as? ArchiveError == .unreadable("the database \(folder.path)/none.db does not exist")
        }
        #expect(throws: ArchiveError.self) { try archive.count(from: start, max: 10) }
        let other = try WritableDatabase("\(folder.path)/none.db")
        #expect(throws: ArchiveError.self) { try archive.next(&position, edge: .empty, limit: 1) }
        try other.createSchema()
        other.insert(rows(0..<3))
        #expect(throws: ArchiveError.notBegun) { try archive.next(&position, edge: .empty, limit: 1) }
        #expect(try requestIDs(archive.rest(&position, edge: edge(2..<3))) == ids(0..<2))
    }

    @Test func locked() throws {
        database.insert(rows(0..<10))
        let archive = archive(PublishedPlaces(upTo: try model().last))
        var position = archive.begin(from: start)
        #expect(try archive.next(&position, edge: .empty, limit: 4).count == 4)
        database.execute("BEGIN EXCLUSIVE")
        #expect { try archive.next(&position, edge: .empty, limit: 4) } throws: {
            if case .busy? = $0 as? ArchiveError { true } else { false }
        }
        // A time-out would fail this.
        database.execute("INSERT INTO request_logs (id, provider_id, timestamp) VALUES ('x', 'y', '2026')")
        database.execute("COMMIT")
        #expect(try requestIDs(archive.rest(&position, edge: .empty)) == ids(4..<10))
        #expect(database.attempt("DELETE FROM request_logs"), "no lock is left")
    }

    @Test func replacedByACopy() throws {
        database.insert(rows(0..<20))
        let archive = archive(PublishedPlaces(upTo: try model().last))
        var position = archive.begin(from: start)
        #expect(try archive.next(&position, edge: edge(15..<20), limit: 4).count == 4)
        database.execute("DELETE FROM request_logs WHERE rowid < 3")
        database.renumber()
        database.execute("VACUUM INTO '\(folder.path)/new.db'")
        #expect(rename("\(folder.path)/new.db", database.path) == 0)
        #expect(try requestIDs(archive.rest(&position, edge: edge(17..<20))) == ids(4..<17))
    }

    @Test func textsThatMakeNoSense() throws {
        database.insert(rows(0..<10))
        let texts = ["nonsense", "2026-03-02 12:00:0", "2026-03-02 12:00:01+99:00", "", "2026-13-01 00:00:00+00:00", "2027"]
        for (index, text) in texts.enumerated() {
            database.execute("INSERT INTO request_logs (id, provider_id, timestamp) VALUES ('odd\(index)', 'p', '\(text)')")
        }
        database.execute("INSERT INTO request_logs (provider_id, timestamp) VALUES ('p', '2026-03-02 12:00:05.5')")
        database.execute("INSERT INTO request_logs (id, provider_id, timestamp) VALUES ('t', 'p', '2026-03-02T14:00:06.5+02:00')")
        database.execute("INSERT INTO request_logs (id, provider_id, timestamp) VALUES ('z', 'p', '2026-03-02 12:00:07.5Z')")
        database.execute("INSERT INTO request_logs (id, provider_id, timestamp) VALUES (17, 'p', '2026-03-02 10:00:08.5-02:00')")
        database.insert(rows(10..<11))
        let archive = archive(PublishedPlaces(upTo: try model().last))
        #expect(
            try requestIDs(archive.all(from: at(0), edge: .empty)) == ids(0..<6) + ["", uuid(6), "t", uuid(7), "z", uuid(8), "17"] + ids(9..<11))
    }

    @Test func moreZonesThanThereAre() throws {
        for index in 0..<300 {
            database.execute(
                """
                INSERT INTO request_logs (id, provider_id, timestamp)
                VALUES ('\(index)', 'p', '2026-03-02 12:00:00+\(index / 60 + 10):\(index % 60 + 10 < 60 ? "\(index % 60 + 10)" : "00")')
                """)
        }
        let rows = try model()
        let archive = archive(PublishedPlaces(upTo: rows.last))
        let from = try #require(Instant(parsing: "2026-03-01T00:00:00Z"))
        let real = Set(rows.map(\.id)).subtracting((240..<300).map(String.init))
        #expect(real.isSubset(of: try requestIDs(archive.all(from: from, edge: .empty))))
    }

    @Test(arguments: [Int64.min, Int64.max, 0]) func anyInstant(_ microseconds: Int64) throws {
        database.insert(rows(0..<10))
        let archive = archive(PublishedPlaces(upTo: try model().last))
        let instant = Instant(microseconds: microseconds)
        #expect(try archive.all(from: instant, edge: .empty).count == (microseconds == .max ? 0 : 10))
        #expect(try archive.all(from: start, until: instant, edge: .empty).count == (microseconds == .max ? 10 : 0))
        _ = try archive.count(from: instant, until: instant, max: 5)
    }

    @Test func counting() throws {
        database.insert(rows(0..<100))
        let archive = archive(PublishedPlaces())
        #expect(try archive.count(from: at(50), max: 1000) == 50)
        #expect(try archive.count(from: at(50), until: at(60), max: 1000) >= 10)
        #expect(try archive.count(from: at(50), until: at(60), max: 1000) <= 12)
        #expect(try archive.count(from: at(50), max: 49) == 50)
        #expect(try archive.count(from: at(50), max: 0) == 1)
        #expect(try archive.count(from: at(100), max: 0) == 0)
    }

    @Test func thePlaceFollowsTheSampler() throws {
        let clock = ManualClock(start)
        let bench = Bench(database.path, enabled: EnabledSources(stats: false, providers: false, names: true), clock: clock)
        #expect(bench.published.request.withLock { $0 } == nil)
        bench.settle()
        #expect(bench.published.request.withLock { $0 } == RequestPlace(rowid: .min, id: nil))
        database.insert(rows(0..<10))
        database.putProvider("p1", name: "One", lastCheck: nil, updated: start)
        bench.settle()
        clock.advance(milliseconds: 500)
        bench.settle()
        #expect(bench.published.request.withLock { $0?.rowid } == 10)
        #expect(bench.names.id(of: "One") == "p1")
        database.execute("DELETE FROM request_logs WHERE rowid > 7")
        bench.settle()
        #expect(bench.published.request.withLock { $0?.rowid } == 7)
        database.execute("DELETE FROM request_logs")
        bench.settle()
        #expect(bench.published.request.withLock { $0 } == RequestPlace(rowid: .min, id: nil))
    }

    @Test func namesAlone() throws {
        database.putProvider("p1", name: "One", lastCheck: nil, updated: start)
        let bench = Bench(
            database.path, enabled: EnabledSources(stats: false, requests: false, providers: false, names: true), clock: ManualClock(start))
        #expect(!bench.names.isKnown)
        for _ in 0..<3 { #expect(bench.core.step() > 0, "nothing is left to be done at once") }
        #expect(bench.names.id(of: "One") == "p1")
        #expect(bench.names.id(of: "Two") == nil)
        #expect(bench.health.status().isEmpty)
        #expect(bench.published.request.withLock { $0 } == nil)
    }
}
