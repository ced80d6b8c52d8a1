// Signs of life and their absence, on a clock that the test moves.

import Base
import Glibc
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct TimeoutTests {
    private static let interval = 8
    private static let timeout = 24
    private let clock = ManualClock()

    private var limits: Limits {
        var limits = Limits()
        limits.heartbeatInterval = .milliseconds(TimeoutTests.interval * Wheel.tickMilliseconds)
        limits.clientTimeout = .milliseconds(TimeoutTests.timeout * Wheel.tickMilliseconds)
        limits.sendBufferBytes = 4096
        return limits
    }

    private func pass(_ ticks: Int, _ rig: Rig, each: () throws -> Void) rethrows { try rig.pass(ticks, on: clock, each: each) }
    private func pass(_ ticks: Int, _ rig: Rig) { rig.pass(ticks, on: clock) }

    @Test func silentClientsArePingedThenClosed() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        rig.hub.publish([draft(.requests, "{}"), draft(.requests, "{}")])
        rig.settle()
        var pings = 0
        try pass(TimeoutTests.timeout - 1, rig) {
            while try client.hasInput() {
                let frame = try #require(try client.frame())
                #expect(frame == ServerFrame(opcode: 9, payload: Array("ml9bes00-2".utf8)))
                pings += 1
            }
        }
        #expect((2...4).contains(pings))
        #expect(rig.hub.clientCount == 1)
        pass(1, rig)
        #expect(try client.message() == nil)
        #expect(client.closeCode == 4000)
        #expect(client.closeReason == "no sign of life")
        // Nothing comes back: after the time for that the connection ends.
        pass(Int(Wheel.ticks(limits.closeTime)), rig)
        #expect(try client.frame() == nil)
        #expect(rig.hub.clientCount == 0)
    }

    @Test func heartbeatAsJSON() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]).subscription()) { $0.heartbeatIsJSON = true }
        pass(TimeoutTests.interval, rig)
        let message = try #require(try client.message())
        #expect(message["type"]?.string == "ping")
        #expect(message["data"]?["position"]?.string == "ml9bes00-0")
        #expect(client.pings == [])
    }

    /// Anything received is a sign of life: text, ping, pong, half a frame.
    @Test(arguments: ["text", "ping", "pong", "half"])
    func whoeverSaysSomethingStays(kind: String) throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        let long = [0x81, 0xFE, 0x01, 0x00, 0, 0, 0, 0] + [UInt8](repeating: 120, count: 256)
        var sent = 0
        for round in 0..<10 {
            try pass(TimeoutTests.timeout - 2, rig) {
                while try client.hasInput() { #expect(try client.frame().map { $0.opcode == 9 || $0.opcode == 10 } == true) }
            }
            let before = rig.shards[0].queue.sync { rig.shards[0].client(0).pointee.lastReceived }
            switch kind {
            case "text": try client.send(#"{"type":"pong"}"#)
            case "ping": try client.send(opcode: 9, [])
            case "pong": try client.send(opcode: 10, [1, 2])
            default:
                // Of a message that never gets whole.
                try client.write(Array(long[sent..<sent + 20]))
                sent += 20
            }
            try waitUntil("round \(round) is received") {
                rig.shards[0].queue.sync { rig.shards[0].client(0).pointee.lastReceived } != before
            }
        }
        #expect(rig.hub.clientCount == 1)
        while try client.hasInput() { _ = try client.frame() }
        #expect(client.closeCode == nil)
        pass(TimeoutTests.timeout, rig)
        #expect(try client.message() == nil)
        #expect(client.closeCode == 4000)
    }

    /// Those who come at once are not all pinged at once.
    @Test func pingsAreSpread() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let clients = try (0..<60).map { _ in try rig.subscribe(ModelFilter([.logs])) }
        var counts: [Int] = []
        var answered = 0
        try pass(5 * TimeoutTests.interval, rig) {
            var count = 0
            for client in clients where try client.hasInput() {
                #expect(try client.frame()?.opcode == 9)
                count += 1
                try client.send(opcode: 10, [])
            }
            counts.append(count)
            answered += count
            // All answers are in before time goes on.
            let received = rig.shards[0]
            try waitUntil("pongs") {
                received.queue.sync { (0..<60).allSatisfy { !hasUnread(received.client(UInt32($0)).pointee.descriptor) } }
            }
        }
        #expect(answered >= 4 * 60 && answered <= 6 * 60, "one an interval for each: \(counts)")
        #expect((counts.max() ?? 60) < 40, "\(counts)")
    }

    /// A peer that takes none of our bytes is ended by the same time-out, whatever it sends.
    @Test func stuckClientsAreEnded() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.subscribe(ModelFilter([.logs]))
        rig.hub.publish([draft(.logs, "\"" + String(repeating: "x", count: 100_000) + "\"")])
        rig.settle()
        var ticks = 0
        while rig.hub.clientCount == 1, ticks < 3 * TimeoutTests.timeout {
            try client.send(opcode: 10, [])
            try waitUntil("the pong is read") {
                rig.shards[0].queue.sync { rig.hub.clientCount == 0 || !hasUnread(rig.shards[0].client(0).pointee.descriptor) }
            }
            pass(1, rig)
            ticks += 1
        }
        #expect(rig.hub.clientCount == 0)
        #expect(ticks >= TimeoutTests.timeout && ticks <= TimeoutTests.timeout + TimeoutTests.interval)
    }

    /// Time for a request's head, told with 408; silence is ended without a word.
    @Test func requestsHaveToArrive() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let silent = try rig.connect()
        let half = try rig.connect()
        try half.write("GET /x HT")
        try waitUntil("half a head") {
            rig.shards[0].queue.sync { rig.shards[0].client(1).pointee.details.exchange?.input.count == 9 }
        }
        pass(Int(Wheel.ticks(limits.requestTime)) - 1, rig)
        #expect(try !silent.hasInput() && !half.hasInput())
        pass(1, rig)
        #expect(try silent.answer() == nil)
        #expect(try half.answer()?.status == 408)
        #expect(try half.answer() == nil)
    }

    @Test func keptConnectionsMayRestForAWhile() throws {
        let rig = try Rig(limits, shards: 1, clock: clock)
        let client = try rig.connect()
        for _ in 0..<3 {
            #expect(try client.request("GET", "/x")?.status == 200)
            pass(Int(Wheel.ticks(limits.keepAliveTime)) - 1, rig)
            #expect(try !client.hasInput())
        }
        pass(1, rig)
        #expect(try client.answer() == nil)
        #expect(rig.hub.connectionCount == 0)
    }
}

/// Whether a socket holds bytes that its owner has not read.
func hasUnread(_ descriptor: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 0) > 0
}
