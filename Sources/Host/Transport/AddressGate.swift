// Limits per address: how many connections, and how many new ones in a second. IPv6 addresses count by their /64.

import Base

/// Lets addresses in or turns them away. Any thread; one lock of sixteen for a few instructions, once per connection.
///
/// The table is bounded. Who is connected is counted exactly and never forgotten; who is not may be forgotten, and has a full bucket again: when
/// there are too many, those go whose bucket is full anyway, and only where that frees nothing, all that are not connected.
public final class AddressGate: Sendable {
    public struct Rules: Sendable {
        public var connectionsMax = 200
        public var handshakesPerSecond = 50
        /// Are not limited themselves; nor are loopback addresses.
        public var trusted: [IPNetwork] = []
        /// False for tests, which have no other addresses.
        public var exemptsLoopback = true

        public init() {}
    }

    /// A counted connection: it counts until it is let go of.
    public final class Admission: Sendable {
        private let site: IPAddress
        private let gate: AddressGate

        fileprivate init(_ site: IPAddress, _ gate: AddressGate) {
            self.site = site
            self.gate = gate
        }

        deinit { gate.leave(site) }
    }

    public enum Verdict: Sendable {
        /// With nil, it does not count.
        case admitted(Admission?)
        case refused(Refused)
    }

    /// What to tell who is turned away.
    public struct Refused: Sendable {
        public let why: Refusal
        public let limit: Int

        /// Seconds.
        public var retryAfter: Int { why == .handshakesPerSecond ? 1 : 5 }
        public var what: String {
            why == .handshakesPerSecond
                ? "more than limits.handshakes_per_second (\(limit)) from this address"
                : "limits.connections_per_address (\(limit)) is reached by this address"
        }
        /// A whole answer over HTTP, after which the connection ends.
        var answer: [UInt8] {
            let body = "{\"error\":\"\(what)\"}"
            return Array(
                "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: \(retryAfter)\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
                    .utf8)
        }
    }

    private struct Entry {
        var connections: UInt32 = 0
        /// Thousandths of a handshake that are free, and when that was so, in milliseconds; both wrap around after 49 days, which does not matter.
        var free: UInt32
        var since: UInt32
    }

    public static let entriesMax = 65_536
    private static let stripes = 16
    public let refusals = RefusalCounters()
    private let clock: any Clock
    private let rules: Locked<Rules>
    private let tables: [Locked<[IPAddress: Entry]>]
    private let entriesPerStripe: Int

    /// - Parameter entriesMax: at least 16.
    public init(rules: Rules, clock: any Clock, entriesMax: Int = AddressGate.entriesMax) {
        self.rules = Locked(rules)
        self.clock = clock
        entriesPerStripe = max(1, entriesMax / AddressGate.stripes)
        tables = (0..<AddressGate.stripes).map { _ in Locked([:]) }
    }

    /// Other rules, for connections that come from now on. Any thread.
    public func apply(_ wanted: Rules) { rules.withLock { $0 = wanted } }

    public func isTrusted(_ address: IPAddress) -> Bool { rules.withLock { $0.trusted }.contains(address) }

    /// Addresses in the table.
    public var entries: Int { tables.reduce(0) { $0 + $1.withLock { $0.count } } }

    /// Lets a connection of this address in, and counts it.
    public func admit(_ address: IPAddress) -> Verdict {
        let rules = rules.withLock { $0 }
        if address.isLoopback && rules.exemptsLoopback || rules.trusted.contains(address) { return .admitted(nil) }
        let site = address.site
        let now = UInt32(truncatingIfNeeded: clock.monotonic() / 1_000_000)
        let why = table(of: site).withLock { table -> Refusal? in
            let full = UInt32(clamping: rules.handshakesPerSecond * 1000)
            var entry = table[site] ?? Entry(free: full, since: now)
            entry.free = AddressGate.free(entry, now, rules)
            entry.since = now
            var why: Refusal?
            if entry.free < 1000 {
                why = .handshakesPerSecond
            } else {
                entry.free -= 1000
                if entry.connections >= rules.connectionsMax { why = .connectionsPerAddress } else { entry.connections += 1 }
            }
            if table[site] == nil, table.count >= entriesPerStripe { AddressGate.makeRoom(in: &table, now, rules) }
            table[site] = entry
            return why
        }
        guard let why else { return .admitted(Admission(site, self)) }
        refusals.add(why)
        return .refused(Refused(why: why, limit: why == .handshakesPerSecond ? rules.handshakesPerSecond : rules.connectionsMax))
    }

    private static func free(_ entry: Entry, _ now: UInt32, _ rules: Rules) -> UInt32 {
        let gained = UInt64(now &- entry.since) * UInt64(rules.handshakesPerSecond)
        return UInt32(min(UInt64(clamping: rules.handshakesPerSecond * 1000), UInt64(entry.free) + gained))
    }

    /// O(entries of a stripe), after as many new ones at least: either a part of them goes, or all that can.
    private static func makeRoom(in table: inout [IPAddress: Entry], _ now: UInt32, _ rules: Rules) {
        let before = table.count
        let full = UInt32(clamping: rules.handshakesPerSecond * 1000)
        table = table.filter { $0.value.connections > 0 || free($0.value, now, rules) < full }
        if table.count > before * 3 / 4 { table = table.filter { $0.value.connections > 0 } }
    }

    private func leave(_ site: IPAddress) {
        table(of: site).withLock { table in
            if let count = table[site]?.connections, count > 0 { table[site]?.connections = count - 1 }
        }
    }

    private func table(of site: IPAddress) -> Locked<[IPAddress: Entry]> {
        // The multiplier of Fibonacci hashing; the table hashes with a key of its own.
        tables[Int(truncatingIfNeeded: ((site.high ^ site.low) &* 0x9E37_79B9_7F4A_7C15) >> 60)]
    }
}
