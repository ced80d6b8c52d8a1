// GET /metrics: free for whoever asks on this machine without a proxy between, else for admins.

import Base
import Dispatch
import Fanout
import Host
import Protocol

/// A serial queue for writing the page: it takes longer than a shard may be held up, and one at a time is enough.
final class ScrapeQueue: Sendable {
    private let queue = DispatchQueue(label: "metrics", qos: .utility)
    func run(_ work: @escaping @Sendable () -> Void) { queue.async(execute: work) }
}

extension Router {
    /// Whether a request for the metrics needs nobody to say who it is. Not by a name that is none of this server's, whatever `auth.mode`:
    /// a page from elsewhere, whose name was made to lead to this machine, asks as this machine.
    func isFreeMetrics(_ endpoint: Endpoint, _ head: RequestHead, _ peer: PeerAddress) -> Bool {
        guard case .metrics = endpoint else { return false }
        return peer.isLoopback && !Access.isProxied(head) && access.isOwnHost(head)
    }

    /// Asks no shard: a scrape holds up nobody but the one who sends its answer.
    func metrics(_ later: @escaping @Sendable (Response) -> Void) {
        scrapes.run { [self] in
            let observed = observe()
            var text = MetricsText()
            for metric in Metric.all { text.write(metric, metric.samples(observed)) }
            later(
                Response(
                    status: 200, body: text.bytes, contentType: MetricsText.contentType, fields: [("Cache-Control", "no-store")]))
        }
    }

    func observe() -> Observation {
        let authentication = authentication
        return Observation(
            now: hub.clock.now(), started: started, hub: hub, shards: hub.shards, limits: hub.limits, broadcast: broadcast.limits,
            connectionsPerUser: authentication.connectionsPerUser, build: options.build, isDraining: options.isDraining(),
            sources: options.sources(),
            numbers: options.sourceNumbers(), credentials: authentication.checker?.counters ?? AuthenticatorCounters(),
            tickets: tickets.outstanding,
            certificateExpiry: options.certificateExpiry?(), process: ProcessUsage(at: hub.clock.now()))
    }
}
