// Events older than history: who has them, and where history takes over. The sources implement this; replays read it.

import Base
import Protocol

/// Keeps events of before: the gateway's table and the journal. Any thread.
public protocol Archive: AnyObject, Sendable {
    /// The channels that it has events of.
    var channels: ChannelSet { get }
    /// A reader for one thread.
    func makeReader() -> any ArchiveReader
}

/// Reads an archive. Owner: one thread.
public protocol ArchiveReader: AnyObject {
    /// A place before everything from `from` on; where `until` is given, only what lies before that.
    func begin(_ channels: ChannelSet, from: Instant, until: Instant?) -> any ArchivePosition

    /// The next events in order of time, each once, up to where history begins.
    /// - Parameters:
    ///   - position: moved on. A position made by another reader of the same archive goes as well.
    ///   - limit: most events to give back.
    func next(_ position: any ArchivePosition, edge: HistoryView, limit: Int) -> ArchiveBatch

    /// At least how many events there are from an instant on, or `max + 1` where there are more than `max`, or where it cannot be told.
    func count(_ channels: ChannelSet, from: Instant, max: Int) -> Int

    /// Comes back when what was written to the sources before the call has been published, at the latest after a fraction of a second.
    func settle()

    /// Lets go of files; they are opened again when needed.
    func close()
}

/// A place in an archive; which one only its readers know. Owner: whoever reads.
public protocol ArchivePosition: AnyObject {}

/// What one read of an archive gave.
public struct ArchiveBatch {
    public var events: [EventDraft]
    /// Nothing is left before history.
    public var isFinished: Bool
    /// Channels of which nothing more can be had, and why, as a sentence.
    public var failures: [(channel: Channel, why: String)]

    public init(events: [EventDraft], isFinished: Bool, failures: [(channel: Channel, why: String)] = []) {
        self.events = events
        self.isFinished = isFinished
        self.failures = failures
    }
}

/// History as it is at one moment, seen from an archive. Confined to one thread; keeps its segments alive.
public final class HistoryView {
    let segments: [Segment]
    /// The first event that is looked at, and the first that is not.
    let from: UInt64
    let until: UInt64
    /// What has been found so far, and where the search goes on.
    private var requests: [(segment: Segment, index: Int)] = []
    private var searched: UInt64

    init(_ segments: [Segment], from: UInt64, until: UInt64) {
        self.segments = segments
        self.from = max(from, segments.first?.firstSequence ?? from)
        self.until = until
        searched = self.from
    }

    /// Calls `body` for the events from a sequence on, until it says no.
    private func forEach(from first: UInt64, _ body: (Segment, Int, UnsafePointer<EventEntry>) -> Bool) {
        for (position, segment) in segments.enumerated() {
            let end = min(until, position + 1 < segments.count ? segments[position + 1].firstSequence : until)
            guard end > first, end > segment.firstSequence else { continue }
            for sequence in max(first, segment.firstSequence)..<end {
                let index = Int(sequence - segment.firstSequence)
                if !body(segment, index, segment.entry(at: index)) { return }
            }
        }
    }

    /// The n-th request of the table that history holds, oldest first.
    private func request(_ n: Int) -> (segment: Segment, index: Int)? {
        if n >= requests.count, searched < until {
            forEach(from: searched) { segment, index, entry in
                searched = segment.firstSequence &+ UInt64(index) &+ 1
                if entry.pointee.flags & EventEntry.isArchived != 0, entry.pointee.channels.contains(ChannelSet(.requests)) {
                    requests.append((segment, index))
                }
                return requests.count <= n
            }
            if requests.count <= n { searched = until }
        }
        return n < requests.count ? requests[n] : nil
    }

    /// Its `request_id`; nil beyond the last.
    public func requestID(_ n: Int) -> [UInt8]? {
        request(n).map { found in Array(found.segment.text(of: found.segment.entry(at: found.index).pointee.requestID)) }
    }

    /// The first journal entry that history holds.
    public private(set) lazy var firstEntry: (sequenceID: UInt64, sequence: UInt64, timestamp: Instant)? = {
        var found: (UInt64, UInt64, Instant)?
        forEach(from: from) { _, _, entry in
            guard entry.pointee.flags & EventEntry.isArchived != 0, entry.pointee.channels.contains(ChannelSet(.logs)) else { return true }
            found = (entry.pointee.entrySequenceID, entry.pointee.entrySequence, Instant(microseconds: entry.pointee.timestamp))
            return false
        }
        return found
    }()

    /// When the event of a sequence happened; nil beyond the last.
    func timestamp(of sequence: UInt64) -> Instant? {
        var found: Instant?
        forEach(from: sequence) { _, _, entry in
            found = Instant(microseconds: entry.pointee.timestamp)
            return false
        }
        return found
    }

    /// Finds where the last `count` events begin that pass, and how many pass before that.
    func place(ofLast count: Int, passing evaluator: Evaluator, notBefore: Instant?) -> (first: UInt64, found: Int, before: Int) {
        var first = until
        var found = 0
        var before = 0
        for (position, segment) in segments.enumerated().reversed() {
            let end = min(until, position + 1 < segments.count ? segments[position + 1].firstSequence : until)
            let begin = max(from, segment.firstSequence)
            guard begin < end else { continue }
            for sequence in (begin..<end).reversed() {
                let entry = segment.entry(at: Int(sequence - segment.firstSequence))
                if let notBefore, entry.pointee.timestamp < notBefore.microseconds { continue }
                guard evaluator.passes(entry, of: segment) else { continue }
                if found < count {
                    found += 1
                    first = sequence
                } else {
                    before += 1
                }
            }
        }
        return (found < count ? from : first, found, before)
    }
}
