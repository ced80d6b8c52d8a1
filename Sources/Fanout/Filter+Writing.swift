// Filters as operators see them: the same words that set them, but for secrets.

import Protocol

extension Filters {
    /// Writes the filters of the given channels as an object of objects.
    public func write(for channels: ChannelSet, to writer: inout JSONWriter) {
        writer.beginObject()
        for channel in channels.effective.channels {
            let present = parameters(of: channel)
            if present.isEmpty { continue }
            writer.key(channel.name)
            writer.beginObject()
            for (name, value) in present {
                writer.key(name)
                // What is searched for has no capital letters any more, by which most secrets are known.
                writer.string(name == "q" ? ForeignText.shown(value, to: 256) : ForeignText.masked(value))
            }
            writer.endObject()
        }
        writer.endObject()
    }

    private func parameters(of channel: Channel) -> [(String, String)] {
        func list(_ name: String, _ values: [[UInt8]]) -> [(String, String)] {
            values.isEmpty ? [] : [(name, values.map { String(decoding: $0, as: UTF8.self) }.joined(separator: ","))]
        }
        switch channel {
        case .logs:
            let levels = logs.severities.map { bits in Severity.allCases.filter { bits & $0.bit != 0 }.map { "\($0)" } }
            return (levels.map { [("level", $0.joined(separator: ","))] } ?? [])
                + list("component", logs.components) + list("provider_id", logs.providerIDs)
                + (logs.contains.isEmpty ? [] : [("q", String(decoding: logs.contains, as: UTF8.self))])
        case .stats: return [("window", stats.window), ("interval", String(stats.interval))]
        case .requests:
            return list("provider_id", requests.providerIDs) + list("model_id", requests.modelIDs)
                + (requests.onlyErrors ? [("only_errors", "true")] : [])
                + (requests.minLatency.map { [("min_latency_ms", String($0))] } ?? [])
        case .providers: return list("provider_id", providers)
        case .all: return []
        }
    }
}
