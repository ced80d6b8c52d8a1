// Journal entries become events: parts of a line are joined, journald's notices of loss become gaps, our own lines are left out.

import Base
import Host

/// Which lines are wanted, and how long they may be.
public struct JournalOptions: Sendable {
    public var units: [String]
    public var own: OwnService
    /// The largest `data` of an event.
    public var bytesMax: Int
    /// Where the journal files are, for tests; nil: the journal of this machine.
    public var directory: String?

    public init(units: [String], own: OwnService, bytesMax: Int = 262_144, directory: String? = nil) {
        self.units = units
        self.own = own
        self.bytesMax = bytesMax
        self.directory = directory
    }

    /// Opens the journal, limited to these units.
    func open() throws(SystemError) -> Journal {
        let journal = if let directory { try Journal(directory: directory) } else { try Journal() }
        try journal.match(units: units)
        return journal
    }
}

extension JournalEntry {
    var place: JournalPlace { JournalPlace(sequenceID: sequenceID, sequence: sequence, realtime: realtime) }
}

/// Makes events of entries in the order of the journal. A value, so that the archive can keep one between two reads.
struct JournalAssembler: Sendable {
    /// What has been seen so far.
    struct Counts: Sendable, Equatable {
        var entries: UInt64 = 0
        var lines: UInt64 = 0
        /// Entries that were part of a line.
        var parts: UInt64 = 0
        var truncated: UInt64 = 0
        /// Messages that journald said it has suppressed.
        var suppressed: UInt64 = 0
        var own: UInt64 = 0
    }

    /// Streams with an unfinished line; one is a process's standard output or error.
    static let pendingMax = 16
    static let lineBytesMax = JournalEntry.valueBytesMax
    /// Parts of a line come at once, unless the process stopped writing in the middle of it.
    static let partNanosecondsMax: UInt64 = 2_000_000_000

    private struct Pending {
        let stream: String
        var line: JournalLine
        /// When its last part came.
        var time: UInt64
    }

    var options: JournalOptions
    /// Oldest first.
    private var pending: [Pending] = []
    private var last: JournalPlace?
    private(set) var counts = Counts()

    init(_ options: JournalOptions) { self.options = options }

    /// Takes the next entry.
    ///
    /// - Parameters:
    ///   - time: nanoseconds on any clock, by which unfinished lines are given out.
    ///   - output: gets what has become complete: mostly one event, at most a few.
    mutating func add(_ entry: JournalEntry, at time: UInt64, names: ProviderNames, into output: inout [SourceEvent]) {
        expire(at: time, names: names, into: &output)
        counts.entries &+= 1
        let before = last
        last = entry.place
        if entry.transport == "driver", let id = entry.messageID, id == Journal.suppressedID || id == Journal.missedID {
            return notice(entry, isSuppression: id == Journal.suppressedID, into: &output)
        }
        if isOwn(entry) {
            counts.own &+= 1
            return
        }
        var line = JournalLine(
            text: entry.message, priority: entry.priority, unit: entry.unit, timestamp: entry.realtime, isCut: entry.isCut)
        let goesOn = entry.lineBreak == "line-max"
        guard let stream = entry.streamID else { return emit(line, at: entry.place, names, into: &output) }
        // A line that ends just where it is cut has no rest, and nothing says so; of JSON it can be seen.
        if let index = pending.firstIndex(where: { $0.stream == stream }), pending[index].line.isWholeObject {
            emit(pending.remove(at: index).line, at: before ?? entry.place, names, into: &output)
        }
        if let index = pending.firstIndex(where: { $0.stream == stream }) {
            counts.parts &+= 1
            pending[index].line.append(entry.message, isCut: entry.isCut, bytesMax: JournalAssembler.lineBytesMax)
            pending[index].time = time
            if goesOn { return }
            line = pending.remove(at: index).line
        } else if goesOn {
            counts.parts &+= 1
            if pending.count >= JournalAssembler.pendingMax { giveUp(at: 0, names, into: &output) }
            return pending.append(Pending(stream: stream, line: line, time: time))
        }
        emit(line, at: entry.place, names, into: &output)
    }

    /// Gives out the lines whose rest has not come in time.
    mutating func expire(at time: UInt64, names: ProviderNames, into output: inout [SourceEvent]) {
        while let index = pending.firstIndex(where: { time > $0.time && time - $0.time > JournalAssembler.partNanosecondsMax }) {
            giveUp(at: index, names, into: &output)
        }
    }

    /// Whether there are unfinished lines that began before this instant.
    func isPending(before instant: Instant) -> Bool { pending.contains { $0.line.timestamp < instant } }

    private mutating func giveUp(at index: Int, _ names: ProviderNames, into output: inout [SourceEvent]) {
        var line = pending.remove(at: index).line
        if !line.isWholeObject { line.isCut = true }
        guard let last else { return }
        // Behind all that was read before it was given out, so that the places of events grow in the order in which they are sent:
        // history's first place then says what the archive has to add.
        let place = JournalPlace(sequenceID: last.sequenceID, sequence: last.sequence &+ 1, realtime: last.realtime)
        emit(line, at: place, names, into: &output)
    }

    private mutating func emit(_ line: JournalLine, at place: JournalPlace, _ names: ProviderNames, into output: inout [SourceEvent]) {
        let (data, isTruncated) = line.data(bytesMax: options.bytesMax, names: names)
        counts.lines &+= 1
        if isTruncated { counts.truncated &+= 1 }
        output.append(SourceEvent(kind: .log, timestamp: line.timestamp, data: data, entry: place))
    }

    // MARK: notices and own lines

    private mutating func notice(_ entry: JournalEntry, isSuppression: Bool, into output: inout [SourceEvent]) {
        if isSuppression {
            // The unit is a field only while journald still knows the process; its text always ends with it.
            let text = String(decoding: entry.message, as: UTF8.self)
            guard options.units.contains(where: { entry.objectUnit == $0 || text.hasSuffix(" from \($0)") }) else { return }
            counts.suppressed &+= entry.dropped ?? 0
        }
        output.append(
            SourceEvent(
                kind: .gap, timestamp: entry.realtime, data: SourceGap.lost.data(.logs, dropped: isSuppression ? entry.dropped : nil),
                entry: entry.place))
    }

    private func isOwn(_ entry: JournalEntry) -> Bool {
        if entry.command == options.own.command { return true }
        if entry.processID == options.own.processID, entry.realtime >= options.own.since { return true }
        // Where we run inside of the unit that we read, its other lines are wanted.
        return entry.unit != nil && entry.unit == options.own.unit && !options.units.contains(entry.unit ?? "")
    }
}

extension JournalLine {
    /// Adds the next part.
    fileprivate mutating func append(_ part: [UInt8], isCut partIsCut: Bool, bytesMax: Int) {
        // What comes behind a hole would be no continuation.
        guard !isCut else { return }
        let taken = part.prefix(max(bytesMax - text.count, 0))
        text.append(contentsOf: taken)
        isCut = partIsCut || taken.count < part.count
    }
}
