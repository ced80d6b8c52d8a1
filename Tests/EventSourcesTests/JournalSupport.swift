// Journal files for tests, made by systemd's own tool, and entries without any file.

import Base
import Glibc
import Host
import Protocol
import Testing

@testable import EventSources

let gatewayUnit = "goleapai.service"
let noNames = ProviderNames()

func journalOptions(_ directory: String? = nil, units: [String] = [gatewayUnit], bytesMax: Int = 262_144) -> JournalOptions {
    let own = OwnService(processID: 4711, since: Instant(microseconds: 0), unit: "goleapai-ws.service")
    return JournalOptions(units: units, own: own, bytesMax: bytesMax, directory: directory)
}

/// A line as it would be in the journal of a test.
struct TestEntry {
    /// Microseconds behind the beginning of all tests' time.
    var at: Int64
    var fields: [(String, [UInt8])]

    static let began = Instant(milliseconds: 1_795_400_000_000)

    init(_ message: String, at: Int64, _ others: [(String, String)] = [("_SYSTEMD_UNIT", gatewayUnit)]) {
        self.init(Array(message.utf8), at: at, others)
    }

    init(_ message: [UInt8], at: Int64, _ others: [(String, String)] = [("_SYSTEMD_UNIT", gatewayUnit)]) {
        self.at = at
        fields = [("MESSAGE", message)] + others.map { ($0.0, Array($0.1.utf8)) }
    }

    static func suppressed(_ count: Int, unit: String = gatewayUnit, at: Int64) -> TestEntry {
        TestEntry(
            "Suppressed \(count) messages from \(unit)", at: at,
            [
                ("_TRANSPORT", "driver"), ("MESSAGE_ID", Journal.suppressedID), ("N_DROPPED", "\(count)"),
                ("_SYSTEMD_UNIT", "systemd-journald.service"),
            ])
    }

    var instant: Instant { Instant(microseconds: TestEntry.began.microseconds + at) }

    /// In the journal export format.
    var exported: [UInt8] {
        var bytes = Array(
            """
            __REALTIME_TIMESTAMP=\(instant.microseconds)
            __MONOTONIC_TIMESTAMP=\(1_000_000 + at)
            _BOOT_ID=0123456789abcdef0123456789abcdef

            """.utf8)
        for (name, value) in fields {
            bytes += Array("\(name)\n".utf8)
            bytes += withUnsafeBytes(of: UInt64(value.count).littleEndian) { Array($0) }
            bytes += value + [UInt8(ascii: "\n")]
        }
        return bytes + [UInt8(ascii: "\n")]
    }

    /// Without a file.
    func entry(_ sequence: UInt64) -> JournalEntry {
        var entry = JournalEntry(cursor: "\(sequence)", sequenceID: 1, sequence: sequence, realtime: instant)
        for (name, value) in fields { entry.set(name, value) }
        return entry
    }
}

extension JournalEntry {
    mutating func set(_ name: String, _ value: [UInt8]) {
        let text = String(decoding: value, as: UTF8.self)
        switch name {
        case "MESSAGE": message = value
        case "PRIORITY": priority = UInt8(text)
        case "_SYSTEMD_UNIT": unit = text
        case "_LINE_BREAK": lineBreak = text
        case "_STREAM_ID": streamID = text
        case "_PID": processID = Int32(text)
        case "_COMM": command = text
        case "_TRANSPORT": transport = text
        case "MESSAGE_ID": messageID = text
        case "N_DROPPED": dropped = UInt64(text)
        case "OBJECT_SYSTEMD_UNIT": objectUnit = text
        default: break
        }
    }
}

extension Folder {
    /// Adds the entries to a journal file, which is made if it is not there.
    func write(_ entries: [TestEntry], to name: String = "system.journal") throws {
        let tool = try #require(
            popen("/lib/systemd/systemd-journal-remote --output='\(path)/\(name)' - >/dev/null 2>&1", "w"),
            "no systemd-journal-remote")
        let bytes = entries.flatMap(\.exported)
        let written = fwrite(bytes, 1, bytes.count, tool)
        try #require(pclose(tool) == 0 && written == bytes.count, "systemd-journal-remote failed")
    }

    func delete(_ name: String) { unlink("\(path)/\(name)") }
    func rename(_ name: String, to other: String) { _ = Glibc.rename("\(path)/\(name)", "\(path)/\(other)") }

    func journal() throws -> Journal { try journalOptions(path).open() }
}

/// Lines with these numbers, a hundred to the second.
func numbered(_ numbers: Range<Int>) -> [TestEntry] { numbers.map { TestEntry("line \($0)", at: Int64($0) * 10_000) } }

extension Journal {
    /// All messages up to the end.
    func messages(atMost: Int = .max) throws -> [String] {
        var messages: [String] = []
        while messages.count < atMost, let entry = try next() { messages.append(String(decoding: entry.message, as: UTF8.self)) }
        return messages
    }
}

func message(_ event: SourceEvent) throws -> String { try json(event.data)["message"]?.string ?? "" }

func lines(_ numbers: Range<Int>) -> [String] { numbers.map { "line \($0)" } }
