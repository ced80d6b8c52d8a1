// The daemon stops: everyone is told its own delay, gets what waits for it, then 1001; and nobody holds up the others.

import Base
import Dispatch
import Glibc
import Protocol
import Synchronization
import TestSupport
import Testing

@testable import Fanout

/// An archive whose reads wait for the gate.
private final class HangingArchive: Archive {
    let isOpen = Atomic<Bool>(false)
    let waiting = Atomic<Int>(0)
    let channels: ChannelSet = ChannelSet(.requests)

    final class Position: ArchivePosition {}
    final class Reader: ArchiveReader {
        let archive: HangingArchive
        init(_ archive: HangingArchive) { self.archive = archive }
        func begin(_ channels: ChannelSet, from: Instant, until: Instant?) -> any ArchivePosition { Position() }
        func close() {}
        func settle() {}
        func count(_ channels: ChannelSet, from: Instant, max: Int) -> Int { 0 }
        func next(_ position: any ArchivePosition, edge: HistoryView, limit: Int) -> ArchiveBatch {
            archive.waiting.add(1, ordering: .relaxed)
            var spin = Spin()
            while !archive.isOpen.load(ordering: .acquiring) { spin.wait() }
            return ArchiveBatch(events: [], isFinished: true)
        }
    }
    func makeReader() -> any ArchiveReader { Reader(self) }
}

/// What a client got up to its end.
private struct Farewell {
    var numbers: [Int] = []
    var delay: Int?
    var position: String?
    /// Events before `drain`.
    var before = 0
    var others: [String] = []

    init(_ client: SocketClient) throws {
        while let message = try client.message() {
            if let number = message["data"]?["n"]?.int {
                numbers.append(number)
            } else if message["type"]?.string == "drain" {
                #expect(delay == nil, "told twice")
                delay = message["data"]?["reconnect_in_ms"]?.int
                position = message["data"]?["position"]?.string
                before = numbers.count
            } else {
                others.append(message["type"]?.string ?? "")
            }
        }
    }
}

@Suite struct DrainTests {
    private let clock = ManualClock()
    private let look = Int(Wheel.ticks(.seconds(1)))

    private var limits: Limits {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        return limits
    }

    private func publish(_ numbers: Range<Int>, pad: Int = 2000, to rig: Rig) {
        let text = String(repeating: "x", count: pad)
        for number in numbers { rig.hub.publish([draft(.logs, #"{"n":\#(number),"x":"\#(text)"}"#)]) }
        rig.settle()
    }

    // MARK: delays

    /// Everyone has a slot of its own within the window, and together they fill it.
    @Test(arguments: [1, 2, 3, 10, 999, 1000, 14_749, 14_750, 14_751, 20_000, 60_000])
    func slots(clients: Int) {
        let window = DrainWindow(clients: clients, Limits())
        #expect(window.milliseconds == min(1000 + 4 * clients, 60_000))
        var generator = SeededGenerator(seed: UInt64(clients))
        var end = 0
        for number in 0..<clients {
            let slot = window.slot(number)
            #expect(slot.lowerBound == end && !slot.isEmpty)
            #expect(slot.contains(window.delay(of: number, using: &generator)))
            end = slot.upperBound
        }
        #expect(end == window.milliseconds)
    }

    /// With more clients than milliseconds the same moment is given to as few as possible.
    @Test func crowdedSlots() {
        let window = DrainWindow(clients: 262_144, Limits())
        var generator = SeededGenerator(seed: 1)
        var each = [Int](repeating: 0, count: window.milliseconds)
        for number in 0..<window.clients { each[window.delay(of: number, using: &generator)] += 1 }
        #expect(each.min() == 4 && each.max() == 5)
    }

    @Test func asOnTheWire() throws {
        let rig = try Rig(shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        publish(0..<1, pad: 1, to: rig)
        #expect(try rig.drain() == 1)
        _ = try client.message()
        let message = try #require(try client.message())
        #expect(message.object?.map(\.key) == ["type", "timestamp", "data"])
        #expect(message["type"]?.string == "drain")
        #expect(message["timestamp"]?.string == "2026-02-05T10:30:00.000Z")
        #expect(message["data"]?.object?.map(\.key) == ["reconnect_in_ms", "position"])
        #expect(message["data"]?["position"]?.string == "ml9bes00-1")
        #expect(try client.frame()?.opcode == 8)
        #expect(client.closeReason == "the daemon stops or restarts")
    }

    // MARK: shards that hang

    /// The clients of the others are told without those of a shard that does not answer, which says goodbye when it does.
    @Test func aShardThatHangsHoldsUpNobody() throws {
        let rig = try Rig(limits, shards: 3, clock: clock)
        let clients = try (0..<6).map { try rig.subscribe(ModelFilter([.logs]), to: $0 % 3) }
        publish(0..<3, to: rig)
        let (entered, leave) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        rig.shards[2].post { _ in
            entered.signal()
            leave.wait()
        }
        entered.wait()
        let told = Locked<[Int]>([])
        let goOn = rig.hub.drain { count in told.withLock { $0.append(count) } }
        for shard in rig.shards[..<2] { shard.queue.sync {} }
        #expect(told.withLock { $0 } == [])
        goOn()
        #expect(told.withLock { $0 } == [4])
        var delays: [Int] = []
        for index in [0, 1, 3, 4] {
            let farewell = try Farewell(clients[index])
            #expect(farewell.numbers == [0, 1, 2] && clients[index].closeReason == "the daemon stops or restarts")
            delays.append(try #require(farewell.delay))
        }
        leave.signal()
        for index in [2, 5] {
            let farewell = try Farewell(clients[index])
            #expect(farewell.numbers == [0, 1, 2] && clients[index].closeReason == "the daemon stops or restarts")
            delays.append(try #require(farewell.delay))
        }
        // Once more changes nothing.
        goOn()
        #expect(told.withLock { $0 } == [4])
        #expect(delays.allSatisfy { (0..<DrainWindow(clients: 6, limits).milliseconds).contains($0) })
    }

    // MARK: clients in every state

    /// On several shards, whatever the state: told, given everything, and nothing is left.
    @Test func everyoneIsTold() throws {
        let rig = try Rig(limits)
        let clients = try (0..<7).map { try rig.subscribe(ModelFilter([.logs]), to: $0 % 2) }
        let foreign = try rig.subscribe(ModelFilter([.providers]))
        let nothing = try rig.subscribe(Subscription(statsInterval: 5), to: 1)
        // None of them reads yet.
        publish(0..<100, to: rig)
        #expect(try rig.drain() == 9)
        #expect(rig.hub.publish([draft(.logs, "{}")]) == nil)
        var delays: Set<Int> = []
        let window = DrainWindow(clients: 9, limits)
        for client in clients + [foreign, nothing] {
            let farewell = try Farewell(client)
            let isListening = client !== foreign && client !== nothing
            #expect(farewell.numbers == (isListening ? Array(0..<100) : []))
            #expect(client.closeCode == 1001)
            #expect(farewell.others == [])
            let delay = try #require(farewell.delay)
            #expect((0..<window.milliseconds).contains(delay))
            // Which slot it is in, shows that no other one has it.
            delays.insert(try #require((0..<9).first { window.slot($0).contains(delay) }))
            try client.sendClose(1001)
            #expect(try client.frame() == nil)
            client.end()
        }
        #expect(delays.count == 9)
        try waitUntil("all connections end") { rig.hub.connectionCount == 0 }
        rig.settle()
        #expect(rig.hub.clientCount == 0)
        #expect(rig.shards.allSatisfy { $0.counters.connections.load(ordering: .relaxed) == 0 })
        #expect(rig.total(.delivered) == 700 && rig.total(.abandoned) == 0)
        #expect(rig.imbalance() == nil)
    }

    /// Who is far behind is told soon, and closed when it has caught up; nothing comes back that was not published.
    @Test(arguments: [1, 3, 256])
    func behind(spans: Int) throws {
        var limits = limits
        limits.ringSpansMax = spans
        limits.roundBytesMax = 5000
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        let filtered = try rig.subscribe(ModelFilter([.logs], ["component": "mine"]))
        // With others between, so that runs do not merge.
        for number in 0..<600 {
            publish(number..<number + 1, pad: 500, to: rig)
            rig.hub.publish([draft(.requests, "{}")])
        }
        #expect(rig.shards[0].queue.sync { rig.shards[0].describeClients()[0].behind } > 0)
        try rig.drain()
        // It still speaks, but is not heeded.
        try client.send(opcode: 9, [1, 2])
        try client.send(#"{"type":"subscribe","id":"1","data":{"channels":["requests"],"history":1000}}"#)
        let farewell = try Farewell(client)
        #expect(farewell.numbers == Array(0..<600))
        #expect(farewell.before < 600)
        #expect(farewell.position == "ml9bes00-\(2 * farewell.before)" || farewell.position == "ml9bes00-\(2 * farewell.before - 1)")
        #expect(farewell.others == [])
        #expect(client.closeCode == 1001)
        #expect(try Farewell(filtered).delay != nil)
        rig.settle()
        #expect(rig.total(.delivered) == 600)
        #expect(rig.imbalance() == nil)
    }

    /// While several threads publish, some clients stall: what was taken is given, to everyone, in order.
    @Test(arguments: testSeeds(6))
    func whatWasTakenIsGiven(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var limits = limits
        limits.ringSpansMax = generator.pick([1, 2, 16, 256])
        limits.roundBytesMax = generator.pick([500, 5000, 65_536])
        let rig = try Rig(limits)
        let published = Published()
        let filters = (0..<8).map { _ in ModelFilter.random(using: &generator) } + [ModelFilter([.all]), ModelFilter([.logs])]
        let clients = try filters.enumerated().map { try rig.subscribe($1, to: $0 % 2) }
        let ledgers = clients.map { _ in SharedLedger() }
        let failures = SharedFailures()
        let begun = Atomic<Int>(0)
        let after = generator.int(0...120)
        try onThreads(clients.count + 3) { thread in
            failures.catching {
                var generator = SeededGenerator(seed: seed &* 1000 &+ UInt64(thread))
                guard thread >= clients.count else {
                    if generator.chance(30) { while begun.load(ordering: .relaxed) < after { usleep(500) } }
                    var ledger = Ledger()
                    while let message = try clients[thread].message() {
                        try ledger.enter(message)
                        if generator.chance(3) { usleep(500) }
                    }
                    try clients[thread].sendClose(1001)
                    ledgers[thread].set(ledger)
                    return
                }
                if thread == clients.count + 2 {
                    while begun.load(ordering: .relaxed) < after { usleep(100) }
                    try rig.drain()
                    return
                }
                for batch in 0..<1_000_000 {
                    let number = (thread * 1_000_000 + batch) * 10
                    let events = (0..<generator.int(1...9)).map { ModelEvent.random(number: number + $0, using: &generator) }
                    guard let range = rig.hub.publish(events.map(\.draft)) else { return }
                    published.note(events, at: range)
                    begun.add(1, ordering: .relaxed)
                    usleep(200)
                }
            }
        }
        #expect(failures.all == [])
        for (number, client) in clients.enumerated() {
            let ledger = ledgers[number].get
            #expect(client.closeCode == 1001, "seed \(seed), client \(number)")
            #expect(ledger.entries.count { $0 == .other("drain") } == 1, "seed \(seed), client \(number)")
            let complaint = ledger.complaint(against: published.events, passes: filters[number].passes)
            #expect(complaint == nil, "seed \(seed), client \(number): \(filters[number])")
        }
        rig.settle()
        #expect(rig.total(.abandoned) == 0, "seed \(seed)")
        #expect(rig.imbalance() == nil, "seed \(seed)")
    }

    /// An event that is too old by now is given all the same: it was there when the daemon was told to stop.
    @Test func historyStays() throws {
        var limits = limits
        limits.historyAgeMax = .seconds(60)
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        publish(0..<100, to: rig)
        try rig.drain()
        clock.advance(.seconds(100))
        rig.hub.expire()
        rig.settle()
        #expect(try Farewell(client).numbers == Array(0..<100))
    }

    /// A replay of history goes on; its `caught_up` comes before the close.
    @Test func replayOfHistory() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        publish(0..<200, to: rig)
        let client = try rig.subscribe(try ModelFilter([.logs]).subscription()) {
            $0.replay = ReplayRequest(since: .id(epoch: rig.hub.epoch.description, sequence: 50))
        }
        publish(200..<210, to: rig)
        try rig.drain()
        let farewell = try Farewell(client)
        #expect(farewell.numbers == Array(50..<210))
        #expect(farewell.others == ["caught_up"])
        #expect(client.closeCode == 1001)
    }

    /// A replay from a source that hangs is cut: no position is claimed that it has not given, and nothing waits for it.
    @Test func replayFromASource() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let archive = HangingArchive()
        defer { archive.isOpen.store(true, ordering: .releasing) }
        rig.hub.setArchive(archive)
        let client = try rig.subscribe(try ModelFilter([.requests, .logs]).subscription()) {
            $0.replay = ReplayRequest(since: .ago(milliseconds: 3_600_000))
        }
        let other = try rig.subscribe(ModelFilter([.logs]))
        try waitUntil("the archive is read") { archive.waiting.load(ordering: .relaxed) == 1 }
        publish(0..<3, pad: 1, to: rig)
        try rig.drain()
        let farewell = try Farewell(client)
        #expect(farewell.numbers == [])
        #expect(farewell.delay != nil && farewell.position == nil)
        #expect(farewell.others == [])
        #expect(client.closeCode == 1001)
        #expect(try Farewell(other).numbers == [0, 1, 2])
        #expect(rig.hub.replays.running.load(ordering: .relaxed) == 0)
        rig.settle()
        #expect(rig.total(.abandoned) == 3)
        #expect(rig.imbalance() == nil)
        // What the thread says in the end goes nowhere.
        archive.isOpen.store(true, ordering: .releasing)
        try client.sendClose(1001)
        #expect(try client.frame() == nil)
    }

    /// Who is being closed already hears that, and nothing else.
    @Test func alreadyClosing() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        let shard = rig.shards[0]
        #expect(shard.queue.sync { shard.disconnect(1) })
        #expect(try rig.drain() == 0)
        #expect(try Farewell(client).delay == nil)
        #expect(client.closeCode == 4505)
        rig.pass(Int(Wheel.ticks(limits.closeTime)), on: clock)
        #expect(try client.frame() == nil)
        #expect(rig.hub.connectionCount == 0)
    }

    /// A client that says goodbye itself while it is fed gets its own code back, behind what its ring holds.
    @Test func closesWhileDraining() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        publish(0..<300, to: rig)
        try rig.drain()
        try client.sendClose(3000)
        let farewell = try Farewell(client)
        #expect(farewell.numbers == Array(0..<farewell.numbers.count))
        #expect(client.closeCode == 1001 || client.closeCode == 3000)
        #expect(try client.frame() == nil)
        client.end()
        try waitUntil("it is gone") { rig.hub.connectionCount == 0 }
        rig.settle()
        #expect(rig.imbalance() == nil)
    }

    // MARK: bounds

    /// Who takes nothing is ended; what it was not given is accounted for. The others do not wait for it.
    @Test func neverReads() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let sleeper = try rig.subscribe(ModelFilter([.logs]))
        let reader = try rig.subscribe(ModelFilter([.logs]))
        publish(0..<300, to: rig)
        try rig.drain()
        #expect(try Farewell(reader).numbers == Array(0..<300))
        try reader.sendClose(1001)
        reader.end()
        try rig.waitForClients(1)
        rig.pass(Int(Wheel.ticks(limits.drainStallTime)) - 1, on: clock)
        #expect(rig.hub.connectionCount == 1)
        rig.pass(look, on: clock)
        #expect(rig.hub.connectionCount == 0)
        #expect(rig.sum { UInt64($0.cutOff.load(ordering: .relaxed)) } == 1)
        #expect(rig.total(.delivered) + rig.total(.abandoned) == 600)
        #expect(rig.total(.abandoned) > 200)
        #expect(rig.imbalance() == nil)
        withExtendedLifetime(sleeper) {}
    }

    /// Who takes a little now and then is given everything, however long it takes.
    @Test func readsSlowly() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        // Each needs reads of its own.
        publish(0..<60, pad: 20_000, to: rig)
        try rig.drain()
        var next = 0
        while next < 60 {
            rig.pass(Int(Wheel.ticks(limits.drainStallTime)) - look, on: clock)
            #expect(rig.hub.connectionCount == 1, "ended at event \(next)")
            while let message = try client.message() {
                guard message["type"]?.string != "drain" else { continue }
                #expect(message["data"]?["n"]?.int == next)
                next += 1
                break
            }
        }
        _ = try Farewell(client)
        #expect(client.closeCode == 1001)
        // Everything is taken; only the answer to the close is missing.
        rig.pass(Int(Wheel.ticks(limits.closeTime)) + look, on: clock)
        #expect(rig.hub.connectionCount == 0)
        #expect(rig.sum { UInt64($0.cutOff.load(ordering: .relaxed)) } == 0)
        #expect(rig.total(.delivered) == 60)
    }

    /// When the time is over, everyone goes.
    @Test func cutOff() throws {
        let rig = try Rig(limits, clock: clock)
        let clients = try (0..<4).map { try rig.subscribe(ModelFilter([.logs]), to: $0 % 2) }
        publish(0..<300, to: rig)
        try rig.drain()
        let count = Locked<Int?>(nil)
        rig.hub.cutOff { answer in count.withLock { $0 = answer } }
        try waitUntil("all are cut off") { count.withLock { $0 } != nil }
        rig.settle()
        #expect(count.withLock { $0 } == 4)
        #expect(rig.hub.connectionCount == 0)
        #expect(rig.total(.delivered) + rig.total(.abandoned) == 1200)
        #expect(rig.imbalance() == nil)
        withExtendedLifetime(clients) {}
    }

    // MARK: HTTP

    @Test func connectionsOfHTTP() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let fresh = try rig.connect()
        let late = try rig.connect()
        let kept = try rig.connect()
        #expect(try kept.request("GET", "/x")?.status == 200)
        let answered = try rig.connect()
        try answered.write("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\nGET /never HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let half = try rig.connect()
        try half.write("GET /x HTTP/1.1\r\nHo")
        let publishing = try rig.connect()
        try publishing.write("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        let reading = try rig.connect()
        try reading.write("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let upgrading = try rig.connect()
        let upgrade = SocketClient.upgradeRequest(rig.desk.register(Upgrade(subscription: Subscription(statsInterval: 5))))
        try upgrading.write(String(upgrade.prefix(20)))
        let stalled = try rig.connect()
        try stalled.write("GET /x HT")
        try waitUntil("the request waits") { rig.desk.waiting.withLock { $0.count } == 1 }
        rig.settle()
        #expect(try rig.drain() == 0)
        #expect(try kept.answer() == nil)
        // Its request was on its way.
        try late.write("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try half.write("st: localhost\r\n\r\n")
        try upgrading.write(String(upgrade.dropFirst(20)))
        rig.desk.answerWaiting()
        for (client, status) in [(answered, 500), (half, 200), (late, 200), (publishing, 503), (reading, 200), (upgrading, 503)] {
            let answer = try #require(try client.answer())
            #expect(answer.status == status)
            // The large one was begun before.
            #expect(answer.head.contains("connection: close\r\n") || client === reading)
            if status == 503 { #expect(answer.head.contains("retry-after: 5\r\n")) }
            #expect(try client.answer() == nil)
            client.end()
        }
        rig.settle()
        #expect(rig.hub.connectionCount == 2)
        rig.pass(look, on: clock)
        // It has not asked anything.
        #expect(try fresh.answer() == nil)
        #expect(rig.hub.connectionCount == 1)
        rig.pass(Int(Wheel.ticks(limits.closeTime)) + look, on: clock)
        #expect(try stalled.answer() == nil)
        #expect(rig.hub.connectionCount == 0)
        // Whoever comes now is too late.
        #expect(try rig.connect().answer() == nil)
    }
}
