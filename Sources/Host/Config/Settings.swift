// Every setting as a typed value. Names, defaults, ranges and sentences are in `SettingsTable`; the values of
// `Settings()` are the defaults, and the only place where they are written.

/// What the daemon was told to do: a value, checked when it comes from `load`. Any thread may hold it.
public struct Settings: Sendable, Equatable {
    public var server = Server()
    public var database = Database()
    public var websocket = WebSocket()
    public var history = History()
    public var replay = Replay()
    public var sources = Sources()
    public var auth = Auth()
    public var limits = Limits()
    public var broadcast = Broadcast()
    public var redact = Redact()
    public var compression = Compression()
    public var metrics = Metrics()
    public var log = LogOutput()

    /// The defaults: loopback only, nobody asked for credentials.
    public init() {}

    public struct Server: Sendable, Equatable {
        /// Addresses to listen on, as IP literals without brackets (`localhost` too until `load` has replaced it by both).
        public var host = ["127.0.0.1", "::1"]
        /// 0: any free port.
        public var port = 8080
        /// 0: one per core of the affinity mask.
        public var shards = 0
        /// Empty, or `scheme://host[:port][/path]` as browsers see the daemon.
        public var publicURL = ""
        /// Origins in their normal form, or `*`.
        public var allowedOrigins: [String] = []
        public var trustedProxies: [String] = []
        public var tls = TLS()
    }

    public struct TLS: Sendable, Equatable {
        public var enabled = false
        /// 0: TLS on `server.port`.
        public var port = 0
        public var certificate = ""
        public var key = ""
        public var clientCA = ""
    }

    public struct Database: Sendable, Equatable {
        public var type = "sqlite"
        /// As the gateway has it: a path, or `file:…?_journal_mode=WAL`.
        public var connection = "/opt/goleapai/data/goleapai.db"
    }

    public struct WebSocket: Sendable, Equatable {
        public var enabled = true
        public var maxClients = 1000
        /// Spans waiting per client.
        public var bufferSize = 256
        public var heartbeatInterval = Duration.seconds(30)
        public var clientTimeout = Duration.seconds(90)
        /// Whole seconds.
        public var statsUpdateInterval = Duration.seconds(5)
        public var maxMessageBytes = 65_536
        public var slowConsumer = SlowConsumer.dropOldest
    }

    /// What happens to a client that history has left behind.
    public enum SlowConsumer: String, Sendable, CaseIterable {
        case dropOldest = "drop_oldest"
        case disconnect
    }

    public struct History: Sendable, Equatable {
        public var maxEvents = 10_000
        public var maxBytes = 16_777_216
        public var maxAge = Duration.seconds(3600)
    }

    public struct Replay: Sendable, Equatable {
        public var maxEvents = 100_000
        public var maxSeconds = 10
        public var concurrent = 8
    }

    public struct Sources: Sendable, Equatable {
        public var statsEnabled = true
        public var requestsEnabled = true
        public var providersEnabled = true
        public var journal = Journal()
    }

    public struct Journal: Sendable, Equatable {
        public var enabled = true
        public var units = ["goleapai.service"]
    }

    public struct Auth: Sendable, Equatable {
        public var mode = AuthMode.none
        /// Filled from `jwtSecretFile` or a credential by `load`. Never to be logged.
        public var jwtSecret = ""
        public var jwtSecretFile = ""
        public var jwtIssuer = "goleapai-gateway"
        public var allowAnonymous = false
        public var queryToken = false
        public var openChannels: [String] = []
    }

    public enum AuthMode: String, Sendable, CaseIterable {
        case none, gateway
    }

    public struct Limits: Sendable, Equatable {
        public var connectionsPerAddress = 200
        public var connectionsPerUser = 50
        public var handshakesPerSecond = 50
        public var messagesPerSecond = 50
        public var bytesPerSecond = 1_048_576
    }

    public struct Broadcast: Sendable, Equatable {
        public var eventsPerSecond = 50_000
        public var burst = 100_000
        public var maxEventBytes = 262_144
        public var maxBatchBytes = 8_388_608
        /// `auto`, `off`, or an absolute path.
        public var socket = "auto"
    }

    public struct Redact: Sendable, Equatable {
        public var enabled = true
        public var fields: [String] = []
    }

    public struct Compression: Sendable, Equatable {
        public var enabled = true
        public var thresholdBytes = 512
        public var contextTakeover = false
        /// Of the compressors that clients have of their own, and of what these are asked to keep to.
        public var windowBits = 12
        public var memoryLevel = 5
        public var contextMaxBytes = 67_108_864
    }

    public struct Metrics: Sendable, Equatable {
        public var enabled = true
    }

    public struct LogOutput: Sendable, Equatable {
        public var level = Level.info
        public var format = Format.auto

        public enum Level: String, Sendable, CaseIterable { case debug, info, warn, error }
        /// `auto`: journal under systemd, colours on a terminal, else plain.
        public enum Format: String, Sendable, CaseIterable { case auto, journal, terminal, plain, json }
    }
}
