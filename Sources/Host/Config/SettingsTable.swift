// The one table of settings. It makes the parser, the names in the environment, the error texts and the shipped
// config.yaml; defaults are those of `Settings()`.

/// One key of the configuration.
public struct Setting: Sendable {
    /// Sections and name, joined by dots: `websocket.buffer_size`.
    public let key: String
    public let kind: SettingKind
    /// A change takes effect at the next start only; others do on reload.
    public let needsRestart: Bool
    /// What it does, for the comment above the key: one or two sentences with full stops.
    public let sentence: String
    let read: @Sendable (Settings) -> SettingValue
    /// Takes values of its kind only; the parser sees to that.
    let write: @Sendable (inout Settings, SettingValue) -> Void

    /// `GOLEAPAI_WS_WEBSOCKET_BUFFER_SIZE`
    public var environmentName: String {
        Setting.environmentPrefix + key.uppercased().map { $0 == "." ? "_" : String($0) }.joined()
    }
    public static let environmentPrefix = "GOLEAPAI_WS_"

    /// Whether its value must not be shown.
    public var isSecret: Bool { key == "auth.jwt_secret" }

    /// The setting of that key.
    public static func named(_ key: String) -> Setting? { byKey[key] }
    private static let byKey = Dictionary(uniqueKeysWithValues: all.map { ($0.key, $0) })
}

/// A heading of the configuration: `server`, `server.tls`.
public struct SettingSection: Sendable {
    public let key: String
    public let sentence: String
}

extension Setting {
    public static let sections: [SettingSection] = [
        .init(key: "server", sentence: "Where the daemon listens, and what is said about it elsewhere."),
        .init(key: "server.tls", sentence: "TLS of our own; without it, leave that to a proxy."),
        .init(key: "database", sentence: "The gateway's database, spelled as in the gateway's own configuration. It is only ever read."),
        .init(key: "websocket", sentence: "The clients and what waits for them."),
        .init(key: "history", sentence: "The last events, kept in memory for clients that come back (?since=, ?history=)."),
        .init(key: "replay", sentence: "Events older than memory, read again from the database or the journal."),
        .init(key: "sources", sentence: "Where events come from; each can be turned off."),
        .init(key: "sources.stats", sentence: ""),
        .init(key: "sources.requests", sentence: ""),
        .init(key: "sources.providers", sentence: ""),
        .init(key: "sources.journal", sentence: ""),
        .init(key: "auth", sentence: "Who may connect."),
        .init(key: "limits", sentence: "What one address, user or client may use up."),
        .init(key: "broadcast", sentence: "Publishing through /admin/ws/broadcast."),
        .init(key: "redact", sentence: "Masking of secrets in events."),
        .init(key: "compression", sentence: "Compression of messages."),
        .init(key: "metrics", sentence: "The /metrics page."),
        .init(key: "log", sentence: "The daemon's own log."),
    ]

    /// Every key, in the order of the shipped file.
    public static let all: [Setting] = [
        list("server.host", \.server.host, TextRules.listenAddress, needsRestart: true, "IP addresses to listen on: one, or a list."),
        integer("server.port", \.server.port, 0...65_535, "", needsRestart: true, "Port of all addresses; 0 takes any free one. The gateway's own default is 8080 too."),
        integer("server.shards", \.server.shards, 0...256, "shards", needsRestart: true, "Queues that share the clients; 0 makes one per usable core."),
        text("server.public_url", \.server.publicURL, TextRules.publicURL, "Address under which browsers reach the daemon, where a proxy changes it."),
        list("server.allowed_origins", \.server.allowedOrigins, TextRules.origin, "Other sites whose pages may connect, such as https://dash.example; * allows every site."),
        list("server.trusted_proxies", \.server.trustedProxies, TextRules.network, "Networks of proxies whose word counts for a client's address: X-Forwarded-For, Forwarded, the PROXY protocol. List only such as write these themselves."),
        boolean("server.tls.enabled", \.server.tls.enabled, needsRestart: true, "Serve TLS."),
        integer("server.tls.port", \.server.tls.port, 0...65_535, "", needsRestart: true, "Port for TLS beside the plain one; 0: TLS on server.port."),
        text("server.tls.cert", \.server.tls.certificate, TextRules.any, "Path of the certificate chain (PEM), the server's own first. Read again when it changes."),
        text("server.tls.key", \.server.tls.key, TextRules.any, "Path of the private key (PEM), without a pass phrase."),
        text("server.tls.client_ca", \.server.tls.clientCA, TextRules.any, "Path of the authorities (PEM) whose client certificates are let in, and nobody else; empty asks for none."),

        choice("database.type", \.database.type, ["sqlite"], "The only kind of database that can be read."),
        text("database.connection", \.database.connection, TextRules.notEmpty, "A path, or what the gateway takes: file:data/goleapai.db?_journal_mode=WAL"),

        boolean("websocket.enabled", \.websocket.enabled, "false: health and admin pages only."),
        integer("websocket.max_clients", \.websocket.maxClients, 1...1_000_000, "clients", "Clients at once; more are refused with 503."),
        integer("websocket.buffer_size", \.websocket.bufferSize, 16...65_536, "spans", needsRestart: true, "Spans waiting per client. A full buffer loses nothing: the client is fed from history."),
        duration("websocket.heartbeat_interval", \.websocket.heartbeatInterval, .seconds(1)...(.seconds(3600)), "A silent client is pinged this often."),
        duration("websocket.client_timeout", \.websocket.clientTimeout, .seconds(2)...(.seconds(86_400)), "A client without a sign of life for this long is disconnected; must exceed heartbeat_interval."),
        duration("websocket.stats_update_interval", \.websocket.statsUpdateInterval, .seconds(1)...(.seconds(3600)), step: .seconds(1), "Time between two stats_update events, where a client does not ask for another."),
        integer("websocket.max_message_bytes", \.websocket.maxMessageBytes, 1024...16_777_216, "bytes", "Longest message taken from a client."),
        choice("websocket.slow_consumer", \.websocket.slowConsumer, "What happens to a client that history has left behind: it loses the oldest events and is told so, or it is disconnected."),

        integer("history.max_events", \.history.maxEvents, 1...10_000_000, "events", "Events kept."),
        integer("history.max_bytes", \.history.maxBytes, 65_536...8_589_934_592, "bytes", "Bytes kept."),
        duration("history.max_age", \.history.maxAge, .seconds(1)...(.seconds(604_800)), "Events older than this are forgotten."),

        integer("replay.max_events", \.replay.maxEvents, 1...10_000_000, "events", "Events in one replay; older ones are left out, and told as a gap."),
        integer("replay.max_seconds", \.replay.maxSeconds, 1...3600, "seconds", "Seconds one replay may spend on reading the database and the journal."),
        integer("replay.concurrent", \.replay.concurrent, 1...1000, "replays", "Replays read at the same time; more wait for their turn."),

        boolean("sources.stats.enabled", \.sources.statsEnabled, "Statistics over the gateway's requests: stats_update."),
        boolean("sources.requests.enabled", \.sources.requestsEnabled, "Each request of the gateway: request."),
        boolean("sources.providers.enabled", \.sources.providersEnabled, "Changes in the health of providers: provider_status."),
        boolean("sources.journal.enabled", \.sources.journal.enabled, "The gateway's log from the journal: log. Reading it takes the group systemd-journal."),
        list("sources.journal.units", \.sources.journal.units, TextRules.unit, "Units whose lines are read."),

        choice("auth.mode", \.auth.mode, "none: whoever reaches the port. gateway: the gateway's own tokens and API keys."),
        text("auth.jwt_secret", \.auth.jwtSecret, TextRules.any, "The gateway's secret for tokens. Better in a file of its own: jwt_secret_file."),
        text("auth.jwt_secret_file", \.auth.jwtSecretFile, TextRules.any, "Path of a file that holds the secret; a systemd credential auth.jwt_secret does as well."),
        text("auth.jwt_issuer", \.auth.jwtIssuer, TextRules.any, "Issuer that tokens must name."),
        boolean("auth.allow_anonymous", \.auth.allowAnonymous, "Let mode none serve addresses that are not loopback."),
        boolean("auth.query_token", \.auth.queryToken, "Take tokens from the address (?token=), where they end up in logs of proxies."),
        list("auth.open_channels", \.auth.openChannels, TextRules.channel, "Channels that every user may see whole, such as [logs, requests]."),

        integer("limits.connections_per_address", \.limits.connectionsPerAddress, 1...1_000_000, "connections", "Connections from one address (IPv6: one /64), loopback and trusted proxies excepted; more are refused with 429."),
        integer("limits.connections_per_user", \.limits.connectionsPerUser, 1...1_000_000, "connections", "Connections of one user."),
        integer("limits.handshakes_per_second", \.limits.handshakesPerSecond, 1...1_000_000, "handshakes", "New connections from one address in a second, likewise."),
        integer("limits.messages_per_second", \.limits.messagesPerSecond, 1...1_000_000, "messages", "Messages from one client in a second; a client that goes on beyond it is disconnected."),
        integer("limits.bytes_per_second", \.limits.bytesPerSecond, 1024...1_073_741_824, "bytes", "Bytes from one client in a second, and what compressed messages become, beside one message of max_message_bytes; a client that sends more is disconnected."),

        integer("broadcast.events_per_second", \.broadcast.eventsPerSecond, 1...10_000_000, "events", "Events in a second, for each publisher."),
        integer("broadcast.burst", \.broadcast.burst, 1...10_000_000, "events", "Events at once, also the most in one request."),
        integer("broadcast.max_event_bytes", \.broadcast.maxEventBytes, 1024...16_777_216, "bytes", "Longest event."),
        integer("broadcast.max_batch_bytes", \.broadcast.maxBatchBytes, 1024...1_073_741_824, "bytes", "Longest request."),
        text("broadcast.socket", \.broadcast.socket, TextRules.socket, needsRestart: true, "Unix socket for publishers on this machine: auto (publish.sock in the runtime directory, if there is one), off, or a path."),

        boolean("redact.enabled", \.redact.enabled, "Mask tokens, keys and passwords in events, before they are kept or sent."),
        list("redact.fields", \.redact.fields, TextRules.fieldName, "Names of fields whose values are masked as a whole, at any depth, in any case: [password, api_key]."),

        boolean("compression.enabled", \.compression.enabled, "Compress for clients that ask for it: permessage-deflate; gzip for Server-Sent Events."),
        integer("compression.threshold_bytes", \.compression.thresholdBytes, 0...16_777_216, "bytes", "Shorter messages go out as they are; 0 compresses all, also what becomes longer by it."),
        boolean("compression.context_takeover", \.compression.contextTakeover, "A compressor for each client, which remembers what went before: fewer bytes, more memory, and every event compressed for each client. Else one compression serves all."),
        integer("compression.window_bits", \.compression.windowBits, 9...15, "bits", "What those remember, as a power of two, and what their clients are asked to keep to."),
        integer("compression.memory_level", \.compression.memoryLevel, 1...9, "", "How well those remember it, as zlib counts it; a compressor takes 2^(window_bits+2) + 2^(memory_level+9) bytes."),
        integer("compression.context_max_bytes", \.compression.contextMaxBytes, 0...8_589_934_592, "bytes", "Memory of such compressors, and of what messages of clients refer to, at most 32 KiB each, set aside when they come. Who comes when it is used up does without, both ways."),

        boolean("metrics.enabled", \.metrics.enabled, "Serve /metrics."),

        choice("log.level", \.log.level, "Least level written."),
        choice("log.format", \.log.format, "auto: for the journal under systemd, in colour on a terminal, else plain. json: one object per line."),
    ]
}

// Makers of table rows: one per type of property.
extension Setting {
    private typealias Path<Value> = WritableKeyPath<Settings, Value> & Sendable

    private static func boolean(_ key: String, _ path: Path<Bool>, needsRestart: Bool = false, _ sentence: String) -> Setting {
        Setting(
            key: key, kind: .boolean, needsRestart: needsRestart, sentence: sentence, read: { .boolean($0[keyPath: path]) },
            write: { if case .boolean(let value) = $1 { $0[keyPath: path] = value } })
    }

    private static func integer(
        _ key: String, _ path: Path<Int>, _ range: ClosedRange<Int>, _ unit: String, needsRestart: Bool = false, _ sentence: String
    ) -> Setting {
        Setting(
            key: key, kind: .integer(range, unit: unit), needsRestart: needsRestart, sentence: sentence,
            read: { .integer($0[keyPath: path]) },
            write: { if case .integer(let value) = $1 { $0[keyPath: path] = value } })
    }

    private static func duration(
        _ key: String, _ path: Path<Duration>, _ range: ClosedRange<Duration>, step: Duration = .milliseconds(1), _ sentence: String
    ) -> Setting {
        Setting(
            key: key, kind: .duration(range, step: step), needsRestart: false, sentence: sentence,
            read: { .duration($0[keyPath: path]) },
            write: { if case .duration(let value) = $1 { $0[keyPath: path] = value } })
    }

    private static func text(
        _ key: String, _ path: Path<String>, _ rule: @escaping TextRule, needsRestart: Bool = false, _ sentence: String
    ) -> Setting {
        Setting(
            key: key, kind: .text(rule), needsRestart: needsRestart, sentence: sentence, read: { .text($0[keyPath: path]) },
            write: { if case .text(let value) = $1 { $0[keyPath: path] = value } })
    }

    private static func choice(_ key: String, _ path: Path<String>, _ words: [String], _ sentence: String) -> Setting {
        Setting(
            key: key, kind: .choice(words), needsRestart: false, sentence: sentence, read: { .text($0[keyPath: path]) },
            write: { if case .text(let value) = $1 { $0[keyPath: path] = value } })
    }

    private static func choice<Word: RawRepresentable<String> & CaseIterable & Sendable>(
        _ key: String, _ path: Path<Word>, _ sentence: String
    ) -> Setting {
        Setting(
            key: key, kind: .choice(Word.allCases.map(\.rawValue)), needsRestart: false, sentence: sentence,
            read: { .text($0[keyPath: path].rawValue) },
            write: { if case .text(let value) = $1, let word = Word(rawValue: value) { $0[keyPath: path] = word } })
    }

    private static func list(
        _ key: String, _ path: Path<[String]>, _ rule: @escaping TextRule, needsRestart: Bool = false, _ sentence: String
    ) -> Setting {
        Setting(
            key: key, kind: .list(rule), needsRestart: needsRestart, sentence: sentence, read: { .list($0[keyPath: path]) },
            write: { if case .list(let value) = $1 { $0[keyPath: path] = value } })
    }
}
