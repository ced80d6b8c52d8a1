// The log lines of the story.

import Base
import Protocol

extension Traffic {
    /// The line of a finished request.
    mutating func completed(_ row: RequestRow) -> DemoLogLine {
        var fields = JSONWriter(reserving: 192)
        fields.beginObject()
        fields.key("method")
        fields.string("POST")
        fields.key("path")
        fields.string(row.endpoint)
        fields.key("status")
        fields.int(row.status)
        fields.key("latency_ms")
        fields.int(row.latencyMilliseconds)
        fields.key("ip")
        fields.string("192.0.2.\(10 + random.next() % 200)")
        if let index = providers.firstIndex(where: { $0.id == row.providerID }) {
            fields.key("provider")
            fields.string(Catalog.providers[index].name)
        }
        if let index = modelIDs.firstIndex(of: row.modelID) {
            fields.key("model")
            fields.string(Catalog.models[index].name)
        }
        if !row.errorMessage.isEmpty {
            fields.key("error")
            fields.string(row.errorMessage)
        }
        fields.endObject()
        let level = row.isSuccess ? "info" : row.status >= 500 ? "error" : "warn"
        return DemoLogLine(
            row.timestamp.instant, level, row.isSuccess ? "request completed" : "request failed", component: "router",
            providerID: row.providerID, requestID: row.id, fields: fields.bytes)
    }

    /// A line of the health monitor.
    func health(_ index: Int, at instant: Instant, level: String, _ message: String) -> DemoLogLine {
        let state = providers[index]
        var fields = JSONWriter(reserving: 96)
        fields.beginObject()
        fields.key("provider")
        fields.string(Catalog.providers[index].name)
        fields.key("latency_ms")
        fields.int(state.latencyMilliseconds)
        fields.key("health_score")
        fields.double(state.healthScore)
        fields.endObject()
        return DemoLogLine(instant, level, message, component: "health", providerID: state.id, requestID: nil, fields: fields.bytes)
    }

    /// One of the other things that a gateway says.
    mutating func remark(at instant: Instant) -> DemoLogLine {
        let remarks: [(level: String, message: String, component: String, fields: String)] = [
            ("debug", "cache miss", "cache", #"{"key":"models:list","ttl":300}"#),
            ("debug", "JWT validation failed", "auth", #"{"error":"invalid token"}"#),
            ("info", "config watcher: no changes", "config", "{}"),
            ("info", "quota reset", "quota", #"{"users":5}"#),
            ("warn", "rate limit exceeded", "ratelimit", #"{"ip":"198.51.100.7","limit":60,"window":"1m"}"#),
            ("warn", "slow query", "database", #"{"table":"request_logs","elapsed_ms":212}"#),
            ("error", "webhook delivery failed", "notify", #"{"url":"https://hooks.example/alerts","error":"context deadline exceeded"}"#),
        ]
        let chosen = remarks[random.index(weights: [5, 2, 3, 1, 3, 1, 0.5])]
        return DemoLogLine(
            instant, chosen.level, chosen.message, component: chosen.component, providerID: nil, requestID: nil,
            fields: Array(chosen.fields.utf8))
    }
}

extension DemoLogLine {
    init(
        _ timestamp: Instant, _ level: String, _ message: String, component: String, providerID: String?, requestID: String?,
        fields: [UInt8]
    ) {
        self.timestamp = timestamp
        self.level = level
        self.message = message
        self.component = component
        self.providerID = providerID
        self.requestID = requestID
        self.fields = fields
        var data = JSONWriter(reserving: 256 + fields.count)
        data.beginObject()
        data.key("level")
        data.string(level)
        data.key("message")
        data.string(message)
        data.key("component")
        data.string(component)
        if let providerID {
            data.key("provider_id")
            data.string(providerID)
        }
        if let requestID {
            data.key("request_id")
            data.string(requestID)
        }
        data.key("fields")
        data.raw(fields)
        data.key("timestamp")
        data.string(timestamp.rfc3339)
        data.key("source")
        data.string("demo")
        data.endObject()
        self.data = data.bytes
    }
}
