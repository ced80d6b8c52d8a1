// What the sampler has done, for the metrics.

import Base

/// How a look at the gateway's database ended.
public enum DatabaseReadResult: String, CaseIterable, Sendable {
    case ok
    /// The gateway held its lock.
    case busy
    /// It took longer than a read may, and was ended.
    case interrupted
    case failed
}

/// Totals since the start. Writer: the sampler thread; readers: any.
public final class SamplerCounters: Sendable {
    /// Looks at the database, twenty a second while it rests.
    public let reads = CaseCounters<DatabaseReadResult>()
    private let read = CounterCells(1)

    public init() {}

    /// New rows of `request_logs`.
    public var rows: UInt64 { read[0] }

    func addRow() { read.add(0) }
}
