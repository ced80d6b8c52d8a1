// The table of limits: what bounds what, what happens at it, and which counter tells. A part of docs/METRICS.md.

import Fanout
import Host

/// A line of the table.
struct LimitLine: Sendable {
    /// Where the number is.
    enum Number: Sendable {
        case setting(String)
        /// A constant, with its unit.
        case constant(String)
        /// No number: a rule.
        case none
    }

    let what: String
    let number: Number
    /// What the refused are told, or what happens.
    let answer: String
    /// The counter that tells.
    let metric: String
}

extension Refusal {
    /// Every reason has one: a new case without a line does not compile.
    var line: LimitLine {
        func line(_ what: String, _ number: LimitLine.Number, _ answer: String) -> LimitLine {
            LimitLine(
                what: what, number: number, answer: answer, metric: "\(Metric.prefix)refusals_total{reason=\"\(rawValue)\"}")
        }
        return switch self {
        case .maxClients: line("clients", .setting("websocket.max_clients"), "503, `Retry-After: 5`")
        case .httpConnections:
            line("connections that ask for something else than an upgrade", .constant("256"), "503, `Retry-After: 5`, closed")
        case .connections: line("connections in all", .constant("`websocket.max_clients` + 256"), "503, `Retry-After: 5`, closed")
        case .awaitingAuthentication:
            line("clients that have still to say who they are", .constant("a quarter of `websocket.max_clients`, at least 16"), "503, `Retry-After: 5`")
        case .descriptors: line("descriptors", .constant("the hard limit of open files"), "503, `Retry-After: 5`, closed")
        case .connectionsPerAddress:
            line("connections of one address", .setting("limits.connections_per_address"), "429, `Retry-After: 5`, closed")
        case .handshakesPerSecond:
            line(
                "new connections of one address in a second", .setting("limits.handshakes_per_second"),
                "429, `Retry-After: 1`, closed")
        case .connectionsPerUser:
            line(
                "clients of one user", .setting("limits.connections_per_user"),
                "429, `Retry-After: 5`; after `?auth=message` close 4013")
        case .proxyHeader:
            line("a PROXY header that is malformed, or whose sender is not among `server.trusted_proxies`", .none, "400, closed")
        case .messagesPerSecond:
            line(
                "messages of one client in a second", .setting("limits.messages_per_second"),
                "`rate_limited`; at twice as many close 4013, which is what is counted")
        case .bytesPerSecond: line("bytes of one client in a second", .setting("limits.bytes_per_second"), "close 4013")
        case .messageBytes: line("one message of a client", .setting("websocket.max_message_bytes"), "close 1009")
        case .compressionContexts:
            line(
                "memory of clients' own for compression", .setting("compression.context_max_bytes"),
                "compression without context, both ways")
        case .replayRunning: line("replays of one client", .constant("1"), "`rate_limited`")
        case .subscriptionChanges:
            line("changes of a subscription that wait for events before them", .constant("16"), "`rate_limited`")
        case .headTime: line("time for the head of a request", .constant("10 s"), "408, closed")
        case .bodyTime: line("time for the next 16,384 bytes of a body", .constant("10 s"), "408, closed")
        case .headBytes:
            line("head of a request", .constant("16,384 bytes, 100 fields; the request line 8192 bytes"), "431 or 414, closed")
        case .bodyBytes:
            line("body of a request", .setting("broadcast.max_batch_bytes"), "413, closed; elsewhere a body has 0 bytes at most")
        case .eventsPerSecond:
            line("published events in a second", .setting("broadcast.events_per_second"), "429, `Retry-After`, nothing is sent")
        case .broadcastBurst: line("events of one request", .setting("broadcast.burst"), "413, nothing is sent")
        case .eventBytes: line("one published event", .setting("broadcast.max_event_bytes"), "413, nothing is sent")
        case .tickets: line("tickets outstanding", .constant("10,000, and 32 of one user"), "429, `Retry-After: 30`")
        case .credentialQueue:
            line("credentials that wait: for the database, for bcrypt", .constant("8192, 2048"), "503, `Retry-After: 2`")
        case .authenticationTime: line("time for the first `auth` after `?auth=message`", .constant("5 s"), "close 4500")
        case .databaseAway:
            line(
                "waiting for the gateway's database about a credential, where none of the last 60 s is remembered",
                .constant("2 s"), "503, `Retry-After: 5`")
        case .host: line("a `Host` that is none of ours, with `auth.mode: none`", .none, "403")
        case .origin: line("an `Origin` that is neither our own nor in `server.allowed_origins`; under `/admin`, any but our own", .none, "403")
        case .noCredential: line("no credential where one is asked for", .none, "401")
        case .credential: line("a credential that does not count, see credentials_refused_total", .none, "401")
        case .ticket: line("a ticket that was used, is too old or was never handed out", .none, "401")
        case .admin: line("an address for admins, by somebody else", .none, "403")
        case .channel: line("a channel that is not allowed", .none, "403")
        }
    }
}

extension LimitLine {
    /// Limits by which nobody is refused, or that have counters of their own.
    static let others: [LimitLine] = [
        LimitLine(
            what: "threads that read for replays", number: .setting("replay.concurrent"), answer: "others wait",
            metric: "goleapai_ws_replay_steps_delayed_total"),
        LimitLine(
            what: "events of one replay", number: .setting("replay.max_events"), answer: "the newest; `gap` of `history_expired`",
            metric: "goleapai_ws_replays_cut_total"),
        LimitLine(
            what: "reading for one replay", number: .setting("replay.max_seconds"), answer: "`gap` of `history_expired`",
            metric: "goleapai_ws_replays_cut_total"),
        LimitLine(
            what: "time for a TLS handshake", number: .constant("10 s"), answer: "closed",
            metric: "goleapai_ws_tls_handshake_failures_total{reason=\"timeout\"}"),
        LimitLine(
            what: "TLS handshakes underway of one shard", number: .constant("128"),
            answer: "others wait; the oldest gives way after 1 s",
            metric: "goleapai_ws_tls_handshake_failures_total{reason=\"crowded\"}"),
        LimitLine(
            what: "silence of a client", number: .setting("websocket.client_timeout"), answer: "close 4000",
            metric: "goleapai_ws_closes_total{side=\"daemon\",code=\"timeout\"}"),
        LimitLine(
            what: "time in which a client takes none of our bytes", number: .setting("websocket.client_timeout"),
            answer: "cut off", metric: "goleapai_ws_disconnects_total{reason=\"stuck\"}"),
        LimitLine(
            what: "spans waiting of one client", number: .setting("websocket.buffer_size"), answer: "fed from history",
            metric: "goleapai_ws_ring_depth_spans"),
        LimitLine(
            what: "events in memory", number: .setting("history.max_events"),
            answer: "`gap` of `slow_consumer`, or close 4008 (`websocket.slow_consumer`)",
            metric: "goleapai_ws_events_dropped_total{reason=\"slow_consumer\"}"),
        LimitLine(
            what: "bytes in memory", number: .setting("history.max_bytes"), answer: "the same",
            metric: "goleapai_ws_events_dropped_total{reason=\"slow_consumer\"}"),
        LimitLine(
            what: "log entries that wait", number: .constant("8192"), answer: "not written",
            metric: "goleapai_ws_log_entries_left_out_total{reason=\"overflow\"}"),
        LimitLine(
            what: "log entries of one place in 30 s", number: .constant("20"), answer: "not written, told afterwards",
            metric: "goleapai_ws_log_entries_left_out_total{reason=\"flood\"}"),
    ]

    static let all: [LimitLine] = Refusal.allCases.map(\.line) + others
}
