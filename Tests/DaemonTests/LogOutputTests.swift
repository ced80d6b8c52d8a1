@testable import Base
import Testing

@testable import Daemon
@testable import Host

@Suite struct LogOutputTests {
    @Test func jsonLinesHaveOneObjectWithAllFields() {
        let entry = LogEntry(
            time: Instant(milliseconds: 0), level: .warn, message: "a \"quoted\" text\u{1}", event: .clientLost,
            fields: [.client(17), .channel("logs"), .remoteAddress("::1"), .channel("stats")], file: "Fanout/X.swift", line: 9, function: "f()")
        #expect(
            JSONLogSink.text(of: entry)
                == #"{"time":"1970-01-01T00:00:00.000Z","level":"warn","message":"a \"quoted\" text\u0001","event":"client-lost-events","message_id":"\#(LogEvent.clientLost.id)","client_id":"17","channel":["logs","stats"],"remote_addr":"::1","code":"Fanout/X.swift:9"}"#
        )
    }

    /// The keys of an entry's fields are none of those that every line has.
    @Test func jsonLinesSayNothingTwice() {
        let fields: [LogField] = [
            .client(1), .remoteAddress("::1"), .channel("logs"), .source("journal"), .setting("log.level"), LogField("CLOSE_CODE", "1000"),
            LogField("BYTES_SENT", "1"), LogField("N_SUPPRESSED", "1"),
        ]
        let entry = LogEntry(
            time: Instant(milliseconds: 0), level: .warn, message: "", event: .sourceFailing, fields: fields, file: "Fanout/X.swift", line: 9,
            function: "f()")
        let text = JSONLogSink.text(of: entry)
        for key in ["time", "level", "message", "event", "message_id", "code"] + fields.map({ $0.name.lowercased() }) {
            #expect(text.split(separator: "\"\(key)\":").count == 2, "\(key) in \(text)")
        }
        #expect(text.contains(#""source":"journal""#))
    }

    /// The file in systemd/ is the table's text, word for word.
    @Test func theShippedCatalog() throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let shipped = try ConfigFile.read("/\(root)/systemd/goleapai-ws.catalog")
        #expect(
            String(decoding: shipped, as: UTF8.self) == JournalCatalog.text,
            "make it anew: goleapai-ws help --generate catalog > systemd/goleapai-ws.catalog")
    }

    @Test func theCatalogHasEveryEventInTheFormOfSystemd() {
        let text = JournalCatalog.text
        for event in LogEvent.all { #expect(text.contains("\n\n-- \(event.id)\nSubject: \(event.subject)\n")) }
        // A line of a text that begins like a header would be taken for one.
        for event in LogEvent.all {
            for line in event.text.split(separator: "\n") { #expect(!line.hasPrefix("--") && !line.hasPrefix("#") && line.count <= 130) }
        }
    }

    private final class Kept: LogSink {
        let entries = Locked<[LogEntry]>([])
        func write(_ entry: LogEntry) { entries.withLock { $0.append(entry) } }
    }

    @Test func secretsAreMaskedWhereverTheyStand() {
        let kept = Kept()
        let key = "gla_7TWWbnGj1hENebf4Hr964k0uL80CMGY9Pp9UMDLxrGY"
        MaskingLogSink(sink: kept).write(
            LogEntry(
                time: Instant(milliseconds: 0), level: .warn, message: "with \(key)", event: .clientLost,
                fields: [.client(17), .source("x \(key)"), .channel("logs")], file: "Fanout/X.swift", line: 9, function: "f()"))
        let entry = kept.entries.withLock { $0[0] }
        #expect(entry.message == "with gla_[redacted]")
        #expect(entry.fields == [.client(17), .source("x gla_[redacted]"), .channel("logs")])
        #expect(entry.level == .warn && entry.event == .clientLost && entry.line == 9)
    }
}
