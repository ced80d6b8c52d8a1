// What a log entry is, and who writes it somewhere.

/// Severity of a log entry, least first.
public enum LogLevel: Int, Comparable, Sendable, CaseIterable {
    case debug, info, warn, error

    public init?(name: some StringProtocol) {
        switch name {
        case "debug": self = .debug
        case "info": self = .info
        case "warn": self = .warn
        case "error": self = .error
        default: return nil
        }
    }
    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }

    /// syslog(3) priority.
    public var priority: Int { [7, 6, 4, 3][rawValue] }
    public var name: String { ["debug", "info", "warn", "error"][rawValue] }
}

/// A field of an entry, for whoever searches the log by it: `journalctl CLIENT_ID=17`.
public struct LogField: Sendable, Equatable {
    /// Upper case letters, digits and underscores, not beginning with one (systemd.journal-fields(7)).
    public let name: String
    public let value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// The id of `/admin/ws/clients`.
    public static func client(_ id: UInt64) -> LogField { LogField("CLIENT_ID", "\(id)") }
    /// Without port.
    public static func remoteAddress(_ host: String) -> LogField { LogField("REMOTE_ADDR", host) }
    /// Of the gateway's `users`.
    public static func user(_ id: String) -> LogField { LogField("USER_ID", id) }
    public static func channel(_ name: String) -> LogField { LogField("CHANNEL", name) }
    /// A source as `/ready` names it.
    public static func source(_ name: String) -> LogField { LogField("SOURCE", name) }
    /// A key of the configuration.
    public static func setting(_ key: String) -> LogField { LogField("SETTING", key) }
}

/// One entry of the log.
public struct LogEntry: Sendable {
    public let time: Instant
    public let level: LogLevel
    /// One line.
    public let message: String
    public let event: LogEvent?
    public let fields: [LogField]
    /// `Module/File.swift`, and where in it.
    public let file: StaticString
    public let line: UInt
    public let function: StaticString

    /// The same entry with other texts, of the message and of each field.
    public func mapTexts(_ change: (String) -> String) -> LogEntry {
        LogEntry(
            time: time, level: level, message: change(message), event: event, fields: fields.map { LogField($0.name, change($0.value)) }, file: file,
            line: line, function: function)
    }
}

/// Where entries go. Called by one thread at a time; may block, since it is the log's own thread that waits.
public protocol LogSink: Sendable {
    func write(_ entry: LogEntry)
}
