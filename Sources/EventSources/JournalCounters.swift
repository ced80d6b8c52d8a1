// What the journal source has done, for the metrics.

import Synchronization

/// Totals since the start, over all sources that there were. Writer: the journal thread; readers: any. Relaxed: each stands for itself.
public final class JournalCounters: Sendable {
    private let read = Atomic<UInt64>(0)
    private let published = Atomic<UInt64>(0)
    private let joined = Atomic<UInt64>(0)
    private let cut = Atomic<UInt64>(0)
    private let dropped = Atomic<UInt64>(0)
    private let skipped = Atomic<UInt64>(0)

    public init() {}

    /// Entries taken from the journal, journald's notices and our own lines included.
    public var entries: UInt64 { read.load(ordering: .relaxed) }
    /// Lines given to the sink.
    public var lines: UInt64 { published.load(ordering: .relaxed) }
    /// Entries that were one part of a line in several.
    public var parts: UInt64 { joined.load(ordering: .relaxed) }
    /// Lines marked as truncated.
    public var truncated: UInt64 { cut.load(ordering: .relaxed) }
    /// Messages of our units that journald says it has suppressed.
    public var suppressed: UInt64 { dropped.load(ordering: .relaxed) }
    /// Lines of this daemon, which are not fed back.
    public var own: UInt64 { skipped.load(ordering: .relaxed) }

    /// All of them, by the names of `/admin/ws/stats`.
    public var all: [(name: String, count: Int64)] {
        [
            ("journal_entries", entries), ("journal_lines", lines), ("journal_parts", parts), ("journal_truncated", truncated),
            ("journal_suppressed", suppressed), ("journal_own", own),
        ].map { ($0.0, Int64(clamping: $0.1)) }
    }

    /// Adds what has been counted since `before`.
    func add(_ counts: JournalAssembler.Counts, since before: JournalAssembler.Counts) {
        read.add(counts.entries &- before.entries, ordering: .relaxed)
        published.add(counts.lines &- before.lines, ordering: .relaxed)
        joined.add(counts.parts &- before.parts, ordering: .relaxed)
        cut.add(counts.truncated &- before.truncated, ordering: .relaxed)
        dropped.add(counts.suppressed &- before.suppressed, ordering: .relaxed)
        skipped.add(counts.own &- before.own, ordering: .relaxed)
    }
}
