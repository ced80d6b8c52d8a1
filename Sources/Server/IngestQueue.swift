// Where large bodies are read: beside the shards, one after the other.

import Dispatch

/// A serial queue for work that would hold up a shard.
final class IngestQueue: Sendable {
    private let queue = DispatchQueue(label: "ingest")
    func run(_ work: @escaping @Sendable () -> Void) { queue.async(execute: work) }
}
