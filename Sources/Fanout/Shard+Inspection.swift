// What operators see of a shard's clients, and do to them.

import Base
import Host
import Protocol

/// A client as `/admin/ws/clients` shows it.
public struct ClientDescription: Sendable {
    public let id: UInt64
    public let address: PeerAddress
    public let principal: Principal
    public let userAgent: String
    public let encoding: Encoding
    /// How its messages are compressed: none, deflate (as for many at once), deflate_context (for it alone), gzip.
    public let compression: String
    public let subscription: Subscription
    /// Spans in its ring.
    public let waiting: Int
    /// Events behind the live stream; 0 while it keeps up.
    public let behind: UInt64
    public let dropped: UInt64
    public let bytesSent: UInt64
    public let since: Instant
}

/// The ledger of a shard at one moment, with what waits: the accounts agree.
public struct ShardReport: Sendable {
    public let shard: Int
    private let counts: [[UInt64]]
    private let waiting: WideLanes

    init(shard: Int, ledger: LossLedger, waiting: WideLanes) {
        self.shard = shard
        counts = Outcome.allCases.map { outcome in Channel.allCases.map { ledger.count(outcome, $0) } }
        self.waiting = waiting
    }

    public func count(_ outcome: Outcome, _ channel: Channel) -> UInt64 { counts[outcome.rawValue][Int(channel.rawValue)] }
    public func total(_ outcome: Outcome) -> UInt64 { counts[outcome.rawValue].reduce(0, &+) }
    /// Events in rings, and events that clients who are behind are owed.
    public func waiting(_ channel: Channel) -> UInt64 { waiting[channel] }
}

extension Shard {
    /// Every client. On the shard's queue.
    public func describeClients() -> [ClientDescription] {
        assertOwned()
        var found: [ClientDescription] = []
        forEachClient { _, client in
            guard client.pointee.flags.isDisjoint(with: [.http, .ended]) else { return }
            let details = client.pointee.details
            found.append(
                ClientDescription(
                    id: details.id, address: details.address, principal: details.principal, userAgent: details.userAgent,
                    encoding: client.pointee.encoding,
                    compression: client.pointee.flags.contains(.streams) ? "deflate_context" : client.pointee.encoding.compression.name,
                    subscription: details.subscription,
                    waiting: client.pointee.ring.depth,
                    behind: client.pointee.flags.contains(.behind) ? cursor - client.pointee.cursor : 0, dropped: client.pointee.dropped,
                    bytesSent: client.pointee.bytesSent, since: details.since))
        }
        return found
    }

    /// The shard's accounts as they are at one moment. On the shard's queue.
    public func report() -> ShardReport {
        assertOwned()
        var waiting = WideLanes()
        forEachClient { _, client in
            guard !client.pointee.flags.contains(.http) else { return }
            var position = 0
            while let span = client.pointee.ring.peek(position, capacity: slots.capacity) {
                waiting += span.pointee.lanes
                position += 1
            }
            if let owed = client.pointee.details.backlog?.owed { waiting.add(owed) }
        }
        return ShardReport(shard: number, ledger: ledger, waiting: waiting)
    }

    /// Closes a client by the `id` of its description. On the shard's queue.
    /// - Returns: whether this shard has it.
    public func disconnect(_ id: UInt64) -> Bool {
        assertOwned()
        var found: UInt32?
        forEachClient { index, client in
            if client.pointee.details.id == id, client.pointee.flags.isDisjoint(with: [.http, .ended]) { found = index }
        }
        guard let found else { return false }
        close(found, .disconnectedByAdmin)
        return true
    }
}

extension Hub {
    /// Runs a question on every shard and hands all the answers over at once, on the queue of the last shard that answered.
    public func ask<Answer: Sendable>(
        _ question: @escaping @Sendable (Shard) -> Answer, then: @escaping @Sendable ([Answer]) -> Void
    ) {
        let shards = shards
        if shards.isEmpty { return then([]) }
        let collected = Collected<Answer>(shards.count)
        for shard in shards {
            shard.post { if let all = collected.add(question($0)) { then(all) } }
        }
    }
}
