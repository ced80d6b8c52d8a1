// What a client that is behind is still to be given, and by which rules: those that held when the events were published, and
// those of a replay that it has asked for.

import Base
import Protocol

/// A part of history that is given to a client by other rules than those of its present subscription.
struct Stretch {
    enum Kind {
        /// A subscription that has been changed since: it counts for what was published while it held.
        case former
        /// Events asked for again; only those from this instant on, where there is one.
        case replay(notBefore: Instant?)
    }
    enum Ending {
        case nothing
        /// A message that goes out when everything before `until` has: the answer to the change.
        case message(ControlMessage)
        /// `caught_up`.
        case caughtUp
    }

    var from: UInt64
    /// The first event that it does not count for.
    let until: UInt64
    let evaluator: Evaluator
    let kind: Kind
    let ending: Ending

    var isReplay: Bool { if case .replay = kind { true } else { false } }
}

/// Events that a replay gives from their source: history need not keep them for this client.
struct Coverage {
    let evaluator: Evaluator
    /// The channels that are read from their sources.
    let channels: ChannelSet
    let notBefore: Instant
    /// Events from here on come from history; `UInt64.max` while the source is being read.
    var until = UInt64.max

    func covers(_ entry: UnsafePointer<EventEntry>, _ sequence: UInt64, of segment: Segment) -> Bool {
        sequence < until && entry.pointee.flags & EventEntry.isArchived != 0 && !entry.pointee.channels.isDisjoint(with: channels)
            && entry.pointee.timestamp >= notBefore.microseconds && evaluator.passes(entry, of: segment)
    }
}

/// The begin of a replay by time, for events that were written before the replay began and published only then.
struct Threshold {
    /// The channels that the client has heard only since it asked.
    let channels: ChannelSet
    let notBefore: Instant
    /// Where it asked; what comes before that was the client's by another subscription.
    let from: UInt64
    /// What was written before has been published below this; `UInt64.max` while it may still be on its way.
    var until = UInt64.max

    func holdsBack(_ entry: UnsafePointer<EventEntry>, _ sequence: UInt64) -> Bool {
        from <= sequence && sequence < until && entry.pointee.flags & EventEntry.isArchived != 0
            && entry.pointee.timestamp < notBefore.microseconds && !entry.pointee.channels.isDisjoint(with: channels)
    }
}

/// The backlog of one client. Exists while the client is behind, and while its ring may have to be filled from history again.
/// Confined to the shard's queue.
final class Backlog {
    /// Most changes of a subscription, and replays, that can wait.
    static let stretchesMax = 16

    private(set) var stretches: [Stretch] = []
    /// From this event on the present subscription counts.
    private(set) var presentFrom: UInt64
    /// Events that were offered to the client and are in no account yet; what waits in its ring is not among them.
    var owed = WideLanes()
    var coverage: Coverage?
    var threshold: Threshold?
    /// The replay that holds everything back until it has found where it begins.
    var job: ReplayJob?

    /// - Parameter sequence: the first event that waits.
    init(from sequence: UInt64) { presentFrom = sequence }

    var isFull: Bool { stretches.count >= Backlog.stretchesMax }
    var hasReplay: Bool { job != nil || stretches.contains(where: \.isReplay) }

    /// The subscription changes at `sequence`.
    func change(from former: Evaluator, at sequence: UInt64, ending: Stretch.Ending) {
        stretches.append(Stretch(from: presentFrom, until: sequence, evaluator: former, kind: .former, ending: ending))
        presentFrom = sequence
    }

    /// Nothing before `sequence` was published for the present subscription.
    func beginPresent(at sequence: UInt64) { presentFrom = max(presentFrom, sequence) }

    func add(_ stretch: Stretch) { stretches.append(stretch) }

    /// What lies before `sequence` has been judged by these rules; nothing but a replay goes back behind it.
    func settle(before sequence: UInt64) {
        presentFrom = max(presentFrom, sequence)
        for position in stretches.indices where !stretches[position].isReplay {
            stretches[position].from = max(stretches[position].from, sequence)
        }
    }

    /// Where the threshold ends, as far as that is known by now. Before anything is judged.
    func settleThreshold() {
        if let job { threshold?.until = job.settled.load(ordering: .relaxed) }
    }

    /// Takes out the replay; at most one is in here.
    func removeReplay() { stretches.removeAll(where: \.isReplay) }

    /// Takes out the stretches that end at or before `sequence`, earliest first.
    func takeEnded(at sequence: UInt64) -> [Stretch] {
        guard stretches.contains(where: { $0.until <= sequence }) else { return [] }
        let ended = stretches.filter { $0.until <= sequence }.sorted { $0.until < $1.until }
        stretches.removeAll { $0.until <= sequence }
        if let coverage, coverage.until <= sequence { self.coverage = nil }
        return ended
    }

    /// The next event after `sequence` at which the rules change; nil where they stay.
    func border(after sequence: UInt64) -> UInt64? {
        var nearest: UInt64?
        for stretch in stretches {
            for border in [stretch.from, stretch.until] where border > sequence { nearest = min(nearest ?? border, border) }
        }
        if presentFrom > sequence { nearest = min(nearest ?? presentFrom, presentFrom) }
        return nearest
    }

    // MARK: judging

    enum Verdict {
        /// Not for this client at all.
        case foreign
        case filtered
        /// Superseded by a newer state that comes later in the backlog.
        case conflated
        /// Comes from its source.
        case covered
        case due
    }

    /// What becomes of one event, and whether the client is owed it (else it was asked for again).
    /// - Parameters:
    ///   - present: the rules of the present subscription; nil where the client is subscribed to nothing.
    ///   - head: the first event that has not been handed out.
    func judge(
        _ index: Int, of segment: Segment, present: Evaluator?, head: UInt64
    ) -> (verdict: Verdict, isOwed: Bool) {
        let entry = segment.entry(at: index)
        let sequence = segment.firstSequence &+ UInt64(index)
        var isOwed = false
        var passes = false
        var end = head
        var isAskedFor = false
        var isRefused = false
        if let present, sequence >= presentFrom, present.hears(entry) {
            isOwed = true
            passes = present.passes(entry, of: segment)
        }
        for stretch in stretches where stretch.from <= sequence && sequence < stretch.until && stretch.evaluator.hears(entry) {
            switch stretch.kind {
            case .former:
                isOwed = true
                passes = stretch.evaluator.passes(entry, of: segment)
                end = min(end, stretch.until)
            case .replay(let notBefore):
                if let notBefore, entry.pointee.timestamp < notBefore.microseconds { continue }
                if stretch.evaluator.passes(entry, of: segment) { isAskedFor = true } else { isRefused = true }
            }
        }
        if passes, threshold?.holdsBack(entry, sequence) == true { passes = false }
        guard passes || isAskedFor else { return (isOwed || isRefused ? .filtered : .foreign, isOwed) }
        if let coverage, coverage.covers(entry, sequence, of: segment) { return (.covered, isOwed) }
        // What was asked for again is history, every step of it; of what merely waits, the newest state is enough.
        if !isAskedFor, entry.pointee.flags & EventEntry.isConflatable != 0 {
            let successor = segment.successor(of: index)
            if successor != 0, successor < end { return (.conflated, isOwed) }
        }
        return (.due, isOwed)
    }
}

/// Judged events on their way into the ledger; a part of one segment.
struct Tally {
    private var offered = Lanes()
    private var owed = Lanes()
    private var filtered = Lanes()
    private var conflated = Lanes()
    private var replayed = Lanes()
    private var dropped = Lanes()

    /// - Parameter isLost: what is due is lost, not given.
    mutating func enter(_ channel: UInt8, _ verdict: Backlog.Verdict, isOwed: Bool, isLost: Bool = false) {
        let one = Lanes(one: channel)
        if verdict == .foreign { return }
        if isOwed { owed += one } else { offered += one }
        switch verdict {
        case .foreign: break
        case .filtered: filtered += one
        case .conflated: conflated += one
        case .covered: replayed += one
        case .due: if isLost { dropped += one }
        }
    }

    func commit(to ledger: LossLedger, _ backlog: Backlog) {
        backlog.owed -= owed
        ledger.add(.offered, offered)
        ledger.add(.filtered, filtered)
        ledger.add(.conflated, conflated)
        ledger.add(.replayed, replayed)
        ledger.add(.dropped, dropped)
    }
}
