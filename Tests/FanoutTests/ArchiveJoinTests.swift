// Where the archive ends and history begins: each event once, in order, from the right place on, however fast history moves on.

import Base
import Glibc
import Protocol
import Synchronization
import TestSupport
import Testing

@testable import Fanout

/// A table in memory: what was "written" to it is published a little later, as by a source that follows it.
private final class Table: Archive {
    struct Row: Sendable {
        let number: Int
        let timestamp: Instant
    }
    struct State {
        var rows: [Row] = []
        /// How many of them have been published.
        var published = 0
        /// The next reads fail.
        var isBroken = false
        /// Whoever counts waits; how many do.
        var holdsCounts = false
        var counting = 0
    }
    let state = Locked(State())
    let channels: ChannelSet = ChannelSet(.requests)

    static func draft(_ row: Row) -> EventDraft {
        let data = #"{"request_id":"r\#(row.number)","n":\#(row.number),"provider_id":"p\#(row.number % 3)"}"#
        return EventDraft(channel: .requests, type: "request", timestamp: row.timestamp, data: Array(data.utf8), origin: .table)
    }

    final class Position: ArchivePosition {
        var next = 0
        let from: Instant
        let until: Instant?
        /// As it was before the caller looked at history.
        var published: Int
        init(_ from: Instant, _ until: Instant?, published: Int) {
            self.published = published
            self.from = from
            self.until = until
        }
    }

    final class Reader: ArchiveReader {
        let table: Table
        init(_ table: Table) { self.table = table }
        func begin(_ channels: ChannelSet, from: Instant, until: Instant?) -> any ArchivePosition {
            Position(from, until, published: table.state.withLock { $0.published })
        }
        func close() {}
        func settle() {
            // The rows that are there now, without a time-out: the writer goes on for sure.
            let count = table.state.withLock { $0.rows.count }
            var spin = Spin()
            while table.state.withLock({ $0.published }) < count { spin.wait() }
        }
        func count(_ channels: ChannelSet, from: Instant, max: Int) -> Int {
            table.state.withLock { $0.counting += 1 }
            var spin = Spin()
            while table.state.withLock({ $0.holdsCounts }) { spin.wait() }
            return table.state.withLock { min(max + 1, $0.rows.count { $0.timestamp >= from }) }
        }
        func next(_ position: any ArchivePosition, edge: HistoryView, limit: Int) -> ArchiveBatch {
            guard let position = position as? Position else { return ArchiveBatch(events: [], isFinished: true) }
            return table.state.withLock { state in
                if state.isBroken { return ArchiveBatch(events: [], isFinished: true, failures: [(.requests, "the table is broken")]) }
                // As the real ones: up to the first that history has, else up to the last published.
                let known = position.published
                position.published = state.published
                let first = edge.requestID(0).flatMap { Int(String(decoding: $0.dropFirst(), as: UTF8.self)) }
                let end = first ?? known
                var events: [EventDraft] = []
                while position.next < end, events.count < limit {
                    let row = state.rows[position.next]
                    position.next += 1
                    if row.timestamp >= position.from, position.until.map({ row.timestamp < $0 }) ?? true { events.append(Table.draft(row)) }
                }
                return ArchiveBatch(events: events, isFinished: position.next >= end && (first != nil || known == state.published))
            }
        }
    }
    func makeReader() -> any ArchiveReader { Reader(self) }
}

@Suite struct ArchiveJoinTests {
    /// Rows flow, history holds only some of them, and clients come at any time and ask for more than it holds.
    @Test(arguments: testSeeds(6))
    func eachRowOnceFromTheRightPlace(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var limits = Limits()
        limits.historyEventsMax = generator.pick([16, 64, 400, 10_000])
        limits.sendBufferBytes = generator.pick([4096, 131_072])
        limits.ringSpansMax = generator.pick([2, 16, 256])
        let clock = ManualClock()
        let table = Table()
        let rig = try Rig(limits, shards: 2, clock: clock)
        rig.hub.setArchive(table)
        // Before the daemon's time: an hour of rows.
        let begin = clock.now().advanced(byMilliseconds: -3_600_000)
        let old = 500
        table.state.withLock { state in
            state.rows = (0..<old).map { Table.Row(number: $0, timestamp: begin.advanced(byMilliseconds: Int64($0) * 7000)) }
            state.published = old
        }
        let total = old + 1500
        let failures = SharedFailures()
        try onThreads(9) { role in
            failures.catching {
                var generator = SeededGenerator(seed: seed &* 100 &+ UInt64(role))
                if role == 0 {
                    try ArchiveJoinTests.write(until: total, to: table, rig.hub, clock, &generator)
                    rig.publishMarker()
                    return
                }
                for _ in 0..<3 {
                    let first = generator.int(0..<old + 200)
                    let since = table.state.withLock { $0.rows[min(first, $0.rows.count - 1)] }
                    let only = generator.chance(30) ? generator.int(0..<3) : nil
                    let filter = ModelFilter([.requests], only.map { ["provider_id": "p\($0)"] } ?? [:])
                    let client = try rig.subscribe(try filter.subscription(), to: role % 2) {
                        $0.replay = ReplayRequest(since: .instant(since.timestamp))
                    }
                    let stops = generator.chance(30)
                    var expected = since.number
                    var isCaughtUp = false
                    var isOver = false
                    while let message = try client.message() {
                        let type = message["type"]?.string
                        if type == "marker" {
                            isOver = true
                            if isCaughtUp { break }
                            continue
                        }
                        if type == "caught_up" {
                            guard !isCaughtUp else { throw TestFailure("caught up twice") }
                            isCaughtUp = true
                            if stops || isOver { break }
                            continue
                        }
                        if type == "gap", message["data"]?["reason"]?.string == "slow_consumer", message["data"]?["channels"] == .array([.string("requests")]),
                            let dropped = message["data"]?["dropped"]?.int
                        {
                            // A client that history has left behind, as it may any: the count is what matters.
                            for _ in 0..<dropped {
                                if let only { while expected % 3 != only { expected += 1 } }
                                expected += 1
                            }
                            continue
                        }
                        guard type == "request", let number = message["data"]?["n"]?.int else { throw TestFailure("\(message)") }
                        if let only { while expected % 3 != only { expected += 1 } }
                        guard number == expected else { throw TestFailure("\(number) instead of \(expected), since \(since.number)") }
                        if message["id"] == nil, isCaughtUp { throw TestFailure("\(number) has no id behind caught_up") }
                        expected = number + 1
                    }
                    guard isCaughtUp else { throw TestFailure("never caught up") }
                    if isOver, expected < total - 3 { throw TestFailure("ends at \(expected) of \(total)") }
                    client.end()
                    if !stops { return }
                }
            }
        }
        #expect(failures.all == [], "seed \(seed): history \(limits.historyEventsMax)")
        try rig.waitForClients(0)
        #expect(rig.imbalance() == nil, "seed \(seed)")
        #expect(rig.hub.replays.running.load(ordering: .relaxed) == 0)
    }

    private static func write(until total: Int, to table: Table, _ hub: Hub, _ clock: ManualClock, _ generator: inout SeededGenerator) throws {
        while true {
            let count = generator.int(1...12)
            let isDone = table.state.withLock { state in
                for _ in 0..<count where state.rows.count < total {
                    clock.advance(.milliseconds(1))
                    state.rows.append(Table.Row(number: state.rows.count, timestamp: clock.now()))
                }
                return state.rows.count == total
            }
            // As a source does: rows are in the table before they are published, and known as published only after that.
            let fresh = table.state.withLock { Array($0.rows[$0.published...]) }
            hub.publish(fresh.map(Table.draft))
            table.state.withLock { $0.published += fresh.count }
            if isDone { return }
        }
    }

    // MARK: rows from before the beginning

    /// Rows older than the beginning are not this client's while it is not known yet from where on they are live: it has not lost them
    /// when history lets go of them before the replay has begun. From there on it has.
    /// Nor are they given where the subscription has been changed in between.
    @Test(arguments: [false, true]) func rowsBeforeTheBeginningAreNotLost(changes: Bool) throws {
        var limits = Limits()
        limits.historyEventsMax = 16
        let clock = ManualClock()
        let rig = try Rig(limits, shards: 1, clock: clock)
        let table = Table()
        rig.hub.setArchive(table)
        let begin = clock.now()
        func write(_ instants: [Int]) -> [Table.Row] {
            table.state.withLock { state in
                let first = state.rows.count
                state.rows += instants.enumerated().map {
                    Table.Row(number: first + $0.offset, timestamp: begin.advanced(byMilliseconds: Int64($0.element)))
                }
                return Array(state.rows[first...])
            }
        }
        func publish(_ rows: [Table.Row]) {
            rig.hub.publish(rows.map(Table.draft))
            rig.settle()
        }
        // Ten rows are written, and not published yet; the replay begins with the last of them.
        let early = write(Array(0..<10))
        clock.advance(.milliseconds(100))
        table.state.withLock { $0.holdsCounts = true }
        defer { table.state.withLock { $0.holdsCounts = false } }
        let client = try rig.subscribe(ModelFilter([.requests]).subscription()) {
            $0.replay = ReplayRequest(since: .instant(early[9].timestamp))
        }
        rig.settle()
        // History lets go of them before the replay's thread has seen them published.
        publish(early)
        if changes {
            try client.send(#"{"type":"subscribe","data":{"channels":["logs"]}}"#)
            try client.send(#"{"type":"ping"}"#)
            #expect(try client.message()?["type"]?.string == "pong")
        }
        publish(write(Array(10..<60)))
        #expect(rig.total(.dropped) == 0)
        table.state.withLock { $0.published = 60 }
        // What comes now is live, however old it says it is; two of these rows no history keeps, and the archive has them before the begin.
        try waitUntil("the replay does not look for its begin") { table.state.withLock { $0.counting } == 1 }
        publish(write([1, 2] + Array(60..<100)))
        #expect(rig.total(.dropped) == 2)
        table.state.withLock { state in
            state.published = state.rows.count
            state.holdsCounts = false
        }
        rig.publishMarker()
        var numbers: [Int] = []
        var dropped: [Int?] = []
        var isCaughtUp = false
        while let message = try client.message(), message["type"]?.string != "marker" {
            switch message["type"]?.string {
            case "gap": dropped.append(message["data"]?["dropped"]?.int)
            case "caught_up": isCaughtUp = true
            default: numbers.append(message["data"]?["n"]?.int ?? -1)
            }
        }
        #expect(numbers == Array(9..<60) + Array(62..<102))
        #expect(dropped == [2])
        #expect(isCaughtUp)
        client.end()
        try rig.waitForClients(0)
        #expect(rig.imbalance() == nil)
    }

    // MARK: numbers and failures

    private func filled(_ rows: Int, _ change: (inout Limits) -> Void = { _ in }) throws -> (rig: Rig, table: Table, clock: ManualClock) {
        var limits = Limits()
        change(&limits)
        let clock = ManualClock()
        let rig = try Rig(limits, shards: 1, clock: clock)
        let table = Table()
        rig.hub.setArchive(table)
        table.state.withLock { state in
            state.rows = (0..<rows).map {
                // Two of each second.
                Table.Row(number: $0, timestamp: clock.now().advanced(byMilliseconds: -Int64((rows - $0 + 1) / 2) * 1000))
            }
            state.published = rows
        }
        return (rig, table, clock)
    }

    private func numbers(_ rig: Rig, since: Instant, last: Int?, _ filter: ModelFilter = ModelFilter([.requests])) throws
        -> (numbers: [Int], gaps: [JSON])
    {
        let client = try rig.subscribe(try filter.subscription()) { $0.replay = ReplayRequest(since: .instant(since), last: last) }
        var numbers: [Int] = []
        var gaps: [JSON] = []
        while let message = try client.message(), message["type"]?.string != "caught_up" {
            if message["type"]?.string == "gap" { gaps.append(message) } else { numbers.append(message["data"]?["n"]?.int ?? -1) }
        }
        return (numbers, gaps)
    }

    /// The last N of an archive, also where several events have one instant, and across archive and history.
    @Test(arguments: [0, 1, 2, 3, 7, 50, 99, 100, 101, 200, 5000])
    func lastOfAnArchive(last: Int) throws {
        let (rig, table, clock) = try filled(200)
        let rows = table.state.withLock { $0.rows }
        rig.hub.publish((200..<210).map { Table.draft(Table.Row(number: $0, timestamp: clock.now())) })
        table.state.withLock { state in
            state.rows += (200..<210).map { Table.Row(number: $0, timestamp: clock.now()) }
            state.published = 210
        }
        let result = try numbers(rig, since: rows[50].timestamp, last: last)
        #expect(result.numbers == Array(Array(50..<210).suffix(last)))
        #expect(result.gaps.isEmpty)
    }

    @Test func boundedAndTold() throws {
        let (rig, table, _) = try filled(200) { $0.replayEventsMax = 30 }
        let rows = table.state.withLock { $0.rows }
        let result = try numbers(rig, since: rows[0].timestamp, last: nil)
        #expect(result.numbers == Array(170..<200))
        let gap = try #require(result.gaps.first)
        #expect(gap["data"]?["reason"]?.string == "history_expired")
        #expect(gap["data"]?["from"]?.string == rows[0].timestamp.rfc3339)
        #expect(gap["data"]?["until"]?.string == rows[170].timestamp.rfc3339)
        #expect(gap["data"]?["dropped"] == nil)
    }

    @Test func brokenArchiveIsTold() throws {
        let (rig, table, clock) = try filled(200)
        table.state.withLock { $0.isBroken = true }
        rig.hub.publish([Table.draft(Table.Row(number: 200, timestamp: clock.now()))])
        let result = try numbers(rig, since: clock.now().advanced(byMilliseconds: -60_000), last: nil)
        #expect(result.numbers == [200])
        #expect(result.gaps.count == 1 && result.gaps[0]["data"]?["channels"] == .array([.string("requests")]))
    }

    /// While a replay is read, nothing is said to be settled; then a second one may be asked for.
    @Test func oneAtATime() throws {
        let (rig, _, clock) = try filled(20_000) { $0.sendBufferBytes = 4096 }
        let client = try rig.subscribe(ModelFilter([.logs]))
        let since = clock.now().advanced(byMilliseconds: -86_400_000).rfc3339
        try client.send(#"{"type":"subscribe","data":{"channels":["requests"],"since":"\#(since)"}}"#)
        try client.send(#"{"type":"subscribe","id":"2","data":{"channels":["logs"],"history":5}}"#)
        try client.send(#"{"type":"ping","id":"3"}"#)
        var answers: [String] = []
        var count = 0
        while let message = try client.message(), message["type"]?.string != "caught_up" {
            switch message["type"]?.string {
            case "request": count += 1
            case "error":
                answers.append(message["data"]?["code"]?.string ?? "")
                #expect(message["id"]?.string == "2")
            case "pong": answers.append(message["data"]?["position"]?.string ?? "no position")
            default: answers.append("\(message)")
            }
        }
        #expect(count == 20_000)
        #expect(answers == ["rate_limited", "no position"])
        try client.send(#"{"type":"subscribe","id":"4","data":{"channels":["logs"],"history":5}}"#)
        #expect(try client.message()?["type"]?.string == "ack")
        #expect(try client.message()?["type"]?.string == "caught_up")
    }
}
