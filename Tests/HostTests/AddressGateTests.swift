// Connections per address: exact counts, a rate, and a table that stays small.

import Base
import Host
import TestSupport
import Testing

@Suite struct AddressGateTests {
    private let clock = ManualClock()

    private func gate(connections: Int = 3, rate: Int = 1000, trusted: [String] = [], entriesMax: Int = AddressGate.entriesMax) -> AddressGate {
        AddressGate(rules: rules(connections, rate, trusted), clock: clock, entriesMax: entriesMax)
    }

    private func rules(_ connections: Int, _ rate: Int, _ trusted: [String] = []) -> AddressGate.Rules {
        var rules = AddressGate.Rules()
        rules.connectionsMax = connections
        rules.handshakesPerSecond = rate
        rules.trusted = trusted.compactMap { IPNetwork($0) }
        return rules
    }

    private func ask(_ gate: AddressGate, _ address: String) throws -> (admission: AddressGate.Admission?, refused: Refusal?) {
        switch gate.admit(try #require(IPAddress(address))) {
        case .admitted(let admission): (admission, nil)
        case .refused(let refused): (nil, refused.why)
        }
    }

    @Test func connections() throws {
        let gate = gate()
        var held = try (0..<3).map { _ in try #require(ask(gate, "192.0.2.1").admission) }
        #expect(try ask(gate, "192.0.2.1").refused == .connectionsPerAddress)
        #expect(try ask(gate, "::ffff:192.0.2.1").refused == .connectionsPerAddress)
        #expect(try ask(gate, "192.0.2.2").refused == nil)
        held.removeLast()
        held.append(try #require(ask(gate, "192.0.2.1").admission))
        #expect(try ask(gate, "192.0.2.1").refused == .connectionsPerAddress)
        #expect(gate.refusals.count(.connectionsPerAddress) == 3)
        #expect(held.count == 3)
    }

    @Test func networksOfIPv6CountAsOne() throws {
        let gate = gate(connections: 2)
        let held = try ["2001:db8::1", "2001:db8::ffff:0:0:1"].map { try #require(ask(gate, $0).admission) }
        #expect(try ask(gate, "2001:db8::2").refused == .connectionsPerAddress)
        #expect(try ask(gate, "2001:db8:0:1::2").refused == nil)
        #expect(held.count == 2)
    }

    @Test func rate() throws {
        let gate = gate(connections: 1_000_000, rate: 10)
        for _ in 0..<10 { #expect(try ask(gate, "192.0.2.1").refused == nil) }
        #expect(try ask(gate, "192.0.2.1").refused == .handshakesPerSecond)
        #expect(try ask(gate, "192.0.2.2").refused == nil)
        clock.advance(.milliseconds(99))
        #expect(try ask(gate, "192.0.2.1").refused == .handshakesPerSecond)
        clock.advance(.milliseconds(1))
        #expect(try ask(gate, "192.0.2.1").refused == nil)
        #expect(try ask(gate, "192.0.2.1").refused == .handshakesPerSecond)
        clock.advance(.seconds(100))
        for _ in 0..<10 { #expect(try ask(gate, "192.0.2.1").refused == nil) }
        #expect(try ask(gate, "192.0.2.1").refused == .handshakesPerSecond)
        #expect(gate.refusals.count(.handshakesPerSecond) == 4)
    }

    @Test(arguments: ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "::ffff:10.0.0.1", "2001:db8::7"])
    func exempt(address: String) throws {
        let gate = gate(connections: 1, rate: 1, trusted: ["10.0.0.0/8", "2001:db8::/64"])
        for _ in 0..<100 {
            let (admission, refused) = try ask(gate, address)
            #expect(admission == nil && refused == nil)
        }
        #expect(gate.entries == 0)
    }

    @Test func otherRules() throws {
        let gate = gate(connections: 1)
        let held = try #require(ask(gate, "192.0.2.1").admission)
        #expect(try ask(gate, "192.0.2.1").refused == .connectionsPerAddress)
        gate.apply(rules(2, 1000))
        let more = try #require(ask(gate, "192.0.2.1").admission)
        #expect(try ask(gate, "192.0.2.1").refused == .connectionsPerAddress)
        gate.apply(rules(1, 1000, ["192.0.2.0/24"]))
        #expect(try ask(gate, "192.0.2.1").refused == nil)
        gate.apply(rules(1, 1))
        #expect(try ask(gate, "192.0.2.1").refused != nil)
        _ = (held, more)
    }

    /// However many addresses come, the table keeps its bound, and who is connected is not forgotten.
    @Test func bounded() throws {
        let gate = gate(connections: 2, rate: 5, entriesMax: 256)
        let held = try (0..<100).map { try #require(ask(gate, "192.0.2.\($0)").admission) }
        let more = try (0..<100).map { try #require(ask(gate, "192.0.2.\($0)").admission) }
        for number in 0..<20_000 {
            _ = gate.admit(IPAddress(high: 0x2001_0db8_0000_0000 + UInt64(number), low: 1))
            if number % 1000 == 0 { clock.advance(.milliseconds(50)) }
            // A stripe goes beyond its part only by what is connected.
            #expect(gate.entries <= 256 + 100)
        }
        for number in 0..<100 { #expect(try ask(gate, "192.0.2.\(number)").refused != nil, "\(number) was forgotten") }
        #expect(held.count + more.count == 200)
    }

    /// Counts come out at nothing, whoever comes and goes on several threads.
    @Test func balanced() throws {
        let gate = AddressGate(rules: rules(50, 1_000_000), clock: SystemClock())
        try onThreads(4) { thread in
            var random = SeededGenerator(seed: UInt64(thread))
            var held: [AddressGate.Admission] = []
            for _ in 0..<20_000 {
                if random.chance(50), !held.isEmpty { held.remove(at: random.int(0..<held.count)) }
                if case .admitted(let admission?) = gate.admit(IPAddress(high: 1, low: 0).next(random.int(0..<8))) { held.append(admission) }
            }
        }
        for number in 0..<8 {
            var held: [AddressGate.Admission] = []
            while case .admitted(let admission?) = gate.admit(IPAddress(high: 1, low: 0).next(number)) { held.append(admission) }
            #expect(held.count == 50)
        }
    }

    @Test func byKey() throws {
        let counter = ConnectionCounter<String>()
        var held = try (0..<2).map { _ in try #require(counter.enter("a", max: 2)) }
        #expect(counter.enter("a", max: 2) == nil)
        #expect(counter.enter("b", max: 0) == nil)
        #expect(counter.count(of: "a") == 2 && counter.keys == 1)
        held.removeLast()
        #expect(counter.count(of: "a") == 1)
        held.removeAll()
        #expect(counter.keys == 0)
    }
}

extension IPAddress {
    fileprivate func next(_ number: Int) -> IPAddress { IPAddress(high: high + UInt64(number) << 8, low: low) }
}
