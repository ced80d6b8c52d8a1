// What the journal thread does, step by step, without the thread.

import Base
import Host

/// Follows the journal from its present end, and tells the sink. Owner: the journal thread.
final class JournalFollower {
    /// journald says up to 250 ms late that it has written; asking costs next to nothing.
    static let pollMilliseconds: Int32 = 20
    static let batchMax = 256
    /// Entries are a few hundred bytes; of large ones a batch has fewer.
    static let batchBytesMax = 1_048_576
    static let retryNanoseconds: UInt64 = 1_000_000_000
    /// A reader that was not level for so long may miss lines when entries behind the last one it read are gone.
    static let levelNanosecondsMax: UInt64 = 100_000_000
    /// Directories that come are looked for this often.
    static let lookNanoseconds: UInt64 = 3_000_000_000
    /// The first lines wait so long for the names of the providers.
    static let namesNanosecondsMax: UInt64 = 500_000_000

    private var options: JournalOptions
    /// Units that were added while it ran, and since when: what they wrote before is not live.
    private var added: (units: Set<String>, since: Instant)?
    private let names: ProviderNames
    private let published: PublishedPlaces
    private let clock: any Clock
    private let sink: any EventSink
    private let health: SourceHealth
    private let phase: SamplerPhase
    private let counters: JournalCounters

    private var assembler: JournalAssembler
    /// What `counters` have been told of.
    private var counted = JournalAssembler.Counts()
    private var output: [SourceEvent] = []
    private var journal: Journal?
    /// Since when events are wanted; nil until the journal has been open for the first time.
    private var began: (wall: Instant, monotonic: UInt64)?
    /// Of the last entry consumed.
    private var cursor: String?
    private var directories: JournalDirectories?
    private var lookedAt: UInt64 = 0
    private var namesAreDue = true
    /// When everything that there was had been read.
    private var levelAt: UInt64 = 0
    /// Whether the last step read everything that there was.
    private(set) var isAtEnd = false

    init(
        _ options: JournalOptions, names: ProviderNames, published: PublishedPlaces, clock: any Clock, sink: any EventSink,
        health: SourceHealth, phase: SamplerPhase, counters: JournalCounters
    ) {
        self.options = options
        self.names = names
        self.published = published
        self.clock = clock
        self.sink = sink
        self.health = health
        self.phase = phase
        self.counters = counters
        assembler = JournalAssembler(options)
    }

    /// Reads and publishes what is there, and waits a little for more.
    /// - Parameter waits: false to come back at once, for tests.
    /// - Returns: nanoseconds to sleep before the next step; 0 where it is to follow at once.
    func step(waits: Bool = true) -> UInt64 {
        phase.begin(.reading)
        isAtEnd = false
        do {
            look()
            let journal = try opened()
            if waitsForNames { return UInt64(JournalFollower.pollMilliseconds) * 1_000_000 }
            isAtEnd = try read(journal)
            if isAtEnd, directories?.access ?? .ok == .ok { health.good([.logs]) }
            phase.begin(.reading)
            try journal.wait(milliseconds: isAtEnd && waits ? JournalFollower.pollMilliseconds : 0)
            return 0
        } catch {
            journal = nil
            health.bad(.logs, "the journal cannot be read: \(error)")
            return JournalFollower.retryNanoseconds
        }
    }

    /// Goes on with other options where it stands: units that stay lose nothing.
    func adopt(_ wanted: JournalOptions) {
        added = (Set(wanted.units).subtracting(options.units), clock.now())
        options = wanted
        assembler.options = wanted
        journal = nil
    }

    /// Lines that come meanwhile are not lost: the place from which they are read is settled already.
    private var waitsForNames: Bool {
        guard namesAreDue, let began else { return false }
        namesAreDue = !names.isKnown && clock.monotonic() < began.monotonic &+ JournalFollower.namesNanosecondsMax
        return namesAreDue
    }

    // MARK: opening

    /// Closes the journal; the next step opens it again where it was.
    func forget() { journal = nil }

    private func opened() throws(SystemError) -> Journal {
        if let journal { return journal }
        let journal = try options.open()
        // Begins to watch, so that what comes from here on counts as a change.
        try journal.wait(milliseconds: 0)
        if let cursor {
            try journal.seek(cursor: cursor)
        } else if let began {
            try journal.seek(to: began.wall)
        } else {
            let now = clock.now()
            let last = try journal.seekToEnd(at: now)
            cursor = last?.cursor
            began = (now, clock.monotonic())
            levelAt = clock.monotonic()
            let place = last?.place ?? JournalPlace(sequenceID: 0, sequence: 0, realtime: now)
            published.entry.withLock { $0 = place }
        }
        self.journal = journal
        return journal
    }

    /// Looks whether directories have come or may be read now, which an open journal does not notice.
    private func look() {
        let now = clock.monotonic()
        guard options.directory == nil, directories == nil || now &- lookedAt >= JournalFollower.lookNanoseconds else { return }
        lookedAt = now
        let present = JournalDirectories.look()
        if directories != present { journal = nil }
        directories = present
        if present.access != .ok { health.bad(.logs, present.access.sentence) }
    }

    // MARK: reading

    /// - Returns: whether the end was reached.
    private func read(_ journal: Journal) throws(SystemError) -> Bool {
        var place: JournalPlace?
        var bytes = 0
        var isAtEnd = false
        var failure: SystemError?
        var count = 0
        while count < JournalFollower.batchMax, bytes < JournalFollower.batchBytesMax {
            do {
                let entry = try journal.next()
                // Who had read everything a moment ago misses nothing when old entries go.
                if journal.hasLostItsPlace(), clock.monotonic() &- levelAt > JournalFollower.levelNanosecondsMax {
                    output.append(SourceEvent(kind: .gap, timestamp: clock.now(), data: SourceGap.lost.data(.logs)))
                }
                guard let entry else {
                    isAtEnd = true
                    levelAt = clock.monotonic()
                    break
                }
                let isEarlier = added.map { entry.realtime < $0.since && $0.units.contains(entry.unit ?? "") } ?? false
                if !isEarlier { assembler.add(entry, at: clock.monotonic(), names: names, into: &output) }
                place = entry.place
                cursor = entry.cursor
                bytes += entry.message.count
                count += 1
            } catch {
                // First what was read before it: the place has moved on.
                failure = error
                break
            }
        }
        assembler.expire(at: clock.monotonic(), names: names, into: &output)
        phase.begin(.working)
        deliver()
        if let place { published.entry.withLock { $0 = place } }
        counters.add(assembler.counts, since: counted)
        counted = assembler.counts
        if let failure { throw failure }
        return isAtEnd
    }

    /// Gives everything to the sink in its order.
    private func deliver() {
        for start in stride(from: 0, to: output.count, by: JournalFollower.batchMax) {
            sink.publish(Array(output[start..<min(start + JournalFollower.batchMax, output.count)]))
        }
        output.removeAll(keepingCapacity: true)
    }
}
