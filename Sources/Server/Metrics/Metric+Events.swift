// The table of metrics: events, from publishing to the socket, and those of before.

import Fanout
import Protocol

extension Metric {
    static let events: [Metric] = [
        Metric(
            name: prefix + "events_published_total", kind: .counter, unit: "",
            labels: [.channel, MetricLabel(name: "source", values: Publisher.allCases.map(\.rawValue))],
            help:
                "Events that history has taken, by channel and by who published them; of the source stats, states made for the subscribers of a window.",
            reading:
                "Each source has its rhythm; one that stands still while the gateway works is source_up 0, or its unit or database is another one."
        ) { observed in
            Channel.allCases.flatMap { channel in
                Publisher.allCases.map {
                    Sample(labels: [channel.name, $0.rawValue], value: .count(observed.hub.publishedCount(channel, by: $0)))
                }
            }
        },
        counterByChannel(
            "events_offered",
            "Events times the clients that were subscribed to their channel, and events of history that clients asked for again.",
            reading: "The left side of the ledger: it is the sum of all outcomes of deliveries_total, and events_waiting."
        ) { $0.outcome(.offered, $1) },
        Metric(
            name: prefix + "deliveries_total", kind: .counter, unit: "",
            labels: [.channel, MetricLabel(name: "outcome", values: Outcome.allCases.filter { $0 != .offered }.map(\.name))],
            help: "What became of the events that clients were offered: every one has exactly one outcome, or waits.",
            reading: "delivered is what the kernel has taken; filtered is no loss; dropped is one, and the client was told."
        ) { observed in
            Channel.allCases.flatMap { channel in
                Outcome.allCases.filter { $0 != .offered }.map {
                    Sample(labels: [channel.name, $0.name], value: .count(observed.outcome($0, channel)))
                }
            }
        },
        Metric(
            name: prefix + "events_dropped_total", kind: .counter, unit: "",
            labels: [MetricLabel(name: "reason", values: ["slow_consumer", "client_gone"])],
            help: "Events that clients did not get, by reason.",
            reading:
                "slow_consumer: history had moved on, the client was told by a gap (or closed with 4008); client_gone: they waited when the client left or was closed."
        ) {
            [
                Sample(labels: ["slow_consumer"], value: .count($0.total(.dropped))),
                Sample(labels: ["client_gone"], value: .count($0.total(.abandoned))),
            ]
        },
        counter(
            "events_conflated", "Older states that were left out for newer ones, for clients that were behind.",
            reading: "Harmless."
        ) { $0.total(.conflated) },
        gauge(
            "events_waiting", labels: [.channel], "Events that clients who are behind are still to get.",
            reading: "Grows without end: a client that hardly reads."
        ) { observed in
            Channel.allCases.map { Sample(labels: [$0.name], value: .count(observed.waiting($0))) }
        },
        counter(
            "gaps", by: "reason", GapReason.self, "Gaps that clients were told: places where events are missing.",
            reading:
                "slow_consumer and history_expired: make history larger, or find the client; source_lag and source_lost: the gateway's database or journal."
        ) { observed, reason in observed.hub.gaps.count(reason) },
        histogram(
            "publish_to_socket_seconds", unit: "seconds", perUnit: 1e9,
            "Time from an event's publishing to the kernel's taking its last byte, per event and client; replays aside.",
            reading:
                "Events of one write count as their oldest; those of which history lets go while they are being sent are left out. High for all: the processor is too slow for so many clients; only in the last buckets: clients that read slowly."
        ) { $0.metrics.delay.reading },
        histogram(
            "ring_depth_spans",
            "Spans waiting in a client's ring when it was handed a batch.",
            reading: "0: it had taken everything. Near limit{name=\"buffer_size\"}: clients that fall behind."
        ) { $0.metrics.depth.reading },
        counter(
            "redactions", by: "rule", RedactionRule.self, "Secrets that were masked in events, live and replayed, by rule.",
            reading: "Rising: something logs credentials; the events say what."
        ) { observed, rule in observed.hub.redaction.count(rule) },
    ]

    static let history: [Metric] = [
        gauge(
            "history_events", "Events in memory.",
            reading: "Stops at limit{name=\"history_events\"} and a sixteenth, or earlier by bytes or age."
        ) {
            .level(Int64($0.hub.historySize().events))
        },
        gauge(
            "history_bytes", unit: "bytes", "Bytes of the events in memory; their frames take as many again.",
            reading: "Stops at limit{name=\"history_bytes\"} and a little."
        ) {
            .level(Int64($0.hub.historySize().bytes))
        },
        counter(
            "replays", "Replays begun: clients that asked for events of before.",
            reading: "Far above clients_total: a client that asks again and again."
        ) {
            $0.hub.replays.begun.load(ordering: .relaxed)
        },
        gauge(
            "replays_running", "Replays now that are read from the sources or look for their place in history.",
            reading: "Each has its client wait."
        ) {
            .level(Int64($0.hub.replays.running.load(ordering: .relaxed)))
        },
        gauge(
            "replays_waiting", "Replays whose next step waits for a thread.",
            reading: "Stays up: raise replay.concurrent, if the disk allows."
        ) {
            .level(Int64($0.hub.replays.waiting))
        },
        counter(
            "replay_steps_delayed", "Steps of replays that had to wait, since replay.concurrent threads were busy.",
            reading: "As above, over time."
        ) {
            $0.hub.replays.delayed.load(ordering: .relaxed)
        },
        counter(
            "replays_cut", "Times that something was left out of a replay, or could not be read.",
            reading: "replay.max_events, replay.max_seconds, or the log says which source."
        ) { $0.hub.replays.cut.load(ordering: .relaxed) },
        counter(
            "replay_events_read", "Events read from the database and the journal for replays.",
            reading: "The cost of replays, for the disk."
        ) {
            $0.hub.replays.eventsRead.load(ordering: .relaxed)
        },
    ]
}
