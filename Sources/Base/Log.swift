// The daemon's own log: one line per entry to standard error. On a journal the line carries its priority
// (sd-daemon(3), `<N>`); on a terminal it carries time and colour.

import Glibc
import Synchronization

/// Severity of a log line, least first.
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
    var priority: Int { [7, 6, 4, 3][rawValue] }
    var colour: String { ["\u{1B}[2m", "", "\u{1B}[33m", "\u{1B}[31m"][rawValue] }
    public var name: String { ["debug", "info", "warn", "error"][rawValue] }
}

/// The process's log. Any thread may write; a line is one write(2), so that lines never mix.
public enum Log {
    public enum Format: Int, Sendable { case plain, journal, terminal }

    private static let threshold = Atomic<Int>(LogLevel.info.rawValue)
    private static let format = Atomic<Int>(Format.plain.rawValue)

    /// Sets what is written and how. Call at start and on reload.
    public static func configure(level: LogLevel, format chosen: Format) {
        threshold.store(level.rawValue, ordering: .relaxed)
        format.store(chosen.rawValue, ordering: .relaxed)
    }

    /// The form that fits standard error: journal when it is one (systemd.exec(5), `$JOURNAL_STREAM`), colour on a terminal.
    public static func detectedFormat() -> Format {
        if getenv("JOURNAL_STREAM") != nil { return .journal }
        return isatty(2) == 1 && getenv("NO_COLOR") == nil ? .terminal : .plain
    }

    public static func debug(_ message: @autoclosure () -> String) { write(.debug, message) }
    public static func info(_ message: @autoclosure () -> String) { write(.info, message) }
    public static func warn(_ message: @autoclosure () -> String) { write(.warn, message) }
    public static func error(_ message: @autoclosure () -> String) { write(.error, message) }

    private static func write(_ level: LogLevel, _ message: () -> String) {
        guard level.rawValue >= threshold.load(ordering: .relaxed) else { return }
        // A line break in a message would be a second, forged entry.
        let text = String(message().map { $0.isNewline ? " " : $0 })
        let line: String
        switch Format(rawValue: format.load(ordering: .relaxed)) ?? .plain {
        case .journal: line = "<\(level.priority)>\(text)\n"
        case .terminal: line = "\u{1B}[2m\(SystemClock().now().rfc3339)\u{1B}[0m \(level.colour)\(level.name) \(text)\u{1B}[0m\n"
        case .plain: line = "\(SystemClock().now().rfc3339) \(level.name) \(text)\n"
        }
        var copy = line
        copy.withUTF8 { _ = Glibc.write(2, $0.baseAddress, $0.count) }
    }
}
