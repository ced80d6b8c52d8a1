// Clients that read Server-Sent Events: what is theirs alone. That they get the same events is in the tests of delivery and of slow consumers, which have
// both kinds.

import Base
import Glibc
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct EventStreamTests {
    /// Two seconds, and six.
    private static let interval = 8
    private static let timeout = 24
    private let clock = ManualClock()

    private var limits: Limits {
        var limits = Limits()
        limits.heartbeatInterval = .milliseconds(EventStreamTests.interval * Wheel.tickMilliseconds)
        limits.clientTimeout = .milliseconds(EventStreamTests.timeout * Wheel.tickMilliseconds)
        limits.sendBufferBytes = 4096
        limits.historyEventsMax = 100
        return limits
    }

    private func stream(_ rig: Rig, _ channels: Set<Channel> = [.logs], change: (inout Upgrade) -> Void = { _ in }) throws -> SocketClient {
        try rig.subscribe(try ModelFilter(channels).subscription(), as: .eventStream, change: change)
    }

    /// Each frame is one event with the message as it is in history; whatever is in type and data.
    @Test(arguments: testSeeds(3))
    func framesAreEvents(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let types = ["log", "a\nb", "\u{0}\u{1}", "quote\"back\\", "ü🚀", String(repeating: "\n", count: 128), " x ", "data: forged"]
        let drafts = (0..<100).map { number -> EventDraft in
            var draft = ModelEvent.random(number: number, using: &generator).draft
            draft.type = generator.pick(types)
            return draft
        }
        let segment = segment(of: drafts)
        let frames = segment.spanFrames(.eventStream)
        var parser = StreamParser()
        for (index, draft) in drafts.enumerated() {
            let bytes = frames.bytes(of: frames.place(of: index, segment))
            let events = bytes.compactMap { parser.take($0) }
            #expect(events.count == 1 && parser.blocks == index + 1, "seed \(seed)")
            #expect(events.first?.type == draft.type.replacing("\n", with: " "))
            #expect(events.first?.data == String(decoding: segment.text(of: segment.entry(at: index).pointee.json), as: UTF8.self))
            #expect(events.first?.lastID.hasSuffix("-\(index + 1)") == true)
        }
    }

    @Test func answer() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        rig.hub.publish([draft(.logs, "1"), draft(.logs, "2")])
        let client = try rig.connect()
        var upgrade = Upgrade(encoding: .eventStream, subscription: try ModelFilter([.logs]).subscription())
        upgrade.fields = [("Access-Control-Allow-Origin", "https://dash.example")]
        upgrade.welcomes = true
        let target = rig.desk.register(upgrade)
        let answer = try client.beginStream(target)
        #expect(
            answer.head.split(separator: "\r\n").dropFirst() == [
                "content-type: text/event-stream", "cache-control: no-cache, no-transform", "x-accel-buffering: no", "vary: accept-encoding",
                "access-control-allow-origin: https://dash.example", "connection: close",
            ])
        // A place to come back to, before there is any event.
        #expect(client.stream?.lastID == "ml9bes00-2")
        #expect((2000...4000).contains(client.stream?.retryMilliseconds ?? 0))
        let welcome = try #require(try client.event())
        #expect(welcome.type == "welcome" && welcome.lastID == "ml9bes00-2")
        let head = try rig.connect()
        let told = try #require(try head.request("HEAD", target))
        #expect(told.status == 200 && told.head == answer.head)
        #expect(try !head.hasInput() || head.frame() == nil)
        #expect(rig.hub.clientCount == 1)
        #expect(rig.shards[0].metrics.presentClients(by: .eventStream) == 1 && rig.shards[0].metrics.presentClients(by: .webSocket) == 0)
        #expect(rig.shards[0].queue.sync { rig.shards[0].describeClients().map(\.encoding.spoken) } == [.eventStream])
    }

    /// It says nothing, and lives; each interval it is told its place, also where it is given nothing that has ids.
    @Test func heartbeat() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try stream(rig, [.providers])
        let json = try stream(rig, [.providers]) { $0.heartbeatIsJSON = true }
        rig.hub.publish([draft(.requests, "{}"), draft(.requests, "{}")])
        rig.settle()
        rig.pass(EventStreamTests.timeout * 3, on: clock)
        #expect(rig.hub.clientCount == 2)
        rig.publishMarker()
        #expect(try client.event()?.type == "marker")
        let beats = client.stream?.comments ?? []
        #expect((8...10).contains(beats.count) && Set(beats) == [" heartbeat"])
        let ping = try #require(try json.event())
        #expect(ping.type == "ping" && ping.lastID == "ml9bes00-2")
        #expect(json.stream?.comments == [])
    }

    /// A place that is told between events is the one in front of the next.
    @Test func placeOfWhoIsGivenNothing() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try stream(rig, [.providers])
        for _ in 0..<300 { rig.hub.publish([draft(.logs, "{}")]) }
        rig.settle()
        rig.pass(EventStreamTests.interval, on: clock)
        // Without an event, the blocks are read by waiting for the next one.
        rig.hub.updateProviders([(id: "p", timestamp: Instant(milliseconds: 0), data: Array("{}".utf8))])
        let state = try #require(try client.event())
        #expect(state.type == "provider_status" && state.lastID == "ml9bes00-300")
    }

    @Test func whoTakesNothingIsEnded() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try stream(rig)
        for number in 0..<200 { rig.hub.publish([draft(.logs, #"{"n":\#(number),"t":"\#(String(repeating: "x", count: 500))"}"#)]) }
        rig.settle()
        rig.pass(EventStreamTests.timeout + 2 * EventStreamTests.interval, on: clock)
        #expect(rig.hub.clientCount == 0)
        #expect(rig.shards[0].metrics.ends.count(.stuck) == 1)
        #expect(rig.imbalance() == nil)
        client.end()
    }

    /// What it says is counted and heeded no further; too much of it is a flood.
    @Test func inputIsIgnoredWithinBounds() throws {
        var limits = limits
        limits.bytesPerSecond = 10_000
        limits.messageBytesMax = 1000
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try stream(rig)
        try client.write("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try client.send(#"{"type":"subscribe","data":{"channels":["all"]}}"#)
        try client.sendClose()
        rig.hub.publish([draft(.requests, "1"), draft(.logs, "2")])
        #expect(try client.event()?.lastID == "ml9bes00-2")
        try client.write([UInt8](repeating: 0xFF, count: 12_000))
        #expect(try client.message() == nil)
        #expect(client.closeCode == 4013)
        #expect(try client.event() == nil)
    }

    @Test func whoEndsItsSideHasLeft() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        for number in 0..<4 {
            let client = try stream(rig)
            try rig.waitForClients(1)
            if number % 2 == 0 { client.endWriting() } else { client.end() }
            try rig.waitForClients(0)
        }
        #expect(rig.shards[0].metrics.ends.count(.closedByClient) == 4)
        #expect(rig.shards[0].metrics.presentClients(by: .eventStream) == 0 && rig.shards[0].metrics.clients(by: .eventStream) == 4)
    }

    /// The last words end the stream: nothing waits for an answer to them.
    @Test func lastWords() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try stream(rig)
        let id = try #require(rig.shards[0].queue.sync { rig.shards[0].describeClients().first?.id })
        rig.shards[0].queue.sync { _ = rig.shards[0].disconnect(id) }
        let event = try #require(try client.event())
        #expect(event == StreamEvent(type: "close", data: #"{"code":4505,"reason":"disconnected by an admin"}"#, lastID: "ml9bes00-0"))
        #expect(try client.event() == nil, "our side has ended")
        client.end()
        try rig.waitForClients(0)
    }

    /// A `drain` has the place and the delay; then comes what waits, then the end.
    @Test(arguments: [0, 50])
    func drain(waiting: Int) throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try stream(rig)
        for number in 0..<waiting { rig.hub.publish([draft(.logs, #"{"n":\#(number),"t":"\#(String(repeating: "x", count: 500))"}"#)]) }
        rig.settle()
        #expect(try rig.drain() == 1)
        var types: [String] = []
        var last: StreamEvent?
        while let event = try client.event() {
            if event.type == "drain" {
                let delay = try JSON(parsing: event.data)["data"]?["reconnect_in_ms"]?.int
                #expect(delay == client.stream?.retryMilliseconds && (0...1004).contains(delay ?? -1))
            }
            types.append(event.type)
            last = event
        }
        #expect(types.filter { $0 == "note" }.count == waiting)
        #expect(types.filter { $0 == "drain" }.count == 1 && types.last == "close")
        #expect(last?.data == #"{"code":1001,"reason":"the daemon stops or restarts"}"# && last?.lastID == rig.hub.epoch.id(UInt64(waiting)))
        #expect(rig.imbalance() == nil)
    }

    /// Statistics are framed once for each kind that somebody of the group is.
    @Test func statistics() throws {
        let rig = try Rig(limits, shards: 2, clock: clock)
        let group = StatsGroup(window: "5m", interval: 5)
        let socket = try rig.subscribe(ModelFilter([.stats]))
        rig.settle()
        rig.hub.updateStats(group, at: Instant(milliseconds: 0), data: Array("1".utf8))
        #expect(try socket.message()?["data"]?.int == 1)
        // The present one at once, though it was made when there was no stream.
        let streams = try (0..<2).map { try rig.subscribe(ModelFilter([.stats]), to: $0, as: .eventStream) }
        for client in streams { #expect(try client.message()?["data"]?.int == 1) }
        rig.hub.updateStats(group, at: Instant(milliseconds: 0), data: Array("2".utf8))
        for client in [socket] + streams { #expect(try client.message()?["data"]?.int == 2) }
        socket.end()
        try rig.waitForClients(2)
        rig.hub.updateStats(group, at: Instant(milliseconds: 0), data: Array("3".utf8))
        for client in streams { #expect(try client.message()?["data"]?.int == 3) }
        for client in streams { client.end() }
        try rig.waitForClients(0)
        #expect(rig.hub.join(group, .eventStream).present == nil, "nobody was there: nothing was kept")
    }

    /// `since` and `history`: the place that is told goes along, and is never one that was not given yet.
    @Test func replay() throws {
        var limits = limits
        limits.historyEventsMax = 1000
        let rig = try Rig(limits, shards: 1, clock: clock)
        for number in 1...20 { rig.hub.publish([draft(number % 2 == 0 ? .logs : .requests, #"{"n":\#(number)}"#)]) }
        let since = try stream(rig) { $0.replay = ReplayRequest(since: .id(epoch: "ml9bes00", sequence: 11)) }
        #expect(since.stream?.lastID == "ml9bes00-11")
        for number in [12, 14, 16, 18, 20] { #expect(try since.event()?.lastID == "ml9bes00-\(number)") }
        let end = try #require(try since.event())
        #expect(end.type == "caught_up" && end.lastID == "ml9bes00-20")
        // Of what is asked for by number or of another start, no id says what is settled before.
        let last = try stream(rig) { $0.replay = ReplayRequest(last: 2) }
        #expect(last.stream?.lastID == "")
        for number in [18, 20] { #expect(try last.event()?.lastID == "ml9bes00-\(number)") }
        let other = try stream(rig) { $0.replay = ReplayRequest(since: .id(epoch: "other", sequence: 11)) }
        #expect(other.stream?.lastID == "")
        let gap = try #require(try other.event())
        #expect(gap.type == "gap" && gap.lastID == "ml9bes00-0")
        #expect(try other.event()?.lastID == "ml9bes00-2")
    }
}
