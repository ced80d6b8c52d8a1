// The table of metrics: compression.

import Fanout
import Protocol

extension Metric {
    /// What is compressed once for all who have that window, and what for each client by itself.
    private static let kinds: [(name: String, compression: Compression?)] =
        Deflater.windows.map { ("\($0)", .deflate(window: $0)) } + [("gzip", .gzip), ("context", nil)]

    private static func byKind(
        _ noun: String, unit: String = "", _ count: Framer.Count, _ help: String, reading: String, of kinds: [(name: String, compression: Compression?)] = kinds
    ) -> Metric {
        let label = MetricLabel(name: "window", values: kinds.map(\.name))
        return Metric(name: prefix + noun + "_total", kind: .counter, unit: unit, labels: [label], help: help, reading: reading) { observed in
            kinds.map { Sample(labels: [$0.name], value: .count(observed.hub.framer.count(count, of: $0.compression))) }
        }
    }

    static let compression: [Metric] = [
        byKind(
            "compressions", .messages,
            "Messages compressed, by the window they were compressed for; gzip: of Server-Sent Events; context: for one client alone (compression.context_takeover).",
            reading: "At most one per event and window, however many clients there are, but for context: there it is one per event and client."),
        byKind(
            "compression_input_bytes", unit: "bytes", .bytesBefore, "Bytes of those messages before.",
            reading: "Divided by the next one it is how much shorter they become."),
        byKind(
            "compression_output_bytes", unit: "bytes", .bytesAfter, "Bytes of those messages after, headers of frames aside.",
            reading: "As above."),
        byKind(
            "compressions_unpaid", .unpaid, "Messages that would not have become shorter, and went out as they were.",
            reading: "Many: raise compression.threshold_bytes.", of: kinds.filter { $0.compression != nil }),
        gauge(
            "compression_contexts", "Clients that have compressors of their own.",
            reading: "0 unless compression.context_takeover is set."
        ) { .level(Int64($0.hub.contexts.compressors)) },
        gauge(
            "compression_context_bytes", unit: "bytes", "Memory that is set aside for these, and for what the messages of clients refer to, at most 32 KiB each.",
            reading: "At limit{name=\"compression_context_bytes\"} the messages of further clients, and ours to them, stand each for itself."
        ) { .level(Int64($0.hub.contexts.bytes)) },
    ]
}
