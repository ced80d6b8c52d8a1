// GET /admin/ws/stats: how many, how much, and where every event went.

import Base
import Fanout
import Host
import Protocol

extension Router {
    func adminStats(_ later: @escaping @Sendable (Response) -> Void) {
        hub.ask({ $0.report() }) { [self] reports in later(stats(reports.sorted { $0.shard < $1.shard })) }
    }

    private func stats(_ reports: [ShardReport]) -> Response {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("total_clients")
        writer.int(Int64(hub.clientCount))
        writer.key("subscriptions")
        writer.beginObject()
        for channel in Channel.allCases {
            writer.key(channel.name)
            writer.int(Int64(hub.shards.reduce(0) { $0 + $1.counters.subscriptions(to: channel) }))
        }
        writer.endObject()
        writer.key("uptime_seconds")
        writer.int((hub.clock.now().milliseconds - started.milliseconds) / 1000)
        writer.key("epoch")
        writer.string(hub.epoch.description)
        writer.key("events_published")
        writer.int(Int64(clamping: hub.newestSequence))
        let history = hub.historySize()
        writer.key("history")
        writer.beginObject()
        writer.key("events")
        writer.int(Int64(history.events))
        writer.key("bytes")
        writer.int(Int64(history.bytes))
        writer.key("oldest_id")
        writer.string(hub.epoch.id(history.oldest))
        writer.endObject()
        write(ledger: reports, to: &writer)
        writer.key("gaps")
        Router.object(GapReason.allCases.map { ($0.rawValue, Int64(clamping: hub.gaps.count($0))) }, to: &writer)
        writer.key("replays")
        Router.object(
            [
                ("running", Int64(hub.replays.running.load(ordering: .relaxed))), ("waiting", Int64(hub.replays.waiting)),
                ("begun", Int64(clamping: hub.replays.begun.load(ordering: .relaxed))),
                ("cut", Int64(clamping: hub.replays.cut.load(ordering: .relaxed))),
                ("events_read", Int64(clamping: hub.replays.eventsRead.load(ordering: .relaxed))),
            ], to: &writer)
        writer.key("refused")
        Router.object(Refusal.allCases.map { ($0.rawValue, Int64(clamping: hub.refusals.count($0))) }, to: &writer)
        writer.key("redacted")
        Router.object(RedactionRule.allCases.map { ($0.rawValue, Int64(clamping: hub.redaction.count($0))) }, to: &writer)
        writer.key("sources")
        Router.object(options.sourceCounters().map { ($0.name, $0.count) }, to: &writer)
        if let daysLeft = options.certificateDaysLeft?() { write(tls: daysLeft, to: &writer) }
        writer.key("shards")
        writer.beginArray()
        for (shard, report) in zip(hub.shards, reports) { Router.object(Router.numbers(of: shard, report), to: &writer) }
        writer.endArray()
        writer.endObject()
        return Response(status: 200, json: writer.bytes)
    }

    /// The accounts per channel; on each line `offered` is the sum of the others behind it.
    private func write(ledger reports: [ShardReport], to writer: inout JSONWriter) {
        writer.key("ledger")
        writer.beginObject()
        for channel in Channel.allCases {
            writer.key(channel.name)
            var line: [(String, Int64)] = [("published", Int64(clamping: hub.publishedCount(channel)))]
            for outcome in Outcome.allCases {
                line.append((outcome.name, Int64(clamping: reports.reduce(0) { $0 &+ $1.count(outcome, channel) })))
            }
            line.append(("waiting", Int64(clamping: reports.reduce(0) { $0 &+ $1.waiting(channel) })))
            Router.object(line, to: &writer)
        }
        writer.endObject()
    }

    private func write(tls daysLeft: Int, to writer: inout JSONWriter) {
        let counters = hub.shards.map(\.tlsCounters)
        writer.key("tls")
        writer.beginObject()
        for (key, value) in [
            ("certificate_days_left", Int64(daysLeft)),
            ("handshakes", Int64(clamping: counters.reduce(0) { $0 &+ $1.handshakes.load(ordering: .relaxed) })),
            ("resumed", Int64(clamping: counters.reduce(0) { $0 &+ $1.resumed.load(ordering: .relaxed) })),
            ("underway", Int64(counters.reduce(0) { $0 + $1.underway.load(ordering: .relaxed) })),
            ("waiting", Int64(counters.reduce(0) { $0 + $1.waiting.load(ordering: .relaxed) })),
        ] {
            writer.key(key)
            writer.int(value)
        }
        writer.key("failed")
        Router.object(TLSFailure.Kind.allCases.map { kind in (kind.rawValue, Int64(clamping: counters.reduce(0) { $0 &+ $1.count(kind) })) }, to: &writer)
        writer.endObject()
    }

    private static func numbers(of shard: Shard, _ report: ShardReport) -> [(String, Int64)] {
        let counters = shard.counters
        return [
            ("shard", Int64(shard.number)), ("connections", Int64(counters.connections.load(ordering: .relaxed))),
            ("clients", Int64(counters.clients.load(ordering: .relaxed))),
            ("deliveries", Int64(clamping: report.total(.delivered))),
            ("bytes_sent", Int64(clamping: counters.bytesSent.load(ordering: .relaxed))),
            ("dropped", Int64(clamping: report.total(.dropped))),
            ("gaps", Int64(clamping: counters.gaps.load(ordering: .relaxed))),
            ("conflated", Int64(clamping: report.total(.conflated))),
            ("messages_received", Int64(clamping: counters.messagesReceived.load(ordering: .relaxed))),
            ("protocol_errors", Int64(clamping: counters.protocolErrors.load(ordering: .relaxed))),
            ("rate_limited", Int64(clamping: counters.rateLimited.load(ordering: .relaxed))),
            ("connections_refused", Int64(clamping: counters.refused.load(ordering: .relaxed))),
        ]
    }

    private static func object(_ members: [(String, Int64)], to writer: inout JSONWriter) {
        writer.beginObject()
        for (key, value) in members {
            writer.key(key)
            writer.int(value)
        }
        writer.endObject()
    }
}
