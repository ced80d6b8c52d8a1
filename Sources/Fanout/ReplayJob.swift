// One replay: finding where it begins, reading what history does not have, and handing over to history.

import Base
import Protocol
import Synchronization

/// A replay of one client that cannot simply begin at a known event. Passed to and fro between a thread of the pool, which does its
/// steps, and the client's shard; only the one who has it touches it, but for `cancel` and `settled`.
final class ReplayJob: @unchecked Sendable {  // Sendable because of the rule above; the handover is a queue's or a lock's.
    /// Whose it is.
    let shard: Shard
    let handle: ClientHandle
    /// The principal's; empty for nobody in particular.
    let user: String
    let encoding: Encoding
    let evaluator: Evaluator
    /// The first event of history that was asked for, and the first that is live.
    let from: UInt64
    let until: UInt64
    /// Where it was asked to begin in time.
    let since: Instant?
    /// How many it is to give at most: what the client asked for, else nil.
    let last: Int?
    /// The channels that are read from their sources; empty where history reaches back far enough.
    let archived: ChannelSet
    /// The channels that the client was not subscribed to before it asked.
    let fresh: ChannelSet

    /// Its client's ring has to run empty before the next part is read. The shard's.
    var isWaitingForRoom = false

    /// What was written before it was asked for has been published below this; `UInt64.max` until that is so. Writer: the pool, under the
    /// hub's lock, so that a shard that sees an event from there on sees this as well.
    let settled = Atomic<UInt64>(.max)
    private let cancelled = Atomic<Bool>(false)
    /// Where it is read from, from its first step to its last. Owner: the pool.
    var archive: (any Archive)?
    private var position: (any ArchivePosition)?
    /// Events at the very first instant that are one too many.
    private var skipped: (instant: Instant, count: Int)?
    /// Nanoseconds spent on reading.
    private var spent: UInt64 = 0
    private var failed: ChannelSet = []

    /// A step ends when it has given this many bytes of frames, or has worked for this long.
    private static let chunkBytes = 32_768
    private static let sliceNanoseconds: UInt64 = 50_000_000
    private static let eventsPerRead = 128
    /// 2000-01-01.
    private static let earliest = Instant(milliseconds: 946_684_800_000)

    init(
        shard: Shard, handle: ClientHandle, user: String, encoding: Encoding, evaluator: Evaluator, from: UInt64, until: UInt64, since: Instant?,
        last: Int?, archived: ChannelSet, fresh: ChannelSet
    ) {
        self.shard = shard
        self.handle = handle
        self.user = user
        self.encoding = encoding
        self.evaluator = evaluator
        self.from = from
        self.until = until
        self.since = since
        self.last = last
        self.archived = archived
        self.fresh = fresh
    }

    /// The client is gone. Any thread.
    func cancel() { cancelled.store(true, ordering: .relaxed) }
    var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

    /// Does what comes next. On a thread of the pool.
    func step(_ reader: (any ArchiveReader)?, _ pool: ReplayPool) {
        if isCancelled { return }
        if position == nil { plan(reader, pool) } else if let reader { read(reader, pool) }
    }

    private var hub: Hub { shard.hub }
    private var framer: Framer { hub.framer }

    // MARK: planning

    private func plan(_ reader: (any ArchiveReader)?, _ pool: ReplayPool) {
        if since != nil { reader?.settle() }
        let (segments, _) = hub.snapshot { head in
            // The first time counts: what comes later is live.
            if settled.load(ordering: .relaxed) == .max { settled.store(head, ordering: .relaxed) }
        }
        let limit = min(last ?? .max, pool.limits.replayEventsMax)
        let view = HistoryView(segments, from: from, until: until)
        let place = view.place(ofLast: limit, passing: evaluator, notBefore: since)
        // Who asked for a number gets it; a gap is what somebody did not ask for.
        let isCut = limit < last ?? .max
        // Where history begins at this very instant, more of the same may lie before it.
        guard let reader, let since, !archived.isEmpty, place.found < limit, since <= hub.coverage().advanced(byMilliseconds: 1) else {
            let first = place.first
            // History has moved on since the replay was asked for; how much of it would have passed is not known any more.
            let isShort = archived.isEmpty && view.from > from && place.found < limit
            var gap: ControlMessage?
            if let since {
                // There may be more before history, which was not even looked for.
                let isMore = place.before > 0 || !archived.isEmpty && since <= hub.coverage().advanced(byMilliseconds: 1)
                if isShort || isCut && place.found == limit && isMore {
                    gap = timeGap(evaluator.audience.channels, from: since, until: view.timestamp(of: first))
                }
            } else if isShort || isCut && place.before > 0 {
                gap = cutGap(before: first, dropped: isShort ? nil : place.before)
            }
            if gap != nil { pool.cut.add(1, ordering: .relaxed) }
            let told = gap
            shard.post { $0.beginReplay(self, from: first, gap: told) }
            return
        }
        let start = start(of: limit - place.found, since, reader, pool)
        let isTold = start.isCut && (isCut || start.isLate)
        if isTold { pool.cut.add(1, ordering: .relaxed) }
        let gap = isTold ? timeGap(archived, from: since, until: start.instant) : nil
        skipped = start.skipped > 0 ? (start.instant, start.skipped) : nil
        position = reader.begin(archived, from: start.instant, until: nil)
        shard.post { $0.beginArchive(self, gap: gap) }
        read(reader, pool)
    }

    private struct Start {
        var instant: Instant
        var skipped = 0
        /// There is more before it.
        var isCut = false
        /// It could not be looked for any further in time.
        var isLate = false
    }

    /// Where the last `count` events that pass begin.
    ///
    /// Looked for in windows that go backwards and are read forwards, each twice as long as the one before, so that a small number is
    /// found at once in a large archive.
    private func start(of count: Int, _ since: Instant, _ reader: any ArchiveReader, _ pool: ReplayPool) -> Start {
        if reader.count(archived, from: since, max: count) <= count { return Start(instant: since) }
        let began = pool.clock.monotonic()
        let deadline = began + pool.limits.replayNanoseconds / 2
        defer { spent = pool.clock.monotonic() - began }
        var end: Instant?
        // There are no rows and no lines from before the gateway's time, whatever is asked for.
        let since = max(since, ReplayJob.earliest)
        var begin = min(hub.coverage(), pool.clock.now())
        var seconds: Int64 = 60
        var missing = count
        while true {
            begin = max(since, begin.advanced(byMilliseconds: -seconds * 1000))
            let found = instants(from: begin, until: end, reader, until: deadline, pool)
            guard let found else { return Start(instant: end ?? pool.clock.now(), isCut: true, isLate: true) }
            if found.count >= missing {
                let first = found[found.count - missing]
                let earlier = found[..<(found.count - missing)].reversed().prefix { $0 == first }.count
                return Start(instant: first, skipped: earlier, isCut: true)
            }
            missing -= found.count
            if begin <= since { return Start(instant: since) }
            end = begin
            seconds = min(seconds * 2, 86_400 * 366 * 100)
        }
    }

    /// The instants of all events in a window that pass; nil where there was no time for all.
    private func instants(
        from: Instant, until end: Instant?, _ reader: any ArchiveReader, until deadline: UInt64, _ pool: ReplayPool
    ) -> [Instant]? {
        var found: [Instant] = []
        let window = reader.begin(archived, from: from, until: end)
        while true {
            if isCancelled || pool.clock.monotonic() > deadline { return nil }
            let batch = reader.next(window, edge: view(), limit: ReplayJob.eventsPerRead)
            pool.eventsRead.add(UInt64(batch.events.count), ordering: .relaxed)
            _ = frames(batch.events) { found.append($0) }
            // What cannot be read is told when it is to be given.
            if batch.isFinished { return found }
        }
    }

    // MARK: reading

    /// History as it is now: what it has let go of meanwhile is the archive's.
    private func view() -> HistoryView {
        let (segments, head) = hub.snapshot()
        return HistoryView(segments, from: from, until: head)
    }

    private func read(_ reader: any ArchiveReader, _ pool: ReplayPool) {
        guard let position else { return }
        let began = pool.clock.monotonic()
        var chunk: [UInt8] = []
        while true {
            while let event = waiting.popFirst() {
                chunk += frames([event]) { lastInstant = $0 }
                // One that is large goes alone; what is left of a read waits here, so that the client's ring holds little.
                if chunk.count >= ReplayJob.chunkBytes { break }
            }
            let now = pool.clock.monotonic()
            if isCancelled { return }
            if chunk.count >= ReplayJob.chunkBytes || now - began > ReplayJob.sliceNanoseconds {
                spent += now - began
                let bytes = chunk
                shard.post { $0.give(bytes, of: self) }
                return
            }
            if spent + (now - began) > pool.limits.replayNanoseconds {
                pool.cut.add(1, ordering: .relaxed)
                chunk += framer.frame(timeGap(archived, from: lastInstant ?? since, until: nil), as: encoding)
                isOver = true
                finish(chunk, at: view().from)
                return
            }
            if let first = lastRead, first.isFinished {
                spent += now - began
                finish(chunk, at: first.edge)
                return
            }
            let view = view()
            let batch = reader.next(position, edge: view, limit: ReplayJob.eventsPerRead)
            pool.eventsRead.add(UInt64(batch.events.count), ordering: .relaxed)
            waiting = ArraySlice(batch.events)
            lastRead = (view.from, batch.isFinished)
            for failure in batch.failures where !failed.contains(ChannelSet(failure.channel)) {
                failed.insert(ChannelSet(failure.channel))
                pool.cut.add(1, ordering: .relaxed)
                Log.warn("a replay of \(failure.channel.name) is incomplete: \(failure.why)", .replayIncomplete, [.channel(failure.channel.name)])
                chunk += framer.frame(timeGap(ChannelSet(failure.channel), from: lastInstant ?? since, until: nil), as: encoding)
            }
        }
    }
    /// Events that were read and not given yet.
    private var waiting: ArraySlice<EventDraft> = []
    /// Where history began when the sources were last read, and whether nothing was left before it.
    private var lastRead: (edge: UInt64, isFinished: Bool)?
    /// Its time is over: history takes over wherever it begins.
    private(set) var isOver = false
    /// Of the last event given.
    private var lastInstant: Instant?

    private func finish(_ chunk: [UInt8], at first: UInt64) {
        // Where history has moved on meanwhile, the sources are asked again.
        lastRead = nil
        shard.post { $0.join(self, at: first, chunk) }
    }

    /// The frames of those events that pass; `passed` is told the instant of each.
    private func frames(_ events: [EventDraft], _ passed: (Instant) -> Void) -> [UInt8] {
        var bytes: [UInt8] = []
        for event in hub.redaction.masked(events) {
            // The engine's own filters look at an event in a segment.
            let scratch = Segment(firstSequence: 0, entriesMax: 1, bytesMax: Segment.bytesNeeded(event), framer: framer)
            scratch.add(event, id: nil, published: 0)
            guard evaluator.passes(scratch.entry(at: 0), of: scratch) else { continue }
            passed(event.timestamp)
            if let skip = skipped {
                if position != nil, event.timestamp == skip.instant, skip.count > 0 {
                    skipped = skip.count == 1 ? nil : (skip.instant, skip.count - 1)
                    continue
                }
            }
            let frames = scratch.frameLog(encoding)
            bytes += frames.bytes(of: frames.place(of: 0, scratch))
        }
        return bytes
    }

    // MARK: gaps

    private func cutGap(before first: UInt64, dropped: Int?) -> ControlMessage {
        hub.gaps.add(.historyExpired)
        return .gap(
            reason: .historyExpired, channels: evaluator.audience.channels, after: hub.epoch.id(from - 1), resume: hub.epoch.id(first - 1),
            dropped: dropped.map { UInt64($0) }, at: hub.clock.now())
    }

    /// A hole among events that have no ids: told by their instants.
    private func timeGap(_ channels: ChannelSet, from: Instant?, until end: Instant?) -> ControlMessage {
        hub.gaps.add(.historyExpired)
        return .gap(reason: .historyExpired, channels: channels, from: from, until: end, at: hub.clock.now())
    }
}
