// The text format of Prometheus, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/

import Base
import Fanout

/// Writes metrics. Pure.
struct MetricsText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private(set) var bytes: [UInt8] = []

    init() { bytes.reserveCapacity(65_536) }

    /// A metric with its HELP and TYPE, also where it has no sample just now.
    mutating func write(_ metric: Metric, _ samples: [Sample]) {
        write("# HELP \(metric.name) \(MetricsText.escapedHelp(metric.help))\n# TYPE \(metric.name) \(metric.kind.rawValue)\n")
        let names = metric.labels.map(\.name)
        for sample in samples {
            precondition(sample.labels.count == names.count, "labels of \(metric.name)")
            let labels = zip(names, sample.labels).map { "\($0)=\"\(MetricsText.escapedLabel($1))\"" }
            if case .histogram(let reading, let perUnit) = sample.value {
                write(metric.name, labels, reading, perUnit)
            } else {
                line(metric.name, labels, MetricsText.text(of: sample.value))
            }
        }
    }

    /// `_bucket` counts what is at most `le`, so each holds the ones before.
    private mutating func write(_ name: String, _ labels: [String], _ reading: HistogramReading, _ perUnit: Double) {
        var count: UInt64 = 0
        for (bound, more) in zip(reading.bounds, reading.counts) {
            count &+= more
            line("\(name)_bucket", labels + ["le=\"\(MetricsText.text(of: Double(bound) / perUnit))\""], String(count))
        }
        count &+= reading.counts.last ?? 0
        line("\(name)_bucket", labels + ["le=\"+Inf\""], String(count))
        line("\(name)_sum", labels, MetricsText.text(of: Double(reading.sum) / perUnit))
        line("\(name)_count", labels, String(count))
    }

    private mutating func line(_ name: String, _ labels: [String], _ value: String) {
        write(labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels.joined(separator: ","))} \(value)\n")
    }

    private mutating func write(_ text: String) { bytes.append(contentsOf: text.utf8) }

    // MARK: texts

    private static func text(of value: Sample.Value) -> String {
        switch value {
        case .count(let number): String(number)
        case .level(let number): String(number)
        case .real(let number): text(of: number)
        case .histogram: ""
        }
    }

    /// As Go's ParseFloat takes it.
    static func text(of number: Double) -> String {
        if number.isNaN { return "NaN" }
        if number.isInfinite { return number < 0 ? "-Inf" : "+Inf" }
        if number == number.rounded(), abs(number) < 1e15 { return String(Int64(number)) }
        return "\(number)"
    }

    static func escapedLabel(_ text: String) -> String { escaped(text, quotes: true) }
    static func escapedHelp(_ text: String) -> String { escaped(text, quotes: false) }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
