// From publishers on several threads through two shards to clients: each gets what its filter passes, once, in order.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct DeliveryTests {
    /// Clients that read all the time.
    @Test(arguments: testSeeds(4))
    func everyClientGetsWhatItsFilterPasses(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var limits = Limits()
        limits.compression.thresholdBytes = generator.pick([0, 200])
        limits.compression.keepsContext = seed % 2 == 0
        limits.roundCompressionMax = generator.pick([1, 10_000, 524_288])
        let rig = try Rig(limits)
        let filters = (0..<10).map { _ in ModelFilter.random(using: &generator) } + [ModelFilter([.all]), ModelFilter([.logs])]
        let clients = try filters.enumerated().map { try rig.subscribe($1, to: $0 % 2, as: Rig.encoding(of: $0)) }
        let published = Published()
        let ledgers = Locked([Ledger](repeating: Ledger(), count: clients.count))
        let failures = Locked<[String]>([])
        // One thread for each client, and one that runs the publishers.
        try onThreads(clients.count + 1) { number in
            do {
                if number == clients.count {
                    try publish(40, of: 8, from: 3, seed: seed, to: rig.hub, into: published)
                    rig.publishMarker()
                } else {
                    var ledger = Ledger()
                    try ledger.read(clients[number], until: "marker")
                    ledgers.withLock { $0[number] = ledger }
                }
            } catch {
                failures.withLock { $0.append("\(error)") }
            }
        }
        #expect(failures.withLock { $0 } == [])
        for (filter, ledger) in zip(filters, ledgers.withLock { $0 }) {
            #expect(ledger.complaint(against: published.events, passes: filter.passes) == nil, "seed \(seed): \(filter)")
            #expect(ledger.gaps == [], "history was long enough")
        }
    }

    /// Clients that read only when all is published: fed from history, which still has it all.
    @Test(arguments: testSeeds(3))
    func whoIsBehindIsFedFromHistory(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var limits = Limits()
        limits.sendBufferBytes = 4096
        limits.ringSpansMax = generator.pick([1, 2, 16])
        limits.roundBytesMax = generator.pick([1, 1000, 65_536])
        limits.compression.thresholdBytes = generator.pick([0, 512])
        limits.compression.keepsContext = seed % 2 == 0
        limits.roundCompressionMax = generator.pick([1, 10_000, 524_288])
        let rig = try Rig(limits)
        let filters = (0..<6).map { _ in ModelFilter.random(using: &generator) } + [ModelFilter([.all])]
        let clients = try filters.enumerated().map { try rig.subscribe($1, to: $0 % 2, as: Rig.encoding(of: $0)) }
        let published = Published()
        try publish(30, of: 8, from: 3, seed: seed, to: rig.hub, into: published, padding: 2000)
        rig.publishMarker()
        for (filter, client) in zip(filters, clients) {
            var ledger = Ledger()
            try ledger.read(client, until: "marker")
            #expect(ledger.complaint(against: published.events, passes: filter.passes) == nil, "seed \(seed): \(filter)")
            #expect(ledger.gaps == [])
        }
        rig.settle()
        #expect(rig.total(.dropped) == 0)
    }

    /// Counted at both ends.
    @Test func deliveriesAreCounted() throws {
        let rig = try Rig()
        let client = try rig.subscribe(ModelFilter([.all]))
        let published = Published()
        try publish(20, of: 8, from: 2, seed: 1, to: rig.hub, into: published)
        rig.publishMarker()
        var ledger = Ledger()
        try ledger.read(client, until: "marker")
        rig.settle()
        #expect(rig.total(.delivered) == UInt64(published.events.count + 1))
        #expect(rig.shards[0].counters.bytesSent.load(ordering: .relaxed) > 0)
    }

    /// Connections that end without a word while events flow harm nobody else.
    @Test(arguments: testSeeds(2))
    func clientsEndInTheMiddle(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var limits = Limits()
        limits.sendBufferBytes = 4096
        limits.historyEventsMax = 100
        let rig = try Rig(limits)
        let stays = try (0..<2).map { try rig.subscribe(ModelFilter([.all]), to: $0, as: Rig.encoding(of: 2 * $0)) }
        let leaves = try (0..<24).map { try rig.subscribe(ModelFilter.random(using: &generator), to: $0 % 2, as: Rig.encoding(of: $0)) }
        let published = Published()
        let ledgers = Locked([Ledger(), Ledger()])
        let failures = Locked<[String]>([])
        try onThreads(4) { role in
            do {
                switch role {
                case 0, 1:
                    var ledger = Ledger()
                    try ledger.read(stays[role], until: "marker")
                    ledgers.withLock { $0[role] = ledger }
                case 2:
                    try publish(40, of: 8, from: 2, seed: seed, to: rig.hub, into: published)
                    rig.publishMarker()
                default:
                    var generator = SeededGenerator(seed: seed &+ 1)
                    for client in leaves {
                        // Some have read a little, some say half a word, some say that they go.
                        if generator.chance(30) { _ = try client.message() }
                        if generator.chance(20) { try client.write([0x81]) }
                        if generator.chance(30) { try client.sendClose() }
                        if generator.chance(20) { client.endWriting() }
                        client.end()
                    }
                }
            } catch {
                failures.withLock { $0.append("\(error)") }
            }
        }
        #expect(failures.withLock { $0 } == [])
        for ledger in ledgers.withLock({ $0 }) {
            #expect(ledger.complaint(against: published.events) { ModelFilter([.all]).passes($0) } == nil, "seed \(seed)")
        }
        try rig.waitForClients(2)
        // Nothing of them is left.
        #expect(rig.hub.connectionCount == 2)
        for shard in rig.shards {
            #expect(shard.counters.clients.load(ordering: .relaxed) == 1)
            #expect(shard.counters.connections.load(ordering: .relaxed) == 1)
            #expect(shard.queue.sync { shard.groupList.count } == 1)
            #expect(shard.queue.sync { shard.describeClients().count } == 1)
            for channel in Channel.allCases { #expect(shard.counters.subscriptions(to: channel) == (channel == .all ? 1 : 0)) }
        }
    }

    /// The place in the table of a client that left goes to the next one, which gets nothing of the former.
    @Test func placesAreUsedAgain() throws {
        let rig = try Rig(shards: 1)
        for round in 0..<30 {
            let first = try rig.subscribe(ModelFilter([.logs]))
            let second = try rig.subscribe(ModelFilter([.requests]))
            rig.hub.publish([draft(.logs, #"{"n":\#(round)}"#), draft(.requests, #"{"n":\#(round)}"#)])
            if round % 2 == 0 { first.end() }
            #expect(try second.message()?["channel"]?.string == "requests")
            second.end()
            first.end()
            try rig.waitForClients(0)
        }
        #expect(rig.shards[0].queue.sync { rig.shards[0].groupList.isEmpty && rig.shards[0].groups.isEmpty })
    }

    /// A client sees nothing from before it came.
    @Test func historyIsNotForNewcomers() throws {
        let rig = try Rig()
        rig.hub.publish((0..<50).map { draft(.logs, #"{"n":\#($0)}"#) })
        let client = try rig.subscribe(ModelFilter([.logs]))
        rig.hub.publish([draft(.logs, #"{"n":50}"#)])
        #expect(try client.message()?["id"]?.string == rig.hub.epoch.id(51))
    }
}
