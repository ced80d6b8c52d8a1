// How connections end: every close code in its place, nothing behind the close frame, nothing left afterwards.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct ClosingTests {
    @Test(arguments: [UInt16(1000), 1001, 3000, 4999])
    func closeIsEchoed(code: UInt16) throws {
        let rig = try Rig(shards: 1)
        let client = try rig.subscribe(ModelFilter([.logs]))
        try client.sendClose(code)
        #expect(try client.frame() == ServerFrame(opcode: 8, payload: [UInt8(code >> 8), UInt8(code & 0xFF)]))
        #expect(try client.frame() == nil)
        client.end()
        try rig.waitForClients(0)
    }

    @Test func closeWithoutCode() throws {
        let rig = try Rig(shards: 1)
        let client = try rig.subscribe(ModelFilter([.logs]))
        try client.send(opcode: 8, [])
        #expect(try client.frame() == ServerFrame(opcode: 8, payload: []))
        #expect(try client.frame() == nil)
    }

    static let violations: [(String, [UInt8], UInt16)] = [
        ("not masked", [0x81, 0x01, 0x61], 1002), ("reserved bit", [0xC1, 0x80, 0, 0, 0, 0], 1002),
        ("reserved opcode", [0x83, 0x80, 0, 0, 0, 0], 1002),
        ("continuation of nothing", [0x80, 0x80, 0, 0, 0, 0], 1002), ("long ping", [0x89, 0xFE], 1002),
        ("fragmented close", [0x08, 0x80, 0, 0, 0, 0], 1002),
        ("close with one byte", [0x88, 0x81, 0, 0, 0, 0, 3], 1002), ("close 1005", [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xED], 1002),
        ("binary", [0x82, 0x80, 0, 0, 0, 0], 1003), ("not UTF-8", [0x81, 0x81, 0, 0, 0, 0, 0xFF], 1007),
        ("too big", [0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1], 1009),
    ]

    @Test(arguments: violations)
    func violation(what: String, bytes: [UInt8], code: UInt16) throws {
        let rig = try Rig(shards: 1)
        let client = try rig.subscribe(ModelFilter([.logs]))
        try client.write(bytes)
        #expect(try client.frame()?.opcode == 8)
        #expect(client.closeCode == code, "\(what)")
        #expect(try client.frame() == nil)
        #expect(rig.sum { $0.protocolErrors.load(ordering: .relaxed) } == 1)
        // Whatever else it sends is of no interest.
        try client.send(#"{"type":"ping"}"#)
        client.end()
        try rig.waitForClients(0)
    }

    /// Our close frame is the last: neither answers nor events nor states follow it.
    @Test func nothingFollowsOurClose() throws {
        let rig = try Rig(shards: 1, clock: ManualClock())
        let client = try rig.subscribe(ModelFilter([.all]))
        try rig.drain()
        for _ in 0..<3 {
            try client.send(#"{"type":"ping"}"#)
            try client.send(opcode: 9, [1])
            try client.send(#"{"type":"subscribe","id":"1","data":{"channels":["logs","providers"]}}"#)
            try client.send("nonsense")
        }
        #expect(rig.hub.publish([draft(.logs, "{}")]) == nil)
        rig.hub.updateStats(StatsGroup(window: "5m", interval: 5), at: Instant(milliseconds: 0), data: Array("{}".utf8))
        try client.sendClose(1001)
        #expect(try client.message()?["type"]?.string == "drain")
        #expect(try client.frame()?.opcode == 8)
        #expect(client.closeCode == 1001)
        #expect(client.closeReason == "the daemon stops or restarts")
        #expect(try client.frame() == nil)
    }

    /// Disconnected by an admin: the frame that has begun is finished, then comes the close.
    @Test func disconnectingAClientThatIsBehind() throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        let rig = try Rig(limits, shards: 1, clock: ManualClock())
        let client = try rig.subscribe(ModelFilter([.logs]))
        let shard = rig.shards[0]
        let text = String(repeating: "x", count: 20_000)
        for number in 0..<20 { rig.hub.publish([draft(.logs, #"{"n":\#(number),"x":"\#(text)"}"#)]) }
        rig.settle()
        let id = try #require(shard.queue.sync { shard.describeClients().first?.id })
        #expect(!shard.queue.sync { shard.disconnect(id + 1) })
        #expect(shard.queue.sync { shard.disconnect(id) })
        // Twice is the same as once.
        _ = shard.queue.sync { shard.disconnect(id) }
        var ledger = Ledger()
        try ledger.read(client, until: "none")
        #expect(client.closeCode == 4505)
        #expect(ledger.events.map(\.number) == Array(0..<ledger.events.count))
        #expect(ledger.events.count < 20)
        rig.settle()
        #expect(rig.total(.delivered) == UInt64(ledger.events.count))
    }

    /// A client that says goodbye while it is behind gets what its ring holds, then the answer.
    @Test func clientClosesWhileBehind() throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        let rig = try Rig(limits, shards: 1)
        let client = try rig.subscribe(ModelFilter([.logs]))
        let text = String(repeating: "x", count: 2000)
        for number in 0..<200 { rig.hub.publish([draft(.logs, #"{"n":\#(number),"x":"\#(text)"}"#)]) }
        try client.sendClose()
        var ledger = Ledger()
        try ledger.read(client, until: "none")
        #expect(client.closeCode == 1000)
        #expect(ledger.events.map(\.number) == Array(0..<ledger.events.count))
        #expect(try client.frame() == nil)
    }

    @Test func limitsOfConnections() throws {
        var limits = Limits()
        limits.clientsMax = 2
        limits.httpConnectionsMax = 2
        let rig = try Rig(limits, shards: 2)
        let clients = try (0..<2).map { try rig.subscribe(ModelFilter([.logs]), to: $0) }
        let target = rig.desk.register(Upgrade(subscription: try ModelFilter([.logs]).subscription()))
        let third = try rig.connect()
        try third.write(SocketClient.upgradeRequest(target))
        let answer = try #require(try third.answer())
        #expect(answer.status == 503)
        #expect(answer.head.contains("retry-after: "))
        #expect(try third.answer() == nil)
        third.end()
        clients[0].end()
        try rig.waitForClients(1)
        let fourth = try rig.connect()
        try fourth.upgrade(target)
        try rig.waitForClients(2)
        try waitUntil("the refused one is gone") { rig.hub.connectionCount == 2 }
        // Two others may ask over HTTP.
        let asking = try (0..<2).map { try rig.connect(to: $0) }
        for client in asking { #expect(try client.request("GET", "/x")?.status == 200) }
        let surplus = try rig.connect()
        #expect(try surplus.request("GET", "/x")?.status == 503)
        #expect(try surplus.answer() == nil)
        withExtendedLifetime((clients, fourth, asking)) {}
    }

    @Test func descriptionOfClients() throws {
        let rig = try Rig(shards: 1, clock: ManualClock())
        let client = try rig.connect()
        try client.upgrade(
            rig.desk.register(Upgrade(subscription: try ModelFilter([.logs], ["level": "warn"]).subscription())),
            [("User-Agent", "test/1 " + String(repeating: "u", count: 300))])
        let shard = rig.shards[0]
        let found = shard.queue.sync { shard.describeClients() }
        #expect(found.count == 1)
        #expect(found.first?.id == 1)
        #expect(found.first?.userAgent.count == 200)
        #expect(found.first?.address.description == "127.0.0.1:1")
        #expect(found.first?.subscription.channels == ChannelSet(.logs))
        #expect(found.first?.since.rfc3339 == "2026-02-05T10:30:00.000Z")
        #expect(found.first?.behind == 0 && found.first?.waiting == 0)
    }
}
