// The daemon's own log. Whoever logs hands an entry over and goes on: it is written by a thread of the log's own, so that a
// journal that does not take entries, or a terminal that stands still, never holds up a shard.

import Glibc
import Synchronization

/// The process's log. Any thread may write.
public enum Log {
    private static let threshold = Atomic<Int>(LogLevel.info.rawValue)
    private static let writer = LogWriter()

    /// Sets what is written and where. Call at start and on reload.
    public static func configure(level: LogLevel, sink: any LogSink) {
        threshold.store(level.rawValue, ordering: .relaxed)
        writer.use(sink)
    }

    /// Sets what is written.
    public static func set(level: LogLevel) { threshold.store(level.rawValue, ordering: .relaxed) }

    /// From now on entries are written by a thread of their own. Before that, and where there can be no thread, by whoever logs.
    public static func start() { writer.start() }

    /// Entries of a level that were written or wait for it, since the start. Any thread.
    public static func written(_ level: LogLevel) -> UInt64 { writer.written[level.rawValue] }
    /// Entries left out of floods, and those that the log did not take in time.
    public static var suppressed: UInt64 { writer.leftOut[0] }
    public static var lost: UInt64 { writer.leftOut[1] }

    /// Says what was left out of floods that are over. Called by the heartbeat loop.
    public static func reportSuppressed() { writer.reportSuppressed(isLast: false) }

    /// Writes what waits, for at most a second: at the end of the process.
    public static func finish() { writer.finish() }

    public static func debug(
        _ message: @autoclosure () -> String, _ event: LogEvent? = nil, _ fields: @autoclosure () -> [LogField] = [],
        file: StaticString = #fileID, line: UInt = #line, function: StaticString = #function
    ) { write(.debug, message, event, fields, file, line, function) }

    public static func info(
        _ message: @autoclosure () -> String, _ event: LogEvent? = nil, _ fields: @autoclosure () -> [LogField] = [],
        file: StaticString = #fileID, line: UInt = #line, function: StaticString = #function
    ) { write(.info, message, event, fields, file, line, function) }

    public static func warn(
        _ message: @autoclosure () -> String, _ event: LogEvent? = nil, _ fields: @autoclosure () -> [LogField] = [],
        file: StaticString = #fileID, line: UInt = #line, function: StaticString = #function
    ) { write(.warn, message, event, fields, file, line, function) }

    public static func error(
        _ message: @autoclosure () -> String, _ event: LogEvent? = nil, _ fields: @autoclosure () -> [LogField] = [],
        file: StaticString = #fileID, line: UInt = #line, function: StaticString = #function
    ) { write(.error, message, event, fields, file, line, function) }

    private static func write(
        _ level: LogLevel, _ message: () -> String, _ event: LogEvent?, _ fields: () -> [LogField], _ file: StaticString, _ line: UInt,
        _ function: StaticString
    ) {
        guard level.rawValue >= threshold.load(ordering: .relaxed) else { return }
        let text = LogWriter.oneLine(message())
        writer.take(
            LogEntry(
                time: SystemClock().now(), level: level, message: text, event: event, fields: fields(), file: file, line: line, function: function))
    }
}

/// The queue between those who log and the sink.
///
/// `@unchecked Sendable` because everything below is touched under the condition's lock only.
final class LogWriter: @unchecked Sendable {
    /// Entries that may wait; more are counted and left out.
    private static let waitingMax = 8192

    private let condition = Condition()
    private var sink: any LogSink = TextLogSink(isColoured: false)
    private var limiter = LogLimiter()
    private var waiting: [LogEntry] = []
    private var overflown = 0
    private var isRunning = false
    /// An entry is being written just now, outside the lock.
    private var isWriting = false
    /// By level.
    let written = CounterCells(LogLevel.allCases.count)
    /// Of floods, and for want of room.
    let leftOut = CounterCells(2)

    /// Without control characters: a line break would be a second, forged entry, and an escape sequence, such as from the name in a client's
    /// certificate, would speak to the terminal of who reads it.
    static func oneLine(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }
        return isPlain ? text : String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? " " : $0 }))
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }

    func use(_ sink: any LogSink) {
        condition.withLock { self.sink = sink }
    }

    func start() {
        condition.withLock { isRunning = true }
        if Thread.start(named: "log", { [self] in run() }) != nil { condition.withLock { isRunning = false } }
    }

    func take(_ entry: LogEntry) {
        let sink = condition.withLock { () -> (any LogSink)? in
            guard limiter.admits(entry, at: SystemClock().monotonic()) else {
                leftOut.add(0)
                return nil
            }
            if !isRunning {
                written.add(entry.level.rawValue)
                return self.sink
            }
            put(entry)
            return nil
        }
        sink?.write(entry)
    }

    /// With the lock held.
    /// - Parameter count: entries that are lost where there is no room: of a notice those that it is about.
    private func put(_ entry: LogEntry, standingFor count: Int = 1) {
        guard waiting.count < LogWriter.waitingMax else {
            overflown += count
            leftOut.add(1)
            return
        }
        waiting.append(entry)
        written.add(entry.level.rawValue)
        condition.broadcast()
    }

    func reportSuppressed(isLast: Bool) {
        condition.withLock {
            for left in limiter.takeSuppressed(at: SystemClock().monotonic(), isLast: isLast) {
                let entry = left.entry
                put(
                    LogEntry(
                        time: SystemClock().now(), level: entry.level, message: "\(left.count) more like this were left out: \(entry.message)",
                        event: .suppressed, fields: [LogField("N_SUPPRESSED", "\(left.count)")], file: entry.file, line: entry.line,
                        function: entry.function), standingFor: left.count)
            }
            guard overflown > 0, waiting.isEmpty else { return }
            let count = overflown
            overflown = 0
            put(
                LogEntry(
                    time: SystemClock().now(), level: .warn, message: "\(count) entries were left out: the log did not take them in time",
                    event: .suppressed, fields: [LogField("N_SUPPRESSED", "\(count)")], file: #fileID, line: #line, function: #function))
        }
    }

    private func run() {
        while true {
            let (entries, sink) = condition.withLock { () -> ([LogEntry], any LogSink) in
                isWriting = false
                condition.broadcast()
                while waiting.isEmpty { _ = condition.wait(until: Condition.Deadline(nanoseconds: 60_000_000_000)) }
                defer { waiting.removeAll(keepingCapacity: true) }
                isWriting = true
                return (waiting, self.sink)
            }
            for entry in entries { sink.write(entry) }
        }
    }

    func finish() {
        reportSuppressed(isLast: true)
        let deadline = Condition.Deadline(nanoseconds: 1_000_000_000)
        condition.withLock {
            while isRunning, !waiting.isEmpty || isWriting, condition.wait(until: deadline) {}
        }
    }
}

/// Entries as lines of text on standard error; a line is one write(2), so that lines never mix.
public struct TextLogSink: LogSink {
    private let isColoured: Bool

    public init(isColoured: Bool) { self.isColoured = isColoured }

    public func write(_ entry: LogEntry) { LogLine.write(TextLogSink.text(of: entry, isColoured: isColoured)) }

    static func text(of entry: LogEntry, isColoured: Bool) -> String {
        guard isColoured else { return "\(entry.time.rfc3339) \(entry.level.name) \(entry.message)" }
        let colour = ["\u{1B}[2m", "", "\u{1B}[33m", "\u{1B}[31m"][entry.level.rawValue]
        return "\u{1B}[2m\(entry.time.rfc3339)\u{1B}[0m \(colour)\(entry.level.name) \(entry.message)\u{1B}[0m"
    }
}

/// Lines on standard error.
public enum LogLine {
    /// Writes a line, without its end, by one call. What cannot be written is lost: there is nobody left to be told.
    public static func write(_ line: String) {
        var copy = line + "\n"
        copy.withUTF8 { _ = Glibc.write(2, $0.baseAddress, $0.count) }
    }
}
