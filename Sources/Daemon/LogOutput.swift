// Where the log goes and how it looks: `log.format`, `log.level`.

import Base
import Glibc
import Host
import Protocol

/// Entries as one JSON object per line on standard error.
struct JSONLogSink: LogSink {
    func write(_ entry: LogEntry) { LogLine.write(JSONLogSink.text(of: entry)) }

    static func text(of entry: LogEntry) -> String {
        var writer = JSONWriter()
        writer.beginObject()
        func member(_ key: String, _ value: String) {
            writer.key(key)
            writer.string(value)
        }
        member("time", entry.time.rfc3339)
        member("level", entry.level.name)
        member("message", entry.message)
        if let event = entry.event {
            member("event", event.name)
            member("message_id", event.id)
        }
        var names: [String] = []
        for field in entry.fields where !names.contains(field.name) { names.append(field.name) }
        for name in names {
            let values = entry.fields.filter { $0.name == name }.map(\.value)
            if values.count == 1 {
                member(name.lowercased(), values[0])
            } else {
                // As in the journal, where a field may have several values.
                writer.key(name.lowercased())
                writer.beginArray()
                for value in values { writer.string(value) }
                writer.endArray()
            }
        }
        // Not "source", which is a field of entries about sources.
        member("code", "\(entry.file):\(entry.line)")
        writer.endObject()
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

/// The last thing before entries are written, whatever they are about: nothing that is known for a secret gets into the log.
///
/// On the log's own thread, so it costs those who log nothing.
struct MaskingLogSink: LogSink {
    let sink: any LogSink

    func write(_ entry: LogEntry) { sink.write(entry.mapTexts(ForeignText.masked)) }
}

extension Log {
    /// Where entries go as the configuration wants it.
    static func configure(_ log: Settings.LogOutput) {
        let sink: any LogSink =
            switch log.format {
            case .auto: automaticSink()
            case .journal: JournalSink.isThere ? JournalSink(identifier: Version.name) : TextLogSink(isColoured: false)
            case .terminal: TextLogSink(isColoured: true)
            case .plain: TextLogSink(isColoured: false)
            case .json: JSONLogSink()
            }
        configure(level: LogLevel(name: log.level.rawValue) ?? .info, sink: MaskingLogSink(sink: sink))
    }

    private static func automaticSink() -> any LogSink {
        if JournalSink.isStandardError() { return JournalSink(identifier: Version.name) }
        return TextLogSink(isColoured: isatty(2) == 1 && getenv("NO_COLOR") == nil)
    }
}

/// Says what is wrong with the configuration: to the journal with its MESSAGE_ID, one entry each; to anybody else as plain lines.
func report(_ errors: ConfigErrors) {
    guard JournalSink.isStandardError() else { return Output.error("\(errors)\n") }
    Log.configure(Settings().log)
    for error in errors.errors { Log.error("\(error)", .configurationInvalid, [.setting(error.key)]) }
}
