// The `data` of a `stats_update`.

import Base
import Protocol

/// A model's row in `models`, as far as statistics name it.
struct Model: Equatable {
    let name: String
    let providerID: String
}

/// Writes down the sums of a window, by the gateway's formulas. Pure.
enum StatsEncoder {
    /// - Parameters:
    ///   - now: the exact instant for which the sums were made.
    ///   - providers: those of the gateway; rows of others count in the totals only.
    ///   - models: likewise; looked up for the models that occur.
    static func encode(
        _ sums: WindowSums, pairs: [PairTable.Pair?], window: StatsWindow, at now: Instant, providers: [String: Provider],
        models: [String: Model]
    ) -> [UInt8] {
        var byProvider: [String: RowSums] = [:]
        var byModel: [String: RowSums] = [:]
        for (index, part) in sums.byPair.enumerated() where part.requests > 0 {
            guard let pair = pairs[index] else { continue }
            byProvider[pair.provider, default: RowSums()].add(part)
            byModel[pair.model, default: RowSums()].add(part)
        }
        let total = sums.total
        var json = JSONWriter(reserving: 1024 + 256 * (byProvider.count + byModel.count))
        json.beginObject()
        json.key("total_requests")
        json.int(total.requests)
        json.key("total_tokens")
        json.int(total.tokens)
        rates(total, &json)
        json.key("requests_per_min")
        json.int(total.requests / window.minutes)
        json.key("provider_stats")
        json.beginArray()
        for (id, part) in ordered(byProvider) {
            guard let provider = providers[id] else { continue }
            json.beginObject()
            json.key("provider_id")
            json.string(id)
            json.key("provider_name")
            json.string(provider.name)
            counts(part, &json)
            json.key("available")
            json.bool(provider.isAvailable(at: now))
            json.endObject()
        }
        json.endArray()
        json.key("calculated_at")
        json.string(now.rfc3339)
        json.key("time_window")
        json.string(window.rawValue)
        json.key("error_count")
        json.int(total.errors)
        let percentiles = sums.latencies.percentiles([50, 95, 99])
        json.key("latency_p50_ms")
        json.int(percentiles[0])
        json.key("latency_p95_ms")
        json.int(percentiles[1])
        json.key("latency_p99_ms")
        json.int(percentiles[2])
        json.key("input_tokens")
        json.int(total.input)
        json.key("output_tokens")
        json.int(total.output)
        json.key("estimated_cost")
        json.double(total.dollars)
        json.key("model_stats")
        json.beginArray()
        for (id, part) in ordered(byModel) {
            guard let model = models[id] else { continue }
            json.beginObject()
            json.key("model_id")
            json.string(id)
            json.key("model_name")
            json.string(model.name)
            json.key("provider_id")
            json.string(model.providerID)
            counts(part, &json)
            json.endObject()
        }
        json.endArray()
        json.endObject()
        return json.bytes
    }

    /// The models that occur in a window.
    static func models(in sums: WindowSums, pairs: [PairTable.Pair?]) -> Set<String> {
        var ids: Set<String> = []
        for (index, part) in sums.byPair.enumerated() where part.requests > 0 {
            if let pair = pairs[index] { ids.insert(pair.model) }
        }
        return ids
    }

    /// Most requests first, ties by id.
    private static func ordered(_ sums: [String: RowSums]) -> [(key: String, value: RowSums)] {
        sums.sorted { $0.value.requests != $1.value.requests ? $0.value.requests > $1.value.requests : $0.key < $1.key }
    }

    private static func rates(_ sums: RowSums, _ json: inout JSONWriter) {
        json.key("success_rate")
        json.double(sums.successRate)
        json.key("avg_latency_ms")
        json.int(sums.averageLatency)
    }

    private static func counts(_ sums: RowSums, _ json: inout JSONWriter) {
        json.key("requests")
        json.int(sums.requests)
        json.key("tokens")
        json.int(sums.tokens)
        rates(sums, &json)
        json.key("error_count")
        json.int(sums.errors)
    }
}
