// One line of the gateway's log.

import Protocol

/// A line of the log (`log`), from the gateway's journal or published.
public struct LogEvent: StreamEvent {
    public var id: EventID?
    public var timestamp: String
    public var rawJSON: String

    /// As it was sent; empty where the line has none, which counts as `info`.
    public var level: String
    public var message: String
    public var component: String
    public var providerID: String
    public var requestID: String
    /// What else the line tells, in order.
    public var fields: [Field]

    /// One of a line's own fields.
    public struct Field: Sendable, Equatable {
        public var name: String
        /// A text as it is, anything else as JSON.
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// How bad a line is.
    public enum Level: Int, Sendable, Comparable, CaseIterable {
        case debug, info, warn, error, fatal, panic

        /// - Parameter text: `debug`, `info`, `warn` (or `warning`), `error`, `fatal`, `panic`, in any case; nil for another word.
        public init?(_ text: String) {
            switch text.lowercased() {
            case "debug", "trace": self = .debug
            case "info": self = .info
            case "warn", "warning": self = .warn
            case "error": self = .error
            case "fatal": self = .fatal
            case "panic": self = .panic
            default: return nil
            }
        }

        public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
    }

    /// `level` as a rank; what it does not know is `info`.
    public var severity: Level { Level(level) ?? .info }

    public init(
        level: String = "info", message: String, component: String = "", providerID: String = "", requestID: String = "", fields: [Field] = [],
        id: EventID? = nil, timestamp: String = "", rawJSON: String = ""
    ) {
        self.level = level
        self.message = message
        self.component = component
        self.providerID = providerID
        self.requestID = requestID
        self.fields = fields
        self.id = id
        self.timestamp = timestamp
        self.rawJSON = rawJSON
    }

    init(_ envelope: Envelope) {
        let data = envelope.data
        self.init(
            level: data.text("level"), message: data.text("message"), component: data.text("component"), providerID: data.text("provider_id"),
            requestID: data.text("request_id"),
            fields: (data["fields"]?.object ?? []).map { Field(name: $0.key, value: $0.value.string ?? $0.value.json) }, id: envelope.id,
            timestamp: envelope.timestamp, rawJSON: envelope.rawJSON)
    }
}
