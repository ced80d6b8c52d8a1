// The archive beside a live reader: what is read from it, what history holds and what comes live later is every row once.

import Base
import TestSupport
import Testing

@testable import EventSources

@Suite struct ArchiveJoinTests {
    @Test(arguments: 0..<20) func everyRowOnce(_ seed: UInt64) throws { try Joining(seed: seed, isWild: false).run() }

    @Test(arguments: 1000..<1030) func everyRowOnceWhileTheTableChanges(_ seed: UInt64) throws { try Joining(seed: seed, isWild: true).run() }
}

/// A gateway that writes, a sampler, a history that forgets, and those who ask for what was before; step by step.
private final class Joining {
    /// Someone who reads the archive in steps, then has history, then what is live.
    struct Reader {
        let from: Instant
        var position: RequestArchive.Position
        var received: [String] = []
        /// How many events had been published when history was joined.
        var joined: Int?
        /// History as it was looked at before the next step; nil: not yet.
        var looked: Range<Int>?
    }

    let seed: UInt64
    /// Whether rows are deleted and renumbered, too.
    let isWild: Bool
    var random: SeededGenerator
    let folder: Folder
    let database: WritableDatabase
    let clock: ManualClock
    let bench: Bench
    let archive: RequestArchive

    /// Every row ever written.
    var written: [String: Instant] = [:]
    var published: [String] = []
    /// The first event that history still holds.
    var first = 0
    var readers: [Reader] = []

    init(seed: UInt64, isWild: Bool) throws {
        self.seed = seed
        self.isWild = isWild
        random = SeededGenerator(seed: seed)
        folder = try Folder()
        database = try WritableDatabase("\(folder.path)/gateway.db")
        try database.createSchema()
        clock = try ManualClock("2026-03-02T12:00:00Z")
        bench = Bench(database.path, clock: clock)
        let step = UInt64.random(in: 50...3000, using: &random)
        archive = RequestArchive(
            path: database.path, published: bench.published,
            clock: seed % 2 == 0 ? SystemClock() : HastyClock(stepMicroseconds: step))
    }

    func run() throws {
        insert(upTo: 200)
        try settle()
        for _ in 0..<100 {
            clock.advance(milliseconds: number(0...3000))
            try act()
            if Bool.random(using: &random) { try settle() }
        }
        try settle()
        for index in readers.indices {
            for _ in 0..<10_000 where readers[index].joined == nil { try step(index) }
        }
        try settle()
        try check()
    }

    private func number<Value: FixedWidthInteger>(_ range: ClosedRange<Value>) -> Value { Value.random(in: range, using: &random) }

    private func act() throws {
        switch number(0...(isWild ? 14 : 9)) {
        case 0...3: insert(upTo: [2, 8, 60][number(0...2)])
        case 4: try settle()
        case 5: first = number(first...published.count)
        case 6: first = published.count
        case 7:
            let from = clock.now().advanced(byMilliseconds: -number(0...60_000))
            readers.append(Reader(from: from, position: archive.begin(from: from)))
        case 10: database.execute("DELETE FROM request_logs WHERE abs(random() % 10) = 0")
        case 11: database.renumber()
        case 12: database.execute("VACUUM")
        case 13: database.execute("DELETE FROM request_logs WHERE rowid > (SELECT max(rowid) FROM request_logs) - \(number(1...5))")
        case 14: database.execute("DELETE FROM request_logs WHERE rowid <= (SELECT max(rowid) FROM request_logs) * \(number(0...6)) / 6")
        default: for index in readers.indices { try step(index) }
        }
    }

    private func insert(upTo count: Int) {
        var rows: [TestRow] = []
        for _ in 0..<number(1...count) {
            let at = clock.now().advanced(byMilliseconds: -number(0...number(1...20_000)))
            let offset: Int64 = [0, 0, 60, -300][number(0...3)]
            let row = TestRow(id: uuid(written.count), at: at, offsetMinutes: offset)
            written[row.id] = at
            rows.append(row)
        }
        database.insert(rows)
    }

    private func settle() throws {
        bench.run(milliseconds: 100)
        published += try requestIDs(Array(bench.sink.requests.dropFirst(published.count)))
    }

    /// Lets a reader look at history, or read on before what it saw there; things may happen in between.
    private func step(_ index: Int) throws {
        guard readers[index].joined == nil else { return }
        guard let history = readers[index].looked else {
            readers[index].looked = first..<published.count
            if Bool.random(using: &random) { return }
            return try step(index)
        }
        readers[index].looked = nil
        let limit: Int = number(1...60)
        let events: [SourceEvent]
        do {
            events = try archive.next(&readers[index].position, edge: HistoryEdge(published[history]), limit: limit)
        } catch let error {
            #expect(error == .notBegun)
            return try settle()
        }
        readers[index].received += try requestIDs(events)
        guard readers[index].position.isFinished else { return }
        readers[index].received += published[history].filter { isAskedFor($0, index) }
        readers[index].joined = history.upperBound
    }

    private func isAskedFor(_ id: String, _ index: Int) -> Bool { written[id].map { $0 >= readers[index].from } ?? false }

    private func check() throws {
        let present = Set(try ModelRow.all(database.path).map(\.id))
        for (index, reader) in readers.enumerated() {
            let joined = try #require(reader.joined, "seed \(seed), reader \(index) never came to an end")
            let received = reader.received + published[joined...].filter { isAskedFor($0, index) }
            let expected = Set(written.keys.filter { isAskedFor($0, index) })
            let doubles = Set(Dictionary(received.map { ($0, 1) }, uniquingKeysWith: +).filter { $0.value > 1 }.keys)
            #expect(doubles.isEmpty, "seed \(seed), reader \(index)")
            let missing = (isWild ? expected.intersection(present) : expected).subtracting(received)
            #expect(missing.isEmpty, "seed \(seed), reader \(index)")
            #expect(expected.isSuperset(of: received), "seed \(seed), reader \(index)")
        }
    }
}
