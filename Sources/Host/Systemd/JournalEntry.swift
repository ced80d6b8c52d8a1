// One entry of the journal, with the fields that somebody here asks for.

import Base

/// A journal entry, copied out of the journal.
public struct JournalEntry: Sendable, Equatable {
    /// Longer values are cut; journald allows 768 MiB.
    public static let valueBytesMax = 1_048_576

    /// Where it stands; `Journal.seek(cursor:)` takes it.
    public var cursor: String
    /// The sequence number id, combined to 64 bits, and the sequence number.
    public var sequenceID: UInt64
    public var sequence: UInt64
    /// When journald took it in, by the wall clock.
    public var realtime: Instant

    /// MESSAGE: any bytes; empty where there is none.
    public var message: [UInt8] = []
    /// Whether MESSAGE is not whole: longer than `valueBytesMax`, or damaged in the file.
    public var isCut = false
    /// PRIORITY, as in syslog(3): 0...7.
    public var priority: UInt8?
    /// _SYSTEMD_UNIT.
    public var unit: String?
    /// _LINE_BREAK: why a line from a stream ended without a line break; `line-max` where it goes on in the next entry.
    public var lineBreak: String?
    /// _STREAM_ID: the connection of a process's standard output or error.
    public var streamID: String?
    /// _PID.
    public var processID: Int32?
    /// _COMM.
    public var command: String?
    /// _TRANSPORT: `stdout`, `journal`, `syslog`, `driver` (journald itself) and others.
    public var transport: String?
    /// MESSAGE_ID.
    public var messageID: String?
    /// N_DROPPED, in journald's notice of suppressed messages.
    public var dropped: UInt64?
    /// OBJECT_SYSTEMD_UNIT: the unit that a notice is about.
    public var objectUnit: String?
    /// SYSLOG_IDENTIFIER.
    public var identifier: String?

    public init(cursor: String, sequenceID: UInt64, sequence: UInt64, realtime: Instant) {
        self.cursor = cursor
        self.sequenceID = sequenceID
        self.sequence = sequence
        self.realtime = realtime
    }

    /// Takes one field as the journal has it, `NAME=value`; others than those above are passed over.
    mutating func take(_ field: UnsafeRawBufferPointer) {
        guard let sign = field.firstIndex(of: UInt8(ascii: "=")) else { return }
        let value = UnsafeRawBufferPointer(rebasing: field[(sign + 1)...])
        var text: String { String(decoding: value.prefix(JournalEntry.textBytesMax), as: UTF8.self) }
        // By length first: most fields are none of these.
        switch (sign, String(decoding: field[..<sign], as: UTF8.self)) {
        case (7, "MESSAGE"):
            isCut = isCut || value.count > JournalEntry.valueBytesMax
            message = Array(value.prefix(JournalEntry.valueBytesMax))
        case (8, "PRIORITY"): priority = UInt8(text).flatMap { $0 <= 7 ? $0 : nil }
        case (13, "_SYSTEMD_UNIT"): unit = text
        case (11, "_LINE_BREAK"): lineBreak = text
        case (10, "_STREAM_ID"): streamID = text
        case (4, "_PID"): processID = Int32(text)
        case (5, "_COMM"): command = text
        case (10, "_TRANSPORT"): transport = text
        case (10, "MESSAGE_ID"): messageID = text
        case (9, "N_DROPPED"): dropped = UInt64(text)
        case (19, "OBJECT_SYSTEMD_UNIT"): objectUnit = text
        case (17, "SYSLOG_IDENTIFIER"): identifier = text
        default: break
        }
    }

    /// Of any value but MESSAGE: names of units have at most 255 bytes.
    private static let textBytesMax = 256
}
