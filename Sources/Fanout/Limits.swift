// Every number that bounds what a peer can make grow. Values come from the configuration; docs/ARCHITECTURE.md lists them.

import Base
import Host

/// Limits and times of the engine.
public struct Limits: Sendable {
    /// Clients at once.
    public var clientsMax = 1000
    /// Other connections at once.
    public var httpConnectionsMax = 256
    /// Beyond so many of them none is kept for a further request: idle ones leave places for who asks something.
    var idleConnectionsMax: Int { httpConnectionsMax * 3 / 4 }
    /// Spans waiting per client.
    public var ringSpansMax = 256
    /// Bytes of a client's outbox (answers, gaps, snapshots) beyond which its input rests.
    public var outboxBytesMax = 65_536
    /// One inbound message.
    public var messageBytesMax = 65_536
    /// Inbound messages per client in a second; 0: no limit.
    public var messagesPerSecond = 50
    /// Bytes received from one client in a second, beside one message of `messageBytesMax`; 0: no limit.
    public var bytesPerSecond = 1_048_576
    /// Connections of one address, and new ones in a second; trusted proxies and loopback addresses have no limit.
    public var connectionsPerAddress = 200
    public var handshakesPerSecond = 50
    /// Whose word counts for a client's address.
    public var trustedProxies: [IPNetwork] = []
    /// Time for a TLS handshake.
    public var handshakeTime = Duration.seconds(10)
    /// Time for a request's head to be complete, and for its body to make progress.
    public var requestTime = Duration.seconds(10)
    /// Bytes of a body that must arrive within each `requestTime`.
    public var bodyProgressBytes = 16_384
    /// Time for a connection that asked with `?auth=message` to say who it is.
    public var authenticationTime = Duration.seconds(5)
    /// Of such connections at once: strangers must not take the places of all others.
    var awaitingMax: Int { max(16, clientsMax / 4) }
    /// Time that an idle kept-alive connection may stay.
    public var keepAliveTime = Duration.seconds(30)
    /// Time for a close handshake, and for a last answer to be taken.
    public var closeTime = Duration.seconds(3)
    /// While draining: time that a connection may take none of our bytes, and time for the whole.
    public var drainStallTime = Duration.seconds(3)
    public var drainTime = Duration.seconds(15)
    /// Clients of a daemon that stops are told to come back within this window: it grows by so much for each, up to a bound.
    public var drainWindowMilliseconds = (base: 1000, perClient: 4, max: 60_000)
    public var heartbeatInterval = Duration.seconds(30)
    public var clientTimeout = Duration.seconds(90)
    /// Disconnect (4008) a slow consumer whose events history no longer has, instead of telling it a gap.
    public var disconnectsSlowConsumers = false
    /// Seconds between `stats_update`s for who does not ask for another interval.
    public var statsInterval = 5
    /// The kernel's send buffer per connection: what it keeps for a slow reader is not ours to drop any more.
    public var sendBufferBytes: Int32 = 131_072
    /// Bytes that one client is given in one round, so that it does not keep the others waiting.
    public var roundBytesMax = 65_536
    /// Bytes that a round compresses for clients with streams of their own before it looks at the others: 10 to 20 ms on a slow core.
    public var roundCompressionMax = 524_288

    public var compression = CompressionLimits()

    public var historyEventsMax = 10_000
    public var historyBytesMax = 16_777_216
    public var historyAgeMax = Duration.seconds(3600)

    /// Events in one replay; older ones are cut.
    public var replayEventsMax = 100_000
    /// Time that one replay may spend on reading from the sources.
    public var replayTime = Duration.seconds(10)
    /// Replays that read at the same time.
    public var replaysMax = 8

    public init() {}

    /// What bounds the connections of an address.
    var addressRules: AddressGate.Rules {
        var rules = AddressGate.Rules()
        rules.connectionsMax = connectionsPerAddress
        rules.handshakesPerSecond = handshakesPerSecond
        rules.trusted = trustedProxies
        return rules
    }
    /// Events per segment: a sixteenth of history, so that what history holds beyond its bounds stays small.
    var segmentEvents: Int { min(max(historyEventsMax / 16, 16), 1024) }
    var segmentBytes: Int { min(max(historyBytesMax / 64, 4096), 262_144) }
    /// `historyAgeMax` in nanoseconds.
    var historyAge: UInt64 { UInt64(clamping: historyAgeMax.components.seconds) &* 1_000_000_000 }
    /// `replayTime` in nanoseconds.
    var replayNanoseconds: UInt64 { UInt64(clamping: replayTime.components.seconds) &* 1_000_000_000 }
}
