// Peers that begin a TLS handshake and do not end it, or begin something else.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout
@testable import Host

@Suite struct TLSFloodTests {
    private let clock = ManualClock()

    private func count(_ rig: Rig, _ kind: TLSFailure.Kind) -> UInt64 { rig.shards[0].tlsCounters.count(kind) }
    private func underway(_ rig: Rig) -> Int { rig.shards[0].tlsCounters.underway.load(ordering: .relaxed) }

    @Test func requestWithoutTLS() throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.connectWire()
        try client.writeWire(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        let answer = try #require(try client.answer())
        #expect(answer.status == 400)
        #expect(answer.text == #"{"error":"this port speaks TLS; use https:// or wss://"}"#)
        #expect(try client.answer() == nil)
        client.end()
        try waitUntil("it is gone") { rig.hub.connectionCount == 0 }
        rig.settle()
        #expect(count(rig, .plainHTTP) == 1)
    }

    @Test(arguments: [[0], [0x80, 0x2E, 1, 3, 1], [22, 2], [255, 255], Array("get / http/1.1\r\n".utf8)] as [[UInt8]])
    func somethingElse(bytes: [UInt8]) throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.connectWire()
        try client.writeWire(bytes)
        try client.readToEnd()
        client.end()
        try waitUntil("it is gone") { rig.hub.connectionCount == 0 }
        rig.settle()
        #expect(count(rig, .notTLS) == 1)
    }

    @Test(arguments: testSeeds(40)) func randomRecords(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let rig = try Rig(shards: 1, clock: clock, speaksTLS: true)
        let client = try rig.connectWire()
        let end = try TLSEnd()
        _ = try end.handshake()
        var bytes = end.output()
        switch generator.int(0..<3) {
        case 0: for _ in 0..<generator.int(1...8) { bytes[generator.int(5..<bytes.count)] = UInt8.random(in: 0...255, using: &generator) }
        case 1: bytes = [22, 3, 1, 0, 40] + (0..<40).map { _ in UInt8.random(in: 0...255, using: &generator) }
        default: bytes = [22, 3, UInt8.random(in: 0...255, using: &generator), 255, 255] + [UInt8](repeating: 1, count: 20_000)
        }
        try client.writeWire(bytes)
        rig.settle()
        client.end()
        try waitUntil("seed \(seed): it is gone") { rig.hub.connectionCount == 0 }
        #expect(underway(rig) == 0)
    }

    @Test func timeIsLimited() throws {
        let rig = try Rig(shards: 1, clock: clock, speaksTLS: true)
        let silent = try rig.connectWire()
        let partial = try rig.connectWire()
        let halfway = try rig.connectWire()
        let end = try TLSEnd()
        _ = try end.handshake()
        let hello = end.output()
        try partial.writeWire(hello.dropLast())
        try halfway.writeWire(hello)
        _ = try halfway.readWire()
        rig.settle()
        #expect(underway(rig) == 1)
        rig.pass(Int(Wheel.ticks(rig.hub.limits.handshakeTime)) + 1, on: clock)
        for client in [silent, partial, halfway] { try client.readToEnd() }
        #expect(count(rig, .timeout) == 3)
        #expect(rig.hub.connectionCount == 0 && underway(rig) == 0)
    }

    /// Whoever has said hello and then nothing gives way, after a second, to who comes later.
    @Test func whoDoesNotAnswerGivesWay() throws {
        let rig = try Rig(shards: 1, clock: clock, speaksTLS: true)
        func hello() throws -> SocketClient {
            let client = try rig.connectWire()
            let end = try TLSEnd()
            _ = try end.handshake()
            try client.writeWire(end.output())
            return client
        }
        let half = try (0..<128).map { _ in try hello() }
        try waitUntil("all are underway") { underway(rig) == 128 }
        let next = try rig.connectWire()
        let end = try TLSEnd()
        _ = try end.handshake()
        try next.writeWire(end.output())
        try waitUntil("its hello waits") { rig.shards[0].tlsCounters.waiting.load(ordering: .relaxed) == 1 }
        rig.pass(2, on: clock)
        #expect(underway(rig) == 128 && count(rig, .crowded) == 0)
        #expect(rig.shards[0].tlsCounters.waiting.load(ordering: .relaxed) == 1)
        rig.pass(3, on: clock)
        try waitUntil("one has given way") { count(rig, .crowded) == 1 }
        while try !end.handshake() { end.feed(try #require(try next.readWire())) }
        try next.writeWire(end.output())
        next.tls = end
        #expect(try next.request("GET", "/x")?.status == 200)
        #expect(half.count == 128)
    }

    /// While hellos come without end, those who are connected get every event between two of them.
    @Test func deliveryGoesOnInAFlood() throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.subscribe(try ModelFilter([.logs]).subscription())
        let floods = try (0..<300).map { _ in
            let end = try TLSEnd()
            _ = try end.handshake()
            return (try rig.connectWire(), end.output())
        }
        // Nothing is done before all hellos are there.
        rig.shards[0].queue.suspend()
        for (client, hello) in floods { try client.writeWire(hello) }
        rig.hub.publish([draft(.logs, #"{"n":1}"#)])
        rig.shards[0].queue.resume()
        #expect(try client.message()?["data"]?["n"]?.int == 1)
        #expect(underway(rig) < 128, "it did not wait for the flood")
        for number in 2...20 {
            rig.hub.publish([draft(.logs, #"{"n":\#(number)}"#)])
            #expect(try client.message()?["data"]?["n"]?.int == number)
        }
    }

    @Test func stoppingDuringHandshakes() throws {
        let rig = try Rig(shards: 1, clock: clock, speaksTLS: true)
        let client = try rig.subscribe(try ModelFilter([.logs]).subscription())
        let silent = try rig.connectWire()
        let late = try rig.connectWire()
        rig.settle()
        #expect(try rig.drain() == 1)
        #expect(try client.message()?["type"]?.string == "drain")
        #expect(try client.message() == nil && client.closeCode == 1001)
        try client.sendClose(1001)
        try client.readToEnd()
        #expect(client.tls?.isClosed == true)
        // Who is in the middle of it hears why it is refused.
        try late.handshake()
        #expect(try late.request("GET", "/ws/0")?.status != 101)
        rig.pass(8, on: clock)
        try silent.readToEnd()
        late.end()
        client.end()
        rig.pass(20, on: clock)
        #expect(rig.hub.connectionCount == 0)
    }
}
