import GoLeapAIWSClient
import Terminal
import Testing

@testable import Daemon

private func options(_ words: [String]) throws -> TailOptions {
    let arguments = try Arguments(parsing: words, for: try #require(Command.named("tail")))
    return try tailOptions(arguments, channels: try tailChannels(arguments.operands), url: "ws://127.0.0.1:1")
}

struct TailCommandTests {
    @Test func defaults() throws {
        let tail = try options(["--color", "never"])
        #expect(tail.client.channels == [.logs] && tail.client.filters == Filters() && tail.client.since == nil && tail.client.history == nil)
        #expect(tail.follows && !tail.isJSON && !tail.isColoured && tail.client.trust == .system)
    }

    @Test func everything() throws {
        let tail = try options([
            "logs", "stats", "requests", "--level=warn,error", "--component", "a,b", "--grep", "x", "--provider", "p", "--model", "m", "--only-errors", "--min-latency=5",
            "--window=1h", "--interval", "10", "--since", "5m", "--history", "9", "--no-follow", "--json", "--color=always", "--ca", "f.pem",
        ])
        #expect(tail.client.channels == [.logs, .stats, .requests] && tail.client.since == "5m" && tail.client.history == 9)
        #expect(
            tail.client.filters
                == Filters(
                    logs: .init(level: "warn,error", components: ["a", "b"], providerIDs: ["p"], text: "x"), stats: .init(window: "1h", interval: 10),
                    requests: .init(providerIDs: ["p"], modelIDs: ["m"], onlyErrors: true, minLatency: 5), providers: .init(providerIDs: ["p"])))
        #expect(!tail.follows && tail.isJSON && tail.isColoured && tail.client.trust == .file("f.pem"))
        #expect(try options(["--no-follow"]).client.history == 999_999_999)
        #expect(try options(["--q", "x"]).client.filters.logs.text == "x")
    }

    @Test(arguments: [
        (["log"], "no channel log; did you mean logs?"), (["zzzzzzzz"], "no channel zzzzzzzz; known are logs, stats, providers, requests, all"),
        (["--level", "loud"], "--level loud: known are debug, info, warn, error, fatal, panic"),
        (["stats", "--level", "info"], "--level is for the channel logs"), (["--model", "m"], "--model is for the channel requests"),
        (["stats", "--provider", "p"], "--provider is for the channel logs, providers, requests"),
        (["stats", "--window", "2h"], "--window 2h: known are 1m, 5m, 1h, 24h"), (["stats", "--interval", "0"], "--interval 0: wanted is a whole number, 1 to 3600"),
        (["--color", "red"], "--color red: wanted is auto, always or never"), (["--ca", "x", "--insecure"], "--ca and --insecure: whom to trust is one thing only"),
        (["--since", ""], "--since : wanted is a time such as 5m, an instant such as 2026-02-05T10:30:00Z, or an event's id"),
    ])
    func refused(words: [String], message: String) {
        #expect(throws: UsageError(message: message)) { try options(words) }
    }
}
