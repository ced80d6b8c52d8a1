// Replays that are asked for while the client is behind already, and input that rests while one runs.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct ReplayWhileBehindTests {
    private let clock = ManualClock()

    private func draft(_ number: Int, pad: Int = 2000, _ channel: Channel = .logs) -> EventDraft {
        let text = String(repeating: "p", count: pad)
        return EventDraft(channel: channel, type: "note", timestamp: clock.now(), data: Array(#"{"n":\#(number),"pad":"\#(text)"}"#.utf8))
    }

    private func change(_ rig: Rig, _ client: SocketClient, _ text: String) throws {
        let before = rig.sum { $0.messagesReceived.load(ordering: .relaxed) }
        try client.send(text)
        try waitUntil("the message is taken") { rig.sum { $0.messagesReceived.load(ordering: .relaxed) } == before + 1 }
        rig.settle()
    }

    /// A client that fell behind, has been given a part of what waited, and then asks for events of before.
    @Test(arguments: [#""since":"E-0""#, #""history":10000"#], [true, false])
    func replayWhileBehind(wish: String, changesFilter: Bool) throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        limits.ringSpansMax = 1
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        for number in 0..<200 { rig.hub.publish([draft(number), draft(1000 + number, .requests)]) }
        rig.settle()
        // Half of it.
        for number in 0..<100 { #expect(try client.message()?["data"]?["n"]?.int == number) }
        rig.settle()
        #expect(rig.imbalance() == nil)
        let filter = changesFilter ? #","filters":{"logs":{"q":""}}"# : ""
        let text = #"{"type":"subscribe","data":{"channels":["logs"\#(changesFilter ? #","providers""# : "")],\#(wish)\#(filter)}}"#
        try change(rig, client, text.replacing("E-", with: "\(rig.hub.epoch)-"))
        var numbers: [Int] = []
        while let message = try client.message(), message["type"]?.string != "caught_up" { numbers.append(message["data"]?["n"]?.int ?? -1) }
        // The rest of what was in the socket and the ring, then everything from the first on.
        let begin = numbers.firstIndex(of: 0) ?? 0
        #expect(Array(numbers[begin...]) == Array(0..<200))
        rig.settle()
        #expect(rig.imbalance() == nil)
    }
}

extension ReplayWhileBehindTests {
    /// Input that rested because the outbox was full goes on when that has room, not when the client is level.
    @Test func inputRestsNoLongerThanItsCause() throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        limits.outboxBytesMax = 2000
        limits.ringSpansMax = 16
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        // With others between, so that the ring fills and the client falls behind.
        for number in 0..<1000 { rig.hub.publish([draft(number), draft(number, pad: 10, .requests)]) }
        rig.settle()
        let id = String(repeating: "i", count: 200)
        for number in 0..<30 { try client.send(#"{"type":"ping","id":"\#(id)\#(number)"}"#) }
        try waitUntil("input rests") { rig.sum { $0.messagesReceived.load(ordering: .relaxed) } >= 5 }
        rig.settle()
        var before = 0
        while let message = try client.message(), message["id"]?.string != id + "29" { if message["type"]?.string == "note" { before += 1 } }
        #expect(before < 900, "all that waited came before the last answer")
        rig.settle()
        #expect(rig.imbalance() == nil)
    }
}

extension ReplayWhileBehindTests {
    /// Events that a client has asked for and not been given are not settled.
    @Test func welcomeBeforeAReplay() throws {
        let rig = try Rig(Limits(), shards: 1, clock: clock)
        for number in 0..<20 { rig.hub.publish([draft(number, pad: 10)]) }
        rig.settle()
        let client = try rig.subscribe(try ModelFilter([.logs]).subscription()) {
            $0.welcomes = true
            $0.replay = ReplayRequest(since: .id(epoch: rig.hub.epoch.description, sequence: 5))
        }
        let position = try client.message(ofType: "welcome")["data"]?["position"]?.string
        #expect(position == nil || position == rig.hub.epoch.id(5))
    }

    /// A read that had no time to find anything is not the end of a window.
    @Test(arguments: [1, 10, 30]) func theLastOnesOfASlowArchive(last: Int) throws {
        let rig = try Rig(Limits(), shards: 1, clock: clock)
        rig.hub.setArchive(WideTable(rows: 40, bytes: 10, clock.now().advanced(byMilliseconds: -50_000), stutters: true))
        let client = try rig.subscribe(try ModelFilter([.requests]).subscription()) {
            $0.replay = ReplayRequest(since: .ago(milliseconds: 3_600_000), last: last)
        }
        var count = 0
        while let message = try client.message(), message["type"]?.string != "caught_up" { count += 1 }
        #expect(count == last)
    }
}

extension ReplayWhileBehindTests {
    /// A wish for events of before takes nothing from who has been subscribed all along.
    @Test func aWishDoesNotHoldBackWhatIsLive() throws {
        let rig = try Rig(Limits(), shards: 1, clock: clock)
        let table = WideTable(rows: 4, bytes: 10, clock.now().advanced(byMilliseconds: -50_000))
        let isSettled = Locked(false)
        table.settling.withLock { $0 = { while !isSettled.withLock({ $0 }) {} } }
        rig.hub.setArchive(table)
        let client = try rig.subscribe(ModelFilter([.requests]))
        try change(rig, client, #"{"type":"subscribe","data":{"channels":["requests"],"since":"1s"}}"#)
        // A request that has taken five seconds, written now.
        rig.hub.publish([
            EventDraft(
                channel: .requests, type: "request", timestamp: clock.now().advanced(byMilliseconds: -5000),
                data: Array(#"{"request_id":"x","n":7}"#.utf8), origin: .table)
        ])
        isSettled.withLock { $0 = true }
        try waitUntil("the replay has ended") { rig.hub.replays.running.load(ordering: .relaxed) == 0 }
        rig.settle()
        rig.publishMarker()
        var numbers: [Int] = []
        while let message = try client.message(), message["type"]?.string != "marker" {
            if let number = message["data"]?["n"]?.int { numbers.append(number) }
        }
        #expect(numbers == [7])
    }
}

/// Rows of a size, all before history.
final class WideTable: Archive {
    let channels: ChannelSet = ChannelSet(.requests)
    let rows: [EventDraft]
    let settling = Locked<@Sendable () -> Void>({})
    /// Each position's first read finds nothing.
    let stutters: Bool
    init(rows: Int, bytes: Int, _ begin: Instant, stutters: Bool = false) {
        self.stutters = stutters
        let pad = String(repeating: "w", count: bytes)
        self.rows = (0..<rows).map {
            EventDraft(
                channel: .requests, type: "request", timestamp: begin.advanced(byMilliseconds: Int64($0)),
                data: Array(#"{"request_id":"r\#($0)","pad":"\#(pad)"}"#.utf8), origin: .table)
        }
    }
    final class Place: ArchivePosition {
        var rows: ArraySlice<EventDraft>
        var isFresh = true
        init(_ rows: [EventDraft]) { self.rows = rows[...] }
    }
    final class Reader: ArchiveReader {
        let table: WideTable
        init(_ table: WideTable) { self.table = table }
        func begin(_ channels: ChannelSet, from: Instant, until: Instant?) -> any ArchivePosition {
            Place(table.rows.filter { $0.timestamp >= from && isBefore($0.timestamp, until) })
        }
        func settle() { table.settling.withLock { $0 }() }
        func close() {}
        func count(_ channels: ChannelSet, from: Instant, max: Int) -> Int { min(table.rows.count, max + 1) }
        func next(_ position: any ArchivePosition, edge: HistoryView, limit: Int) -> ArchiveBatch {
            guard let place = position as? Place else { return ArchiveBatch(events: [], isFinished: true) }
            defer { place.isFresh = false }
            if table.stutters, place.isFresh { return ArchiveBatch(events: [], isFinished: false) }
            let events = Array(place.rows.prefix(limit))
            place.rows = place.rows.dropFirst(limit)
            return ArchiveBatch(events: events, isFinished: place.rows.isEmpty)
        }
    }
    func makeReader() -> any ArchiveReader { Reader(self) }
}

private func isBefore(_ instant: Instant, _ end: Instant?) -> Bool { end.map { instant < $0 } ?? true }
