import Testing

@testable import Host

private func load(
    _ text: String, environment: [String: String] = [:], overrides: [Settings.Override] = []
) throws(ConfigErrors) -> Settings.Loaded {
    try Settings.load(text: Array(text.utf8), named: "f.yaml", environment: environment, overrides: overrides)
}

/// The errors of a configuration as text, or nil where it is fine.
private func complaint(_ text: String, environment: [String: String] = [:]) -> String? {
    do throws(ConfigErrors) {
        _ = try load(text, environment: environment)
        return nil
    } catch {
        return error.description
    }
}

struct SettingsLoadTests {
    @Test func nothingGivesDefaults() throws {
        for text in ["", "\n", "# comment\n", "---\n", "server:\nwebsocket: ~\n", "sources:\n  stats:\n  journal:\n", "null"] {
            #expect(try load(text).settings == Settings())
        }
        #expect(try Settings.load(path: nil).settings == Settings())
    }

    @Test func defaultsAreThoseOfTheDocumentation() {
        let defaults = Settings()
        #expect(defaults.server.host == ["127.0.0.1", "::1"] && defaults.server.port == 8080)
        #expect(defaults.websocket.maxClients == 1000 && defaults.websocket.bufferSize == 256)
        #expect(defaults.websocket.heartbeatInterval == .seconds(30) && defaults.websocket.clientTimeout == .seconds(90))
        #expect(defaults.websocket.statsUpdateInterval == .seconds(5) && defaults.websocket.maxMessageBytes == 65_536)
        #expect(defaults.history.maxEvents == 10_000 && defaults.history.maxBytes == 16 << 20 && defaults.history.maxAge == .seconds(3600))
        #expect(defaults.broadcast.eventsPerSecond == 50_000 && defaults.broadcast.burst == 100_000)
        #expect(defaults.broadcast.maxEventBytes == 256 << 10 && defaults.broadcast.maxBatchBytes == 8 << 20)
    }

    @Test func blockStyle() throws {
        let settings = try load(
            """
            # The example of the module's description.
            websocket:
              enabled: true
              max_clients: 1000
              buffer_size: 512
              heartbeat_interval: 20s
              client_timeout: 1m30s
              stats_update_interval: 10s
              slow_consumer: disconnect
            sources:
              stats:
                enabled: false
            """
        ).settings
        #expect(settings.websocket.bufferSize == 512)
        #expect(settings.websocket.heartbeatInterval == .seconds(20))
        #expect(settings.websocket.clientTimeout == .seconds(90))
        #expect(settings.websocket.slowConsumer == .disconnect)
        #expect(!settings.sources.statsEnabled && settings.sources.requestsEnabled)
    }

    @Test func inlineStyle() throws {
        let settings = try load(
            """
            server: {host: [127.0.0.1, "::1"], port: 0, tls: {enabled: false, port: 0}}
            history: {max_events: 5, max_bytes: 1048576, max_age: 1h}
            database: {type: sqlite, connection: "file:data/x.db?_journal_mode=WAL"}
            log: {level: debug, format: plain}
            """
        ).settings
        #expect(settings.server.port == 0)
        #expect(settings.history == .init(maxEvents: 5, maxBytes: 1_048_576, maxAge: .seconds(3600)))
        #expect(settings.database.connection == "file:data/x.db?_journal_mode=WAL")
        #expect(settings.log == .init(level: .debug, format: .plain))
    }

    @Test(arguments: [
        ("server: {host: 127.0.0.1}", ["127.0.0.1"]), ("server: {host: [\"0::1\"]}", ["::1"]),
        ("server: {host: localhost}", ["127.0.0.1", "::1"]), ("server: {host: [\"::1\", localhost, \"::1\"]}", ["::1", "127.0.0.1"]),
        ("server:\n  host:\n  - 127.0.0.2\n  - 127.0.0.3\n", ["127.0.0.2", "127.0.0.3"]),
    ])
    func hosts(text: String, hosts: [String]) throws {
        #expect(try load(text).settings.server.host == hosts)
    }

    @Test func crlfAndByteOrderMark() throws {
        #expect(try load("\u{FEFF}server:\r\n  port: 81\r\n").settings.server.port == 81)
    }

    // Each of these is one line of an operator's terminal: the whole text is the promise.
    @Test(arguments: [
        ("websocket:\n  buffer_size: 100000", "f.yaml:2: websocket.buffer_size: 100000 is too many spans; allowed are 16 to 65536"),
        ("websocket: {buffer_size: 15}", "f.yaml:1: websocket.buffer_size: 15 is too few spans; allowed are 16 to 65536"),
        ("server: {port: 65536}", "f.yaml:1: server.port: 65536 is out of range; allowed are 0 to 65535"),
        ("server: {port: -1}", "f.yaml:1: server.port: -1 is out of range; allowed are 0 to 65535"),
        ("server: {port: 99999999999999999999}", "f.yaml:1: server.port: 99999999999999999999 is out of range; allowed are 0 to 65535"),
        ("server: {port: http}", "f.yaml:1: server.port: \"http\" is not a whole number; allowed are 0 to 65535"),
        ("server: {port: 80.5}", "f.yaml:1: server.port: \"80.5\" is not a whole number; allowed are 0 to 65535"),
        ("server: {port: \"8080\"}", "f.yaml:1: server.port: \"8080\" is a text; write it without quotes"),
        ("server: {port: [1]}", "f.yaml:1: server.port: is a list; wanted is a whole number, 0 to 65535"),
        ("server: {port: {a: 1}}", "f.yaml:1: server.port: is a section; wanted is a whole number, 0 to 65535"),
        ("server: {port: }", "f.yaml:1: server.port: has no value; wanted is a whole number, 0 to 65535"),
        ("websocket: {enabled: yes}", "f.yaml:1: websocket.enabled: \"yes\" is neither true nor false"),
        ("websocket: {enabled: \"true\"}", "f.yaml:1: websocket.enabled: \"true\" is a text; write it without quotes"),
        ("websocket: {heartbeat_interval: 30}", "f.yaml:1: websocket.heartbeat_interval: 30 has no unit; write it like 500ms, 30s, 5m or 1h"),
        ("websocket: {heartbeat_interval: soon}", "f.yaml:1: websocket.heartbeat_interval: \"soon\" is not a duration; write it like 500ms, 30s, 5m or 1h"),
        ("websocket: {heartbeat_interval: 10ms}", "f.yaml:1: websocket.heartbeat_interval: 10ms is too short; allowed are 1s to 1h"),
        ("websocket: {stats_update_interval: 2h}", "f.yaml:1: websocket.stats_update_interval: 2h is too long; allowed are 1s to 1h"),
        ("websocket: {stats_update_interval: 1500ms}", "f.yaml:1: websocket.stats_update_interval: 1500ms is not a multiple of 1s"),
        ("websocket: {slow_consumer: drop}", "f.yaml:1: websocket.slow_consumer: \"drop\" is none of drop_oldest, disconnect"),
        ("database: {type: postgres}", "f.yaml:1: database.type: \"postgres\" is none of sqlite"),
        ("database: {connection: \"\"}", "f.yaml:1: database.connection: \"\" is empty; wanted is a text"),
        ("server: {host: \"[::1]\"}", "f.yaml:1: server.host: \"[::1]\" is not an IP address; write it without brackets"),
        ("server: {host: example.org}", "f.yaml:1: server.host: \"example.org\" is neither an IP address nor localhost"),
        ("server: {host: []}", "f.yaml:1: server.host: is an empty list; name an address to listen on, such as 127.0.0.1"),
        ("server: {host: [[a]]}", "f.yaml:1: server.host: has an element that is not a text; wanted is a list such as [a, b]"),
        ("server: {allowed_origins: [dash.example]}", "f.yaml:1: server.allowed_origins: \"dash.example\" is not an origin; write it like https://host.example:8443, without a path"),
        ("auth: {open_channels: [all]}", "f.yaml:1: auth.open_channels: \"all\" is none of logs, stats, providers, requests"),
        ("broadcast: {socket: x.sock}", "f.yaml:1: broadcast.socket: \"x.sock\" is neither auto nor off nor an absolute path of at most 107 bytes"),
    ])
    func wrongValues(text: String, message: String) {
        #expect(complaint(text) == message)
    }

    @Test(arguments: [
        ("websocket:\n  max_client: 5", "f.yaml:2: websocket.max_client: unknown key; did you mean max_clients?"),
        ("websocket:\n  max-clients: 5", "f.yaml:2: websocket.max-clients: unknown key; did you mean max_clients?"),
        ("webscoket: {max_clients: 5}", "f.yaml:1: webscoket: unknown key; did you mean websocket?"),
        ("server: {max_clients: 5}", "f.yaml:1: server.max_clients: unknown key; did you mean websocket.max_clients?"),
        ("websocket.max_clients: 5", "f.yaml:1: websocket.max_clients: unknown key; write max_clients below websocket, indented"),
        ("port: 5", "f.yaml:1: port: unknown key; did you mean server.port?"),
        ("metrics: {zzz: 5}", "f.yaml:1: metrics.zzz: unknown key; keys of metrics are enabled"),
        ("server: 8080", "f.yaml:1: server: is a section; write its keys below it, indented"),
        ("sources: {stats: true}", "f.yaml:1: sources.stats: is a section; write its keys below it, indented"),
        ("server:\n  port: 1\n  host: ::1\n  port: 2", "f.yaml:4: server.port: is given twice, first on line 2"),
        ("server: {port: 1}\nlog: {level: info}\nserver: {port: 2}", "f.yaml:3: server: is given twice, first on line 1"),
        ("\"a\\nb\": 1", "f.yaml:1: a\u{FFFD}b: unknown key; sections are server, database, websocket, history, replay, sources, auth, limits, broadcast, redact, compression, metrics, log"),
    ])
    func wrongKeys(text: String, message: String) {
        #expect(complaint(text) == message)
    }

    @Test(arguments: [
        ("- a", "f.yaml:1: holds no keys; it should begin like server:"),
        ("hello", "f.yaml:1: holds no keys; it should begin like server:"),
        ("server:\n\tport: 1", "f.yaml:2: cannot be read as YAML: found character that cannot start any token; indent with blanks (no tabs), and quote values that begin with @, ` or %"),
        ("server:\n  port: 1\n host: a: b", "f.yaml:3: cannot be read as YAML: did not find expected key"),
        ("server: {port: 1", "f.yaml:2: cannot be read as YAML: did not find expected ',' or '}'"),
        ("server: &s {port: 1}", "f.yaml:1: anchors (&name) are not supported; write the value itself"),
        ("server:\n  port: *p", "f.yaml:2: aliases (*name) are not supported; write the value itself"),
        ("server:\n  port: !!int 8080", "f.yaml:2: tags (!name) are not supported"),
        ("server: !x {port: 1}", "f.yaml:1: tags (!name) are not supported"),
        ("server: {port: 1}\n---\nlog: {}\n", "f.yaml:2: a second document begins here; a configuration is one document"),
        ("{[a]: 1}", "f.yaml:1: a key must be a word, not a list or a section"),
        ("a: \u{0}", "f.yaml:1: is not text: it contains NUL bytes"),
        ("a: " + String(repeating: "[", count: 5000), "f.yaml:1: is nested deeper than 16 levels"),
        ("a: [" + String(repeating: "1,", count: 30_000) + "]", "f.yaml:1: has more than 20000 values"),
    ])
    func wrongFiles(text: String, message: String) {
        #expect(complaint(text) == message)
    }

    @Test func notUTF8() {
        #expect(throws: ConfigErrors([.init(.file("f.yaml", line: 1), "", "is not UTF-8 text: invalid leading UTF-8 octet")])) {
            try Settings.load(text: Array("server: {port: 1} # \u{E9}".utf8.map { $0 == 0xC3 ? 0xFF : $0 }), named: "f.yaml")
        }
    }

    @Test func everyErrorIsReported() {
        let text = "server:\n  port: x\n  prot: 1\nwebsocket:\n  max_clients: 0\n"
        #expect(
            complaint(text, environment: ["GOLEAPAI_WS_LOG_LEVEL": "loud"]) == """
                f.yaml:2: server.port: "x" is not a whole number; allowed are 0 to 65535
                f.yaml:3: server.prot: unknown key; did you mean port?
                f.yaml:5: websocket.max_clients: 0 is too few clients; allowed are 1 to 1000000
                GOLEAPAI_WS_LOG_LEVEL: log.level: "loud" is none of debug, info, warn, error
                """)
    }

    @Test(arguments: [
        (
            "websocket:\n  client_timeout: 30s",
            "f.yaml:2: websocket.client_timeout: 30s is not longer than websocket.heartbeat_interval (30s): every quiet client would be disconnected"
        ),
        (
            "websocket:\n  heartbeat_interval: 5m",
            "f.yaml:2: websocket.client_timeout: 90s is not longer than websocket.heartbeat_interval (5m): every quiet client would be disconnected"
        ),
        ("broadcast: {max_batch_bytes: 2048}", "f.yaml:1: broadcast.max_batch_bytes: 2048 is less than broadcast.max_event_bytes (262144)"),
        (
            "history: {max_bytes: 65536}",
            "f.yaml:1: history.max_bytes: 65536 is less than broadcast.max_event_bytes (262144): history could not hold such an event"
        ),
    ])
    func impossibleCombinations(text: String, message: String) {
        #expect(complaint(text) == message)
    }

    @Test(arguments: ["0.0.0.0", "::", "192.0.2.1"])
    func onlyLoopbackInModeNone(host: String) throws {
        let text = try #require(complaint("server:\n  host: [127.0.0.1, \"\(host)\"]"))
        #expect(text.hasPrefix("f.yaml:2: server.host: \(host) is not a loopback address"))
        #expect(text.contains("auth.mode none") && text.contains("auth.allow_anonymous"))
    }

    @Test(arguments: [
        ("auth: {mode: gateway}", "f.yaml:1: auth.jwt_secret: is empty, so no token could be checked"),
        ("auth: {mode: gateway, jwt_secret: s, jwt_issuer: ''}", "f.yaml:1: auth.jwt_issuer: is empty"),
    ])
    func notServed(text: String, start: String) throws {
        let message = try #require(complaint(text))
        #expect(message.hasPrefix(start))
    }

    @Test func whoIsAskedWhoTheyAreMayComeFromAnywhere() throws {
        let loaded = try load("server: {host: [0.0.0.0]}\nauth: {mode: gateway, jwt_secret: s}")
        #expect(loaded.warnings.isEmpty)
        let anonymous = try load("server: {host: [0.0.0.0]}\nauth: {allow_anonymous: true}")
        #expect(anonymous.warnings.map(\.description).contains { $0.contains("0.0.0.0 is not a loopback address: everybody who reaches it sees everything") })
    }

    @Test func warnings() throws {
        let loaded = try load(
            "server: {allowed_origins: ['*']}\ncompression: {context_takeover: true}", environment: ["GOLEAPAI_WS_SERVER_PROT": "1", "GOLEAPAI_WS_URL": "x"])
        #expect(
            loaded.warnings.map(\.description) == [
                "GOLEAPAI_WS_SERVER_PROT: is no setting and has no effect; did you mean GOLEAPAI_WS_SERVER_PORT?",
                "f.yaml:1: server.allowed_origins: * lets the pages of every site connect",
            ])
    }

    @Test func precedence() throws {
        let text = "server: {port: 1}\nlog: {level: debug}"
        let environment = ["GOLEAPAI_WS_SERVER_PORT": "2", "GOLEAPAI_WS_SERVER_HOST": "127.0.0.1, ::1", "PATH": "x"]
        #expect(try load(text).settings.server.port == 1)
        #expect(try load(text, environment: environment).settings.server.port == 2)
        let loaded = try load(text, environment: environment, overrides: [.init(name: "--port", key: "server.port", text: "3")])
        #expect(loaded.settings.server.port == 3 && loaded.settings.log.level == .debug)
        #expect(loaded.settings.server.host == ["127.0.0.1", "::1"])
    }

    @Test func overrideErrorsNameTheOption() {
        #expect(throws: ConfigErrors([.init(.named("--port"), "server.port", "\"x\" is not a whole number; allowed are 0 to 65535")])) {
            try load("", overrides: [.init(name: "--port", key: "server.port", text: "x")])
        }
    }

    /// For every setting: its default, written by the environment, is the default again.
    @Test(arguments: Setting.all.map(\.key))
    func environmentOfEachKey(key: String) throws {
        let setting = try #require(Setting.named(key))
        let text =
            switch setting.read(Settings()) {
            case .boolean(let value): "\(value)"
            case .integer(let value): "\(value)"
            case .duration(let value): DurationText.format(value)
            case .text(let value): value
            case .list(let values): values.joined(separator: ",")
            }
        #expect(try load("", environment: [setting.environmentName: text]).settings == Settings())
    }
}
