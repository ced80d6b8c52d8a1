// Where the archive ends and history begins: places in the table and in the journal, told by those who read them live.
//
// Events of before are read from the sources (the archive) up to the first that history still holds. Where history holds none
// of a source, up to the last that the live reader has published. So every event comes from exactly one of the two.

import Base

/// A journal entry, as its cursor names it.
public struct JournalPlace: Sendable, Hashable {
    /// Hash of the sequence number id (`s=` of a cursor): entries with the same one are ordered by `sequence`.
    public let sequenceID: UInt64
    /// Sequence number (`i=`).
    public let sequence: UInt64
    /// Wall-clock time of the entry (`t=`): orders entries of different sequence number ids.
    public let realtime: Instant

    public init(sequenceID: UInt64, sequence: UInt64, realtime: Instant) {
        self.sequenceID = sequenceID
        self.sequence = sequence
        self.realtime = realtime
    }

    /// Whether this entry comes before the other one.
    public func isBefore(_ other: JournalPlace) -> Bool {
        sequenceID == other.sequenceID ? sequence < other.sequence : realtime < other.realtime
    }
}

/// A row of request_logs: where it stands, and who it is in case that it is renumbered.
struct RequestPlace: Sendable, Equatable {
    /// `Int64.min` without `id`: before the first row.
    var rowid: Int64
    var id: RowID?
}

/// Up to where each source's events have been published. Writers: the source's own thread, after `EventSink.publish` has come
/// back. Readers: any.
public final class PublishedPlaces: Sendable {
    /// Nil until the live reader has begun.
    let request = Locked<RequestPlace?>(nil)
    let entry = Locked<JournalPlace?>(nil)

    public init() {}
}

/// The first events of the sources that history holds. Made for one read of the archive; confined to its thread.
public struct HistoryEdge {
    /// The `request_id` of the n-th request event that history holds, oldest first; nil beyond the last. The first one that the
    /// table still has is where the archive ends, because older ones may have been deleted meanwhile.
    public let requestID: (Int) -> [UInt8]?
    /// The first journal entry that history holds.
    public let firstEntry: JournalPlace?

    public init(requestID: @escaping (Int) -> [UInt8]?, firstEntry: JournalPlace?) {
        self.requestID = requestID
        self.firstEntry = firstEntry
    }
}
