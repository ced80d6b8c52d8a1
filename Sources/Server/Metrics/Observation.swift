// What one scrape looks at. Everything is read without asking a shard: counters are atomic, the rest has a lock of a few instructions.

import Base
import Fanout
import Host

/// The daemon at one moment.
struct Observation: Sendable {
    let now: Instant
    let started: Instant
    let hub: Hub
    let shards: [Shard]
    let limits: Limits
    let broadcast: BroadcastLimits
    let connectionsPerUser: Int
    let build: Build
    let isDraining: Bool
    let sources: [SourceReport]
    let numbers: SourceNumbers
    let credentials: AuthenticatorCounters
    let tickets: Int
    let certificateExpiry: Instant?
    let process: ProcessUsage

    func sum(_ value: (Shard) -> UInt64) -> UInt64 { shards.reduce(0) { $0 &+ value($1) } }
    func sum(_ value: (Shard) -> Int) -> Int { shards.reduce(0) { $0 &+ value($1) } }
    func outcome(_ outcome: Outcome, _ channel: Channel) -> UInt64 { sum { $0.ledger.count(outcome, channel) } }
    func total(_ outcome: Outcome) -> UInt64 { sum { $0.ledger.total(outcome) } }

    /// Events that are in rings or owed to clients that are behind: what is offered and in no account yet.
    func waiting(_ channel: Channel) -> UInt64 {
        // What is settled first: what is entered meanwhile must not make it negative.
        let settled = Outcome.allCases.reduce(0 as UInt64) { $1 == .offered ? $0 : $0 &+ outcome($1, channel) }
        let offered = outcome(.offered, channel)
        return max(offered, settled) - settled
    }
}

/// What the sources count for /metrics: plain numbers, since this module does not know the sources.
public struct SourceNumbers: Sendable {
    /// Looks at the gateway's database, by how they ended.
    public var databaseReads: [(result: String, count: UInt64)] = []
    public var databaseRows: UInt64 = 0
    public var samplerReadingNanoseconds: UInt64 = 0
    public var samplerWorkingNanoseconds: UInt64 = 0
    public var journalEntries: UInt64 = 0
    public var journalLines: UInt64 = 0
    public var journalParts: UInt64 = 0
    public var journalTruncated: UInt64 = 0
    public var journalSuppressed: UInt64 = 0
    public var journalOwn: UInt64 = 0

    public init() {}
}
