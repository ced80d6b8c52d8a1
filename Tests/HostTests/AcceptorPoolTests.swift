// Connections that are turned away where they are accepted.

import Base
import Glibc
import Host
import TestSupport
import Testing

@Suite struct AcceptorPoolTests {
    private func rules(_ connections: Int, _ rate: Int) -> AddressGate.Rules {
        var rules = AddressGate.Rules()
        rules.exemptsLoopback = false
        rules.connectionsMax = connections
        rules.handshakesPerSecond = rate
        return rules
    }

    /// The one too many has a whole answer, also where it asks only after it was turned away; and there is room again when another has left.
    @Test func turnsAway() throws {
        let gate = AddressGate(rules: rules(2, 1_000_000), clock: SystemClock())
        let socket = try ListeningSocket(ListenAddress(host: "127.0.0.1", port: 0))
        let port = try #require(socket.address).port
        let held = Locked<[AddressGate.Admission]>([])
        let pool = try AcceptorPool(listening: [socket], gate: gate) { accepted in
            if let admission = accepted.admission { held.withLock { $0.append(admission) } }
            // Left open, as a shard would.
            _ = accepted.release()
        }
        try pool.start(threads: 2)
        defer { pool.stop() }
        let clients = try (0..<2).map { _ in try SocketClient(port: port) }
        try waitUntil("both are in") { held.withLock { $0.count } == 2 }
        for asksLate in [false, true] {
            let third = try SocketClient(port: port)
            if asksLate { try waitUntil("it is turned away") { gate.refusals.count(.connectionsPerAddress) == 2 } }
            _ = try third.write("GET /ws/logs HTTP/1.1\r\nHost: x\r\n\r\n")
            let answer = try #require(try third.answer())
            #expect(answer.status == 429)
            #expect(answer.head.contains("retry-after: 5") && answer.head.contains("connection: close"))
            #expect(answer.text == #"{"error":"limits.connections_per_address (2) is reached by this address"}"#)
        }
        held.withLock { $0 = $0.dropLast() }
        let fourth = try SocketClient(port: port)
        try waitUntil("it is in") { held.withLock { $0.count } == 2 }
        #expect(clients.count == 2 && fourth.descriptor >= 0)
    }

    /// A flood is answered where it is accepted.
    @Test func flood() throws {
        // Its time stands still, so that a slow run lets in no more than a quick one.
        let gate = AddressGate(rules: rules(1_000_000, 1), clock: ManualClock())
        let socket = try ListeningSocket(ListenAddress(host: "127.0.0.1", port: 0))
        let port = try #require(socket.address).port
        let pool = try AcceptorPool(listening: [socket], gate: gate) { _ in }
        try pool.start(threads: 2)
        for _ in 0..<500 { _ = try SocketClient(port: port) }
        try waitUntil("all were looked at") { gate.refusals.count(.handshakesPerSecond) == 499 }
        let answer = try #require(try SocketClient(port: port).answer())
        #expect(answer.status == 429)
        #expect(answer.text.contains("limits.handshakes_per_second (1)"))
        pool.stop()
        #expect(gate.entries == 1)
    }
}
