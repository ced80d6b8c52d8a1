// What a cursor of the journal says: systemd calls its text opaque, but documents the parts in "Journal Export Formats", and
// they have not changed since there are cursors.

/// A cursor taken apart.
public struct JournalCursor: Sendable, Hashable {
    /// Both halves of the sequence number id (`s=`), combined: a hash that is the same for the same id.
    public let sequenceID: UInt64
    /// Sequence number (`i=`).
    public let sequence: UInt64
    /// Both halves of the boot id (`b=`), combined.
    let boot: UInt64
    /// Monotonic and wall-clock microseconds (`m=`, `t=`), and a hash over the fields (`x=`).
    let monotonic: UInt64
    let realtime: UInt64
    let contents: UInt64

    /// - Returns: nil where a part is missing or no number.
    public init?(_ text: String) {
        var values: [Character: UInt64] = [:]
        for part in text.split(separator: ";") {
            guard let key = part.first, part.dropFirst().first == "=" else { return nil }
            let digits = part.dropFirst(2)
            // An id has 128 bits.
            let head = digits.count > 16 ? UInt64(digits.dropLast(16), radix: 16) : 0
            guard let head, let tail = UInt64(digits.suffix(16), radix: 16) else { return nil }
            values[key] = head ^ tail
        }
        guard let sequenceID = values["s"], let sequence = values["i"], let boot = values["b"], let monotonic = values["m"],
            let realtime = values["t"], let contents = values["x"]
        else { return nil }
        self.sequenceID = sequenceID
        self.sequence = sequence
        self.boot = boot
        self.monotonic = monotonic
        self.realtime = realtime
        self.contents = contents
    }

    /// Whether the two entries were written at the same microsecond. Common: journald stamps all lines that it reads at once alike.
    func isSimultaneous(with other: JournalCursor) -> Bool {
        boot == other.boot && monotonic == other.monotonic && realtime == other.realtime
    }
}
