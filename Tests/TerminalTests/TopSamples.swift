// Models as a daemon would make them, for tests of the view and of keys.

import Base
import GoLeapAIWSClient
import TestSupport

@testable import Terminal

enum Sample {
    static let now = Instant(parsing: "2026-02-05T10:30:00.000Z") ?? Instant(milliseconds: 0)

    static func model(
        _ columns: Int, _ rows: Int, isUnicode: Bool = true, hasColors: Bool = true, isEmpty: Bool = false
    ) -> TopModel {
        let settings = TopModel.Settings(address: "http://127.0.0.1:8080", isUnicode: isUnicode, hasColors: hasColors)
        var model = TopModel(settings, columns: columns, rows: rows, now: now)
        if isEmpty { return model }
        model.version = "0.1.0"
        model.apply(.state(.connected(.init(role: "admin", epoch: "8f3k2"))))
        for event in events { model.apply(event) }
        return model
    }

    static func at(_ secondsBefore: Double) -> String { now.advanced(byMilliseconds: Int64(-secondsBefore * 1000)).rfc3339 }

    static let names = ["OpenAI", "Anthropic", "Mistral", "Groq", "日本語モデル"]

    static var events: [ClientEvent] {
        var events: [ClientEvent] = names.enumerated().map { index, name in
            .provider(
                ProviderStatus(
                    providerID: "p\(index)", providerName: name, status: ["healthy", "healthy", "degraded", "unhealthy", "healthy"][index],
                    isAvailable: index != 3, latency: 100 + index * 70, successRate: 0.99 - Double(index) * 0.05,
                    message: index == 3 ? "health check failed" : "", timestamp: at(Double(index) * 400)))
        }
        let providers = names.enumerated().prefix(4).map { index, name in
            ProviderStats(
                providerID: "p\(index)", providerName: name, requests: 400 - index * 90, tokens: 90_000, successRate: 1 - Double(index) * 0.04,
                averageLatency: 180 + index * 210, errorCount: index * 7)
        }
        let models = ["gpt-4o", "claude-sonnet-4", "mistral-large", "llama-3.1-70b"].enumerated().map { index, name in
            ModelStats(
                modelID: "m\(index)", modelName: name, providerID: "p\(index)", requests: 400 - index * 90, tokens: 120_000 / (index + 1),
                successRate: 1 - Double(index) * 0.04, averageLatency: 180 + index * 210, errorCount: index * 7)
        }
        events.append(
            .stats(
                StatsUpdate(
                    totalRequests: 1060, totalTokens: 1_234_567, successRate: 0.957, averageLatency: 312, requestsPerMinute: 212, errorCount: 42,
                    latencyP50: 180, latencyP95: 1240, latencyP99: 10_900, inputTokens: 800_000, outputTokens: 434_567, estimatedCost: 12.345,
                    providers: Array(providers), models: models, calculatedAt: at(0), window: "5m", timestamp: at(0))))
        var random = SeededGenerator(seed: 5)
        for number in 0..<120 {
            let index = random.int(0..<4)
            let isGood = random.chance(90)
            events.append(
                .request(
                    RequestEvent(
                        requestID: "req-\(number)", providerID: "p\(index)", providerName: names[index], modelName: models[index].modelName,
                        endpoint: "/v1/chat/completions", statusCode: isGood ? 200 : 502, latency: random.int(80...6000), inputTokens: 900,
                        outputTokens: random.int(10...4000), isSuccess: isGood, errorMessage: isGood ? nil : "upstream timed out",
                        userID: "u1", estimatedCost: 0.01, timestamp: at(Double(120 - number) * 4))))
        }
        for number in 0..<60 {
            let level = ["debug", "info", "info", "warn", "error"][number % 5]
            events.append(
                .log(
                    LogLine(
                        level: level, message: "line \(number) of the log: request completed", component: "router", requestID: "req-\(number)",
                        fields: [.init(name: "attempt", value: "\(number)")], timestamp: at(Double(60 - number)))))
        }
        return events
    }
}
