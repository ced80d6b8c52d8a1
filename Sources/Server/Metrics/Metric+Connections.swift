// The table of metrics: who is connected, and who is not let in.

import Fanout
import Host
import Protocol

extension Metric {
    static let connections: [Metric] = [
        gauge(
            "connections", labels: [.transport], "Connections now, of every kind.",
            reading: "Those that are no clients are HTTP requests and handshakes underway."
        ) { observed in
            ConnectionTransport.allCases.map { way in
                Sample(labels: [way.rawValue], value: .count(observed.sum { $0.metrics.presentConnections(by: way) }))
            }
        },
        Metric(
            name: prefix + "connections_total", kind: .counter, unit: "", labels: [.transport],
            help: "Connections that a shard has taken.",
            reading:
                "Its rate is the rate of new connections; those that are turned away when they are accepted are in refusals_total only."
        ) { observed in
            ConnectionTransport.allCases.map { way in
                Sample(labels: [way.rawValue], value: .count(observed.sum { $0.metrics.connections(by: way) }))
            }
        },
        gauge(
            "clients", labels: [.protocolName], "Clients now.",
            reading: "Near limit{name=\"max_clients\"}, further ones are refused with 503."
        ) { observed in
            ClientProtocol.allCases.map { spoken in
                Sample(labels: [spoken.rawValue], value: .count(observed.sum { $0.metrics.presentClients(by: spoken) }))
            }
        },
        Metric(
            name: prefix + "clients_total", kind: .counter, unit: "", labels: [.protocolName], help: "Clients since the start.",
            reading:
                "A rate far above that of new users: clients that are disconnected and come back; disconnects_total says why."
        ) { observed in
            ClientProtocol.allCases.map { spoken in
                Sample(labels: [spoken.rawValue], value: .count(observed.sum { $0.metrics.clients(by: spoken) }))
            }
        },
        gauge(
            "clients_behind", "Clients that are fed from history, since they could not keep up or asked for events of before.",
            reading: "Stays up: slow readers; /admin/ws/clients says which, and how far behind."
        ) { .level(Int64($0.sum { $0.metrics.clientsBehind })) },
        gauge(
            "shard_clients", labels: [MetricLabel(name: "shard", values: [], note: "0 and up, as many as server.shards")],
            "Clients of each shard.",
            reading: "Should be about equal."
        ) { observed in
            observed.shards.map {
                Sample(labels: [String($0.number)], value: .level(Int64($0.counters.clients.load(ordering: .relaxed))))
            }
        },
        gauge(
            "subscriptions", labels: [.channel], "Clients subscribed to a channel by that name.",
            reading: "\"all\" stands for itself."
        ) { observed in
            Channel.allCases.map { channel in
                Sample(labels: [channel.name], value: .level(Int64(observed.sum { $0.counters.subscriptions(to: channel) })))
            }
        },
        counter(
            "disconnects", by: "reason", ClientEnd.self, "Clients whose connection is over, by how it ended.",
            reading:
                "vanished is a lost network or a page that was closed; stuck and closed_by_daemon deserve a look at closes_total and the log."
        ) { observed, end in observed.sum { $0.metrics.ends.count(end) } },
        Metric(
            name: prefix + "closes_total", kind: .counter, unit: "",
            labels: [
                MetricLabel(name: "side", values: CloseSide.allCases.map(\.rawValue)),
                MetricLabel(name: "code", values: ShardMetrics.closeLabels),
            ],
            help: "Close frames that ended a client, and close events that ended a stream, by who sent them and by their code.",
            reading: "too_slow, flood, timeout and protocol_error on the side of the daemon are clients that do something wrong."
        ) { observed in
            CloseSide.allCases.flatMap { side in
                ShardMetrics.closeLabels.enumerated().map { position, label in
                    Sample(
                        labels: [side.rawValue, label], value: .count(observed.sum { $0.metrics.closes(by: side, at: position) }))
                }
            }
        },
        counter(
            "received_bytes", unit: "bytes", "Bytes received, of requests and of messages, without TLS.",
            reading: "Clients say little: much of it is publishing."
        ) { $0.sum { $0.metrics.bytesIn } },
        counter(
            "sent_bytes", unit: "bytes", "Bytes that the kernel has taken, without TLS.",
            reading: "What the network has to carry."
        ) { $0.sum { $0.counters.bytesSent.load(ordering: .relaxed) } },
        counter(
            "messages_received", "Messages of clients.",
            reading: "Subscriptions, pings and tokens; far more than clients is a client gone wild."
        ) {
            $0.sum { $0.counters.messagesReceived.load(ordering: .relaxed) }
        },
        counter(
            "message_errors", by: "code", MessageErrorCode.self, "Messages of clients that were answered with an error.",
            reading: "invalid_… is a client that was written for something else; forbidden and unauthorized are rights."
        ) { observed, code in observed.sum { $0.metrics.messageErrors.count(code) } },
        counter(
            "protocol_errors", "Breaches of HTTP, of RFC 6455 and of the PROXY protocol.",
            reading: "Something that speaks it wrongly, or a port scanner."
        ) {
            $0.sum { $0.counters.protocolErrors.load(ordering: .relaxed) }
        },
    ]

    static let refusals: [Metric] = [
        counter(
            "refusals", by: "reason", Refusal.self,
            "Connections, requests, messages and clients that were turned away, by the limit or rule.",
            reading: "The table below says what each reason means, what the refused are told, and which setting it is."
        ) { observed, reason in observed.hub.refusals.count(reason) },
        counter(
            "rate_limited_messages", "Messages and pings of clients that were not carried out, since they came too fast.",
            reading:
                "The first beyond limits.messages_per_second in a second is told so; at twice as many the client is closed: refusals_total{reason=\"messages_per_second\"}."
        ) { $0.sum { $0.counters.rateLimited.load(ordering: .relaxed) } },
        Metric(
            name: prefix + "http_responses_total", kind: .counter, unit: "",
            labels: [MetricLabel(name: "status", values: ShardMetrics.statuses.map(String.init) + ["other"])],
            help: "Answers over HTTP by their status; 101 is a handshake that made a client.",
            reading: "What acceptors turn away is not among them."
        ) { observed in
            (ShardMetrics.statuses.map(String.init) + ["other"]).enumerated().map { position, status in
                Sample(labels: [status], value: .count(observed.sum { $0.metrics.responses(at: position) }))
            }
        },
        gauge(
            "limit", labels: [MetricLabel(name: "name", values: LimitInForce.allCases.map(\.rawValue))], "Limits in force.",
            reading: "To be put beside what they limit."
        ) { observed in LimitInForce.allCases.map { Sample(labels: [$0.rawValue], value: .level(Int64($0.value(observed)))) } },
    ]
}

extension MetricLabel {
    fileprivate static let transport = MetricLabel(name: "transport", values: ConnectionTransport.allCases.map(\.rawValue))
    fileprivate static let protocolName = MetricLabel(name: "protocol", values: ClientProtocol.allCases.map(\.rawValue))
}

/// A limit that the page shows as a figure.
enum LimitInForce: String, CaseIterable, Sendable {
    case maxClients = "max_clients"
    case httpConnections = "http_connections"
    case connectionsPerAddress = "connections_per_address"
    case connectionsPerUser = "connections_per_user"
    case handshakesPerSecond = "handshakes_per_second"
    case messagesPerSecond = "messages_per_second"
    case bytesPerSecond = "bytes_per_second"
    case messageBytes = "message_bytes"
    case bufferSize = "buffer_size"
    case historyEvents = "history_events"
    case historyBytes = "history_bytes"
    case replayConcurrent = "replay_concurrent"
    case eventsPerSecond = "events_per_second"
    case broadcastBurst = "broadcast_burst"
    case eventBytes = "event_bytes"
    case batchBytes = "batch_bytes"
    case compressionContextBytes = "compression_context_bytes"

    func value(_ observed: Observation) -> Int {
        switch self {
        case .maxClients: observed.limits.clientsMax
        case .httpConnections: observed.limits.httpConnectionsMax
        case .connectionsPerAddress: observed.limits.connectionsPerAddress
        case .connectionsPerUser: observed.connectionsPerUser
        case .handshakesPerSecond: observed.limits.handshakesPerSecond
        case .messagesPerSecond: observed.limits.messagesPerSecond
        case .bytesPerSecond: observed.limits.bytesPerSecond
        case .messageBytes: observed.limits.messageBytesMax
        case .bufferSize: observed.limits.ringSpansMax
        case .historyEvents: observed.limits.historyEventsMax
        case .historyBytes: observed.limits.historyBytesMax
        case .replayConcurrent: observed.limits.replaysMax
        case .eventsPerSecond: observed.broadcast.eventsPerSecond
        case .broadcastBurst: observed.broadcast.burst
        case .eventBytes: observed.broadcast.eventBytesMax
        case .batchBytes: observed.broadcast.batchBytesMax
        case .compressionContextBytes: observed.limits.compression.contextBytesMax
        }
    }
}
