// One look at the daemon, for scripts: `top --once`.

import Base
import Glibc
import GoLeapAIWSClient
import Protocol

/// What was there, and what was not.
public struct TopSnapshot: Sendable {
    /// For standard output; empty where nothing came at all.
    public let text: String
    /// What is missing, one sentence; nil: nothing.
    public let complaint: String?

    /// Longest wait for the first figures, in milliseconds. A daemon that just started reads its database first.
    static let patienceMilliseconds: Int64 = 10_000
    /// The states of providers come in one go: so long after the last of them there are no more.
    static let settledMilliseconds: Int64 = 200

    /// Connects, waits for the first statistics and the present state of the providers, and disconnects.
    public static func take(_ options: TopOptions, window: String? = nil, asJSON: Bool) -> TopSnapshot {
        var client = options.client
        client.channels = [.stats, .providers]
        client.filters = Filters(stats: .init(window: window, interval: options.interval))
        do {
            let inbox = try TopInbox()
            let connection = try LiveClient(client, Callbacks(onEvent: { inbox.post(.event($0)) }))
            connection.start()
            defer { connection.stop() }
            return collect(inbox, address: options.client.url, asJSON: asJSON)
        } catch {
            return TopSnapshot(text: "", complaint: "\(error)")
        }
    }

    private static func collect(_ inbox: TopInbox, address: String, asJSON: Bool) -> TopSnapshot {
        func milliseconds() -> Int64 { Int64(SystemClock().monotonic() / 1_000_000) }
        var seen = Seen()
        let deadline = milliseconds() + patienceMilliseconds
        while seen.stopped == nil {
            let now = milliseconds()
            var rest = deadline - now
            if seen.isWhole { rest = min(rest, settledMilliseconds) }
            var descriptor = pollfd(fd: inbox.descriptor, events: Int16(POLLIN), revents: 0)
            guard rest > 0, poll(&descriptor, 1, Int32(rest)) != 0 else { break }
            for case .event(let event) in inbox.take() { seen.take(event) }
        }
        return TopSnapshot(text: asJSON ? seen.json(address) : seen.text(address), complaint: seen.complaint)
    }

    /// What came.
    struct Seen {
        private(set) var stats: StatsUpdate?
        /// By id.
        private(set) var providers: [String: ProviderStatus] = [:]
        private(set) var stopped: String?
        private var waiting: String?
        private var refused: String?

        init() {}

        var isWhole: Bool { stats != nil && !providers.isEmpty }

        mutating func take(_ event: ClientEvent) {
            switch event {
            case .stats(let update): stats = update
            case .provider(let status) where providers.count < TopLimits.providersMax: providers[status.providerID] = status
            case .error(let error): refused = error.description
            case .state(.waiting(_, _, let why)): waiting = why
            case .state(.connected): waiting = nil
            case .state(.stopped(let stop)): stopped = stop.why
            default: break
            }
        }

        var complaint: String? {
            if isWhole { return nil }
            if let why = stopped ?? waiting ?? refused { return SafeText.line(why) }
            let missing = [stats == nil ? "statistics" : nil, providers.isEmpty ? "state of a provider" : nil].compactMap { $0 }
            return
                "no \(missing.joined(separator: " and no ")) within \(TopSnapshot.patienceMilliseconds / 1000) s; /ready of the daemon tells how its sources are"
        }

        /// For people and for awk(1): names and numbers, then two tables whose columns are two blanks apart.
        func text(_ address: String) -> String {
            var lines: [String] = []
            if let stats {
                let figures: [(String, String)] = [
                    ("daemon", address), ("window", stats.window), ("calculated_at", stats.calculatedAt),
                    ("requests", "\(stats.totalRequests)"), ("requests_per_min", "\(stats.requestsPerMinute)"),
                    ("success_rate", TopText.fixed(stats.successRate, digits: 3)), ("errors", "\(stats.errorCount)"),
                    ("latency_ms", "avg \(stats.averageLatency)  p50 \(stats.latencyP50)  p95 \(stats.latencyP95)  p99 \(stats.latencyP99)"),
                    ("tokens", "\(stats.totalTokens)  in \(stats.inputTokens)  out \(stats.outputTokens)"),
                    ("cost", TopText.cost(stats.estimatedCost)),
                ]
                lines += figures.map { "\($0)\(String(repeating: " ", count: 18 - $0.utf8.count))\(SafeText.line($1))" }
            }
            let parts = Dictionary((stats?.providers ?? []).map { ($0.providerID, $0) }) { first, _ in first }
            let rows = providers.values.sorted { ($0.providerName, $0.providerID) < ($1.providerName, $1.providerID) }.map { status in
                let part = parts[status.providerID]
                return [
                    status.providerName, status.status, TopText.fixed(part?.successRate ?? status.successRate, digits: 3),
                    "\(part?.averageLatency ?? status.latency)", "\(part?.requests ?? 0)", status.message,
                ]
            }
            lines += Seen.table(["PROVIDER", "STATE", "SUCCESS", "LATENCY_MS", "REQUESTS", "MESSAGE"], rows)
            let models = (stats?.models ?? []).map {
                [$0.modelName, "\($0.requests)", TopText.fixed($0.successRate, digits: 3), "\($0.averageLatency)", "\($0.tokens)"]
            }
            lines += Seen.table(["MODEL", "REQUESTS", "SUCCESS", "LATENCY_MS", "TOKENS"], models)
            return lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n"
        }

        private static func table(_ headings: [String], _ rows: [[String]]) -> [String] {
            guard !rows.isEmpty else { return [] }
            let rows = [headings] + rows.map { $0.map { SafeText.line(SafeText.prefix($0, bytes: TopLimits.messageBytesMax)) } }
            let widths = headings.indices.map { column in rows.map { SafeText.width($0[column]) }.max() ?? 0 }
            return [""]
                + rows.map { row in
                    var line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - SafeText.width($0)) }.joined(separator: "  ")
                    while line.last == " " { line.removeLast() }
                    return line
                }
        }

        /// One object: `url`, `stats` and `providers`, with the data as the daemon sent it; null where it did not.
        func json(_ address: String) -> String {
            guard stats != nil || !providers.isEmpty else { return "" }
            var writer = JSONWriter()
            writer.beginObject()
            writer.key("url")
            writer.string(address)
            writer.key("stats")
            writer.raw(Seen.payload(of: stats?.rawJSON))
            writer.key("providers")
            writer.beginArray()
            for status in providers.values.sorted(by: { ($0.providerName, $0.providerID) < ($1.providerName, $1.providerID) }) {
                writer.raw(Seen.payload(of: status.rawJSON))
            }
            writer.endArray()
            writer.endObject()
            return Seen.escaped(writer.text) + "\n"
        }

        /// The value of `data`, as it stands in the message.
        private static func payload(of message: String?) -> String {
            var found = "null"
            guard var message else { return found }
            message.withUTF8 { bytes in
                let text = UnsafeRawBufferPointer(bytes)
                JSONScanner.members(of: text) { key, value in
                    if text[key].elementsEqual("data".utf8) { found = String(decoding: text[value], as: UTF8.self) }
                }
            }
            return found
        }

        /// JSON allows characters in strings that a terminal would obey: as escapes they are the same to a program.
        static func escaped(_ json: String) -> String {
            var result = String.UnicodeScalarView()
            for scalar in json.unicodeScalars {
                guard scalar.value >= 0x7F, CharacterWidth(of: scalar) == .forbidden else {
                    result.append(scalar)
                    continue
                }
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    result.append(contentsOf: "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".unicodeScalars)
                }
            }
            return String(result)
        }
    }
}
