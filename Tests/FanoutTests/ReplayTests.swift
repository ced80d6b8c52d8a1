// Events of before: where they begin, where they end, and what is said of those that are gone.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

/// What a client got, shortly: numbers of events, and words for the rest.
private func story(_ client: SocketClient, until type: String = "marker") throws -> [String] {
    var story: [String] = []
    while let message = try client.message() {
        let kind = message["type"]?.string ?? ""
        if kind == type { return story }
        switch kind {
        case "note", "log", "request", "provider_status": story.append("\(message["data"]?["n"]?.int ?? -1)")
        case "gap":
            let data = message["data"]
            let tail = { (name: String, other: String) in
                data?[name]?.string.flatMap { $0.split(separator: "-").last.map(String.init) } ?? data?[other]?.string ?? ""
            }
            story.append(
                "gap \(data?["reason"]?.string ?? "") \(tail("after", "from")) \(tail("resume", "until"))"
                    + (data?["dropped"]?.int.map { " \($0)" } ?? ""))
        case "caught_up": story.append("caught_up \(message["data"]?["position"]?.string?.split(separator: "-").last ?? "")")
        default: story.append(kind)
        }
    }
    return story + ["end"]
}

@Suite struct ReplayTests {
    private let clock = ManualClock()

    /// Events 1, 2, … with their number as sequence, a second apart, odd ones on logs, even ones on requests.
    private func rig(_ count: Int = 20, _ change: (inout Limits) -> Void = { _ in }) throws -> Rig {
        var limits = Limits()
        change(&limits)
        let rig = try Rig(limits, shards: 1, clock: clock)
        for number in 1...max(1, count) where count > 0 {
            let data = #"{"n":\#(number),"level":"\#(number % 5 == 0 ? "error" : "info")"}"#
            rig.hub.publish([
                EventDraft(channel: number % 2 == 1 ? .logs : .requests, type: "note", timestamp: clock.now(), data: Array(data.utf8))
            ])
            clock.advance(.seconds(1))
        }
        return rig
    }

    private func story(_ rig: Rig, _ filter: ModelFilter, _ since: String?, last: Int? = nil) throws -> [String] {
        let client = try rig.subscribe(try filter.subscription()) {
            let text = since?.replacing("E-", with: "\(rig.hub.epoch)-")
            $0.replay = ReplayRequest(since: text.flatMap(ReplayRequest.since), last: last)
        }
        try waitUntil("the replay has ended") { rig.hub.replays.running.load(ordering: .relaxed) == 0 }
        rig.settle()
        rig.publishMarker()
        return try FanoutTests.story(client)
    }

    @Test func sinceAnID() throws {
        let rig = try rig()
        let logs = ModelFilter([.logs])
        #expect(try story(rig, logs, "E-15") == ["17", "19", "caught_up 20"])
        #expect(try story(rig, logs, "E-21") == ["caught_up 21"], "the marker of before is settled")
    }

    @Test func sinceAnIDOfAll() throws {
        let rig = try rig()
        #expect(try story(rig, ModelFilter([.all]), "E-16") == ["17", "18", "19", "20", "caught_up 20"])
        #expect(try story(try self.rig(), ModelFilter([.logs], ["level": "error"]), "E-0") == ["5", "15", "caught_up 20"])
    }

    /// Ids that cannot be resumed from are answered by a gap and everything that there is.
    @Test(arguments: [("E-21", "21"), ("E-99999999999999999999999", nil), ("0-3", "3"), ("zzzzzzzz-18", "18"), ("E-18446744073709551615", "18446744073709551615")])
    func idsOfElsewhere(since: String, after: String?) throws {
        let rig = try rig(5)
        guard let after else {
            #expect(ReplayRequest.since(since.replacing("E", with: rig.hub.epoch.description)) == nil)
            return
        }
        #expect(try story(rig, ModelFilter([.logs]), since) == ["gap restarted \(after) 0", "1", "3", "5", "caught_up 5"])
    }

    @Test func idsThatHistoryHasLeftBehind() throws {
        // Segments of sixteen: the oldest kept is 33, when 64 is not enough for the first two.
        let rig = try rig(100) { $0.historyEventsMax = 64 }
        let oldest = rig.hub.historySize().oldest
        #expect(oldest == 33)
        let kept = (33...100).filter { $0 % 2 == 1 }.map { "\($0)" }
        #expect(try story(rig, ModelFilter([.logs]), "E-12") == ["gap history_expired 12 32"] + kept + ["caught_up 100"])
        let other = try self.rig(100) { $0.historyEventsMax = 64 }
        #expect(try story(other, ModelFilter([.logs]), "E-32") == kept + ["caught_up 100"], "nothing is missing")
    }

    @Test func lastOnes() throws {
        #expect(try story(try rig(), ModelFilter([.logs]), nil, last: 3) == ["15", "17", "19", "caught_up 20"])
        #expect(try story(try rig(), ModelFilter([.logs], ["level": "error"]), nil, last: 1) == ["15", "caught_up 20"])
        #expect(try story(try rig(), ModelFilter([.logs]), nil, last: 0) == ["caught_up 20"])
        #expect(try story(try rig(3), ModelFilter([.logs]), nil, last: 1000) == ["1", "3", "caught_up 3"])
        #expect(try story(try rig(), ModelFilter([.logs]), "E-14", last: 2) == ["17", "19", "caught_up 20"])
        #expect(try story(try rig(), ModelFilter([.logs]), "E-14", last: 9) == ["15", "17", "19", "caught_up 20"])
        #expect(try story(try rig(0), ModelFilter([.logs]), nil, last: 5) == ["caught_up 0"])
    }

    /// By time: the instant itself counts.
    @Test func sinceAnInstant() throws {
        // Event n was n - 1 seconds after 10:30:00, and now it is 10:30:20.
        #expect(try story(try rig(), ModelFilter([.logs]), "2026-02-05T10:30:14Z") == ["15", "17", "19", "caught_up 20"])
    }

    @Test func sinceAWhileAgo() throws {
        #expect(try story(try rig(), ModelFilter([.logs]), "6s") == ["15", "17", "19", "caught_up 20"])
        let rig = try rig(0)
        #expect(try story(rig, ModelFilter([.logs]), "1h") == ["caught_up 0"], "before the start there was nothing")
    }

    /// Told by instants: an id would say that everything before it is settled.
    @Test func sinceATimeThatHistoryHasLeftBehind() throws {
        let rig = try rig(100) { $0.historyEventsMax = 64 }
        let kept = (33...100).filter { $0 % 2 == 1 }.map { "\($0)" }
        #expect(try story(rig, ModelFilter([.logs]), "1h") == ["gap history_expired 2026-02-05T09:31:40.000Z 2026-02-05T10:30:32.000Z"] + kept + ["caught_up 100"])
        // Nothing of what is gone was from then on.
        let other = try self.rig(100) { $0.historyEventsMax = 64 }
        #expect(try story(other, ModelFilter([.logs]), "60s").first == "41")
    }

    /// Where a client begins, as `welcome` says it: what may be given as `since`.
    @Test(arguments: [(nil, "20"), ("E-15", "15"), ("E-99", nil), ("other-3", nil), ("5m", nil)] as [(String?, String?)])
    func welcomesWithWhatIsSettled(since: String?, position: String?) throws {
        let rig = try rig()
        let client = try rig.subscribe(try ModelFilter([.logs]).subscription()) {
            $0.welcomes = true
            $0.replay = since.map { ReplayRequest(since: ReplayRequest.since($0.replacing("E-", with: "\(rig.hub.epoch)-"))) }
        }
        let data = try client.message(ofType: "welcome")["data"]
        #expect(data?["position"]?.string == position.map { "\(rig.hub.epoch)-\($0)" })
        #expect(data?["sequence"]?.int == 20)
    }

    /// More than a replay may have: the newest, and the exact number of the others.
    @Test func bounded() throws {
        #expect(
            try story(try rig(20) { $0.replayEventsMax = 4 }, ModelFilter([.logs]), "E-2")
                == ["gap history_expired 2 12 5", "13", "15", "17", "19", "caught_up 20"])
        #expect(try story(try rig(20) { $0.replayEventsMax = 4 }, ModelFilter([.logs]), nil, last: 3) == ["15", "17", "19", "caught_up 20"])
        #expect(
            try story(try rig(20) { $0.replayEventsMax = 4 }, ModelFilter([.logs]), nil, last: 100)
                == ["gap history_expired 0 12 6", "13", "15", "17", "19", "caught_up 20"])
    }

    @Test(arguments: [
        ("5m", ReplayRequest.Since.ago(milliseconds: 300_000)), ("0", .ago(milliseconds: 0)), ("1h30m", .ago(milliseconds: 5_400_000)),
        ("2026-02-05T10:30:00Z", .instant(Instant(milliseconds: 1_770_287_400_000))),
        ("2026-02-05T12:30:00.000+02:00", .instant(Instant(milliseconds: 1_770_287_400_000))),
        ("2026-02-05T12:30:00 02:00", .instant(Instant(milliseconds: 1_770_287_400_000))),
        ("8f3k2-1045", .id(epoch: "8f3k2", sequence: 1045)), ("a-0", .id(epoch: "a", sequence: 0)),
    ])
    func wordsOfSince(text: String, wanted: ReplayRequest.Since) { #expect(ReplayRequest.since(text) == wanted) }

    @Test(arguments: [
        "", "-", "-5", "a-", "A-5", "a-b", "a-1-2", "5", "5x", "-5m", "5 m", "2026-02-05", "2026-02-05T10:30", "2026-02-05T10:30:00",
        "2026-13-05T10:30:00Z", "2026-02-05 10:30:00Z", "yesterday", "9999999999999999999h", "a-99999999999999999999x", "é-1",
    ])
    func noWordsOfSince(text: String) { #expect(ReplayRequest.since(text) == nil) }

    // MARK: in a message

    @Test func inSubscribe() throws {
        let rig = try rig()
        let client = try rig.subscribe(ModelFilter([.requests]))
        try client.send(#"{"type":"subscribe","id":"1","data":{"channels":["logs"],"since":"\#(rig.hub.epoch)-15"}}"#)
        #expect(try client.message()?["type"]?.string == "ack")
        // The channel that was there already is not given again.
        rig.publishMarker()
        #expect(try FanoutTests.story(client) == ["17", "19", "caught_up 20"])
        try client.send(#"{"type":"subscribe","id":"2","data":{"channels":["requests"],"filters":{"requests":{}},"history":2}}"#)
        #expect(try client.message()?["type"]?.string == "ack")
        _ = try client.message(ofType: "caught_up")
        rig.hub.publish([draft(.logs, #"{"n":100}"#), draft(.requests, #"{"n":101}"#)])
        #expect(try client.message()?["data"]?["n"]?.int == 100)
        #expect(try client.message()?["data"]?["n"]?.int == 101)
    }

    @Test(arguments: [
        (#""since":"nonsense""#, "invalid since"), (#""since":5"#, "invalid since"), (#""since":{}"#, "invalid since"),
        (#""history":-1"#, "invalid history"), (#""history":1.5"#, "invalid history"), (#""history":"5""#, "invalid history"),
        (#""history":1e3"#, "invalid history"), (#""history":99999999999"#, "invalid history"),
    ])
    func refusedInSubscribe(members: String, words: String) throws {
        let rig = try rig(3)
        let client = try rig.subscribe(ModelFilter([.requests]))
        try client.send(#"{"type":"subscribe","id":"1","data":{"channels":["logs"],\#(members)}}"#)
        let error = try client.message(ofType: "error")
        #expect(error["data"]?["code"]?.string == "invalid_message")
        #expect(error["data"]?["message"]?.string == words)
        // Nothing of it was done.
        rig.hub.publish([draft(.logs, #"{"n":100}"#), draft(.requests, #"{"n":101}"#)])
        #expect(try client.message()?["data"]?["n"]?.int == 101)
    }

    // MARK: conflation

    /// Of a provider's states, a client that is behind gets the newest; what was published is given whole.
    @Test func statesOfProvidersAreConflated() throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.providers, .logs]))
        let pad = String(repeating: "p", count: 3000)
        for number in 0..<300 {
            let provider = number % 3
            rig.hub.publish([
                EventDraft(
                    channel: .providers, type: "provider_status", timestamp: clock.now(),
                    data: Array(#"{"n":\#(number),"provider_id":"p\#(provider)","pad":"\#(pad)"}"#.utf8), isConflatable: provider != 2)
            ])
            if number % 10 == 0 { rig.hub.publish([draft(.logs, #"{"n":\#(1000 + number)}"#)]) }
        }
        rig.settle()
        rig.publishMarker()
        let numbers = try FanoutTests.story(client).compactMap { Int($0) }
        #expect(numbers.filter { $0 >= 1000 } == Array(stride(from: 1000, to: 1300, by: 10)), "another channel loses nothing")
        #expect(numbers.filter { $0 < 1000 && $0 % 3 == 2 } == Array(stride(from: 2, to: 300, by: 3)), "nor does what was published")
        for provider in 0..<2 {
            let got = numbers.filter { $0 < 1000 && $0 % 3 == provider }
            #expect(got == got.sorted() && got.last == 297 + provider)
            // What the socket had taken, and one that waited.
            #expect(got.count < 50)
        }
        rig.settle()
        #expect(rig.total(.conflated) == UInt64(200 - numbers.filter { $0 < 1000 && $0 % 3 != 2 }.count))
        #expect(rig.imbalance() == nil)
        // Asked for again, every step of it comes.
        let again = try rig.subscribe(try ModelFilter([.providers]).subscription()) { $0.replay = ReplayRequest(last: 1000) }
        rig.publishMarker()
        #expect(try FanoutTests.story(again, until: "caught_up").compactMap { Int($0) } == Array(0..<300))
    }

    // MARK: changes while behind

    /// What was published before a change goes by what was wanted then; the answer stands between.
    @Test func changesWhileBehind() throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        limits.ringSpansMax = 1
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs], ["level": "error"]))
        let pad = String(repeating: "p", count: 2000)
        func publish(_ numbers: Range<Int>) {
            for number in numbers {
                rig.hub.publish([draft(.logs, #"{"n":\#(number),"level":"\#(number % 2 == 0 ? "error" : "info")","pad":"\#(pad)"}"#)])
                rig.hub.publish([draft(.requests, #"{"n":\#(1000 + number)}"#)])
            }
        }
        publish(0..<40)
        rig.settle()
        func change(_ text: String) throws {
            let before = rig.sum { $0.messagesReceived.load(ordering: .relaxed) }
            try client.send(text)
            try waitUntil("the change is taken") { rig.sum { $0.messagesReceived.load(ordering: .relaxed) } == before + 1 }
            rig.settle()
        }
        try change(#"{"type":"subscribe","id":"1","data":{"channels":["logs"],"filters":{"logs":{"level":"info,error"}}}}"#)
        publish(40..<60)
        rig.settle()
        try change(#"{"type":"subscribe","id":"2","data":{"channels":["requests"]}}"#)
        publish(60..<70)
        rig.settle()
        try change(#"{"type":"unsubscribe","id":"3","data":{"channels":["logs"]}}"#)
        publish(70..<80)
        rig.publishMarker()
        let wanted =
            (0..<40).filter { $0 % 2 == 0 }.map { "\($0)" } + ["ack"] + (40..<60).map { "\($0)" } + ["ack"]
            + (60..<70).flatMap { ["\($0)", "\(1000 + $0)"] } + ["ack"] + (70..<80).map { "\(1000 + $0)" }
        #expect(try FanoutTests.story(client) == wanted)
        rig.settle()
        #expect(rig.imbalance() == nil)
    }
}
