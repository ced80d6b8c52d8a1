// A metric as a line of the table: what it is called, what it means, and where its figures come from.

import Base
import Fanout

/// A label and the values that it may have. There are few: never an id, an address or a user.
struct MetricLabel: Sendable {
    let name: String
    /// Every value that it has; empty where these depend on the machine, as `note` says.
    let values: [String]
    var note = ""
}

/// One figure of a metric.
struct Sample: Sendable {
    enum Value: Sendable {
        case count(UInt64)
        case level(Int64)
        case real(Double)
        /// - Parameter perUnit: how many of the reading's units make one of the metric's.
        case histogram(HistogramReading, perUnit: Double)
    }
    /// One per label of the metric, in its order.
    let labels: [String]
    let value: Value
}

/// One metric. `all`, in parts by subject, is the table that makes the page and `docs/METRICS.md`.
struct Metric: Sendable {
    enum Kind: String, Sendable {
        case counter, gauge, histogram
    }

    /// With the prefix.
    let name: String
    let kind: Kind
    /// `seconds`, `bytes`; empty for a plain number.
    let unit: String
    let labels: [MetricLabel]
    /// What it counts: a sentence with its full stop, for HELP.
    let help: String
    /// What its movement means, for people who look at it.
    let reading: String
    let samples: @Sendable (Observation) -> [Sample]

    static let prefix = "goleapai_ws_"

    /// Under which heading of the document.
    struct Part: Sendable {
        let title: String
        let metrics: [Metric]
    }

    static let parts: [Part] = [
        Part(title: "Connections and clients", metrics: connections),
        Part(title: "What is turned away", metrics: refusals),
        Part(title: "Events and deliveries", metrics: events),
        Part(title: "Compression", metrics: compression),
        Part(title: "History and replays", metrics: history),
        Part(title: "Sources", metrics: sources),
        Part(title: "Credentials", metrics: credentials),
        Part(title: "TLS", metrics: tls),
        Part(title: "The daemon", metrics: daemon),
        Part(title: "The process", metrics: process),
    ]
    static let all: [Metric] = parts.flatMap(\.metrics)
}

// Makers of lines: one per shape.
extension Metric {
    /// A number that only grows. `_total` is added to the name.
    static func counter(
        _ noun: String, unit: String = "", _ help: String, reading: String, _ value: @escaping @Sendable (Observation) -> UInt64
    ) -> Metric {
        Metric(name: prefix + noun + "_total", kind: .counter, unit: unit, labels: [], help: help, reading: reading) {
            [Sample(labels: [], value: .count(value($0)))]
        }
    }

    /// The same for each case.
    static func counter<Case: CaseIterable & RawRepresentable<String> & Sendable>(
        _ noun: String, unit: String = "", by label: String, _ cases: Case.Type, _ help: String, reading: String,
        _ value: @escaping @Sendable (Observation, Case) -> UInt64
    ) -> Metric {
        Metric(
            name: prefix + noun + "_total", kind: .counter, unit: unit,
            labels: [MetricLabel(name: label, values: cases.allCases.map(\.rawValue))],
            help: help, reading: reading
        ) { observed in cases.allCases.map { Sample(labels: [$0.rawValue], value: .count(value(observed, $0))) } }
    }

    /// The same for each channel.
    static func counterByChannel(
        _ noun: String, _ help: String, reading: String, _ value: @escaping @Sendable (Observation, Channel) -> UInt64
    ) -> Metric {
        Metric(name: prefix + noun + "_total", kind: .counter, unit: "", labels: [.channel], help: help, reading: reading) {
            observed in
            Channel.allCases.map { Sample(labels: [$0.name], value: .count(value(observed, $0))) }
        }
    }

    /// A number that goes up and down.
    static func gauge(
        _ noun: String, unit: String = "", _ help: String, reading: String,
        _ value: @escaping @Sendable (Observation) -> Sample.Value?
    ) -> Metric {
        Metric(name: prefix + noun, kind: .gauge, unit: unit, labels: [], help: help, reading: reading) { observed in
            value(observed).map { [Sample(labels: [], value: $0)] } ?? []
        }
    }

    static func gauge(
        _ noun: String, unit: String = "", labels: [MetricLabel], _ help: String, reading: String,
        _ samples: @escaping @Sendable (Observation) -> [Sample]
    ) -> Metric {
        Metric(name: prefix + noun, kind: .gauge, unit: unit, labels: labels, help: help, reading: reading, samples: samples)
    }

    static func histogram(
        _ noun: String, unit: String = "", perUnit: Double = 1, _ help: String, reading: String,
        _ value: @escaping @Sendable (Shard) -> HistogramReading
    ) -> Metric {
        Metric(name: prefix + noun, kind: .histogram, unit: unit, labels: [], help: help, reading: reading) { observed in
            let readings = observed.shards.map(value)
            guard let first = readings.first else { return [] }
            return [Sample(labels: [], value: .histogram(readings.dropFirst().reduce(first, +), perUnit: perUnit))]
        }
    }
}

extension MetricLabel {
    static let channel = MetricLabel(name: "channel", values: Channel.allCases.map(\.name))
    static let source = MetricLabel(name: "source", values: ["stats", "requests", "providers", "journal"])
}
