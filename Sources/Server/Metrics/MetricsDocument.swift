// docs/METRICS.md, from the table of metrics and the table of limits.

import Host

/// The document; `goleapai-ws help --generate metrics` writes it.
public enum MetricsDocument {
    public static var text: String {
        var text = """
            # Metrics

            What `/metrics` says, in the text format of Prometheus (0.0.4). Made from the table in the program: `goleapai-ws help --generate metrics`.
            [OPERATION.md](OPERATION.md#metrics) has a configuration for Prometheus and alerts.

            Counters count since the start. Every series of a fixed set of labels is there from the first scrape on, with 0. No label has a client's id, an address or a user.

            \(contents)

            """
        for part in Metric.parts {
            text += "\n## \(part.title)\n\n| Name | Kind | Labels | What it counts | How to read it |\n|---|---|---|---|---|\n"
            for metric in part.metrics { text += row(metric) }
        }
        text += """

            ## Limits

            Each limit, what happens at it, and the counter that tells. Where a setting is named, it is a key of [CONFIGURATION.md](CONFIGURATION.md).

            | Limit | Number | Default | On reload | What happens | Counter |
            |---|---|---|---|---|---|

            """
        for line in LimitLine.all { text += row(line) }
        return text
    }

    private static var contents: String {
        (Metric.parts.map(\.title) + ["Limits"]).map { "[\($0)](#\($0.lowercased().replacing(" ", with: "-")))" }.joined(
            separator: " · ")
    }

    private static func row(_ metric: Metric) -> String {
        let labels = metric.labels.map { label in
            "`\(label.name)`"
                + (label.values.isEmpty ? ": \(label.note)" : ": " + label.values.map { "`\($0)`" }.joined(separator: ", "))
        }
        let kind = metric.unit.isEmpty ? metric.kind.rawValue : "\(metric.kind.rawValue), \(metric.unit)"
        return
            "| `\(metric.name)` | \(kind) | \(labels.joined(separator: "; ")) | \(cell(metric.help)) | \(cell(metric.reading)) |\n"
    }

    private static func row(_ line: LimitLine) -> String {
        var (number, value, reload) = ("–", "–", "–")
        switch line.number {
        case .setting(let key):
            number = "`\(key)`"
            if let setting = Setting.named(key) {
                value = "`\(setting.defaultText)`"
                if case .integer(_, let unit) = setting.kind, !unit.isEmpty { value += " \(unit)" }
                reload = setting.needsRestart ? "no" : "yes"
            }
        case .constant(let text): (number, value) = ("constant", text)
        case .none: break
        }
        return "| \(cell(line.what)) | \(number) | \(value) | \(reload) | \(cell(line.answer)) | `\(line.metric)` |\n"
    }

    /// A bar would end the cell.
    private static func cell(_ text: String) -> String { text.replacing("|", with: "\\|") }
}
