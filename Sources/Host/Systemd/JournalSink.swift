// The journal as the place where the daemon's own entries go, with their fields.

import Base
import CSystemd
import Glibc

/// Writes entries by the journal's native protocol (sd_journal_sendv(3)). Blocks while journald does not take them.
public struct JournalSink: LogSink {
    private let identifier: String

    /// - Parameter identifier: SYSLOG_IDENTIFIER, the word before each line of `journalctl`.
    public init(identifier: String) { self.identifier = identifier }

    /// Whether standard error is the journal (systemd.exec(5), `$JOURNAL_STREAM`): not so where it was redirected later.
    public static func isStandardError(stream: String? = getenv("JOURNAL_STREAM").map { String(cString: $0) }) -> Bool {
        let numbers = (stream ?? "").split(separator: ":", omittingEmptySubsequences: false).map { UInt64($0) }
        var status = stat()
        guard numbers.count == 2, let device = numbers[0], let inode = numbers[1], fstat(2, &status) == 0 else { return false }
        return UInt64(status.st_dev) == device && UInt64(status.st_ino) == inode
    }

    /// Whether a journald takes entries here.
    public static var isThere: Bool { access("/run/systemd/journal/socket", W_OK) == 0 }

    public func write(_ entry: LogEntry) {
        if JournalSink.send(assignments(of: entry)) < 0 {
            // Better without its fields than not at all: sd-daemon(3), `<N>`.
            LogLine.write("<\(entry.level.priority)>\(entry.message)")
        }
    }

    /// `FIELD=value`, each.
    func assignments(of entry: LogEntry) -> [String] {
        var fields = [
            "MESSAGE=\(entry.message)", "PRIORITY=\(entry.level.priority)", "SYSLOG_IDENTIFIER=\(identifier)", "CODE_FILE=\(entry.file)",
            "CODE_LINE=\(entry.line)", "CODE_FUNC=\(entry.function)",
        ]
        if let event = entry.event { fields.append("MESSAGE_ID=\(event.id)") }
        for field in entry.fields { fields.append("\(field.name)=\(field.value)") }
        return fields
    }

    /// - Returns: 0 or a negative errno.
    private static func send(_ fields: [String]) -> Int32 {
        var bytes: [UInt8] = []
        var lengths: [Int] = []
        for field in fields {
            bytes.append(contentsOf: field.utf8)
            lengths.append(field.utf8.count)
        }
        return bytes.withUnsafeMutableBytes { all -> Int32 in
            guard var at = all.baseAddress else { return -EINVAL }
            var vectors: [iovec] = []
            for length in lengths {
                vectors.append(iovec(iov_base: at, iov_len: length))
                at += length
            }
            return sd_journal_sendv(&vectors, Int32(vectors.count))
        }
    }
}
