// An event as one line of `tail`. Pure: an event in, a text out.

import GoLeapAIWSClient

/// Writes lines. A value; any thread.
struct TailLine: Sendable {
    /// Escape sequences for a terminal that shows colours (ECMA-48 SGR).
    let isColoured: Bool

    private static let kindWidth = 8
    private static let sourceWidth = 21

    /// - Returns: nil for what is no event of a channel.
    func text(of event: ClientEvent) -> String? {
        switch event {
        case .log(let line): text(line)
        case .request(let request): text(request)
        case .provider(let status): text(status)
        case .stats(let stats): text(stats)
        case .other(let other): row(other.timestamp, other.type, .plain, other.channel, other.dataJSON)
        case .gap, .caughtUp, .error, .state: nil
        }
    }

    private enum Tone: String {
        case plain = ""
        case dim = "2"
        case good = "32"
        case warning = "33"
        case bad = "31"
        case worst = "1;31"
    }

    private func text(_ line: LogEvent) -> String {
        let tone: Tone =
            switch line.severity {
            case .debug: .dim
            case .info: .good
            case .warn: .warning
            case .error: .bad
            case .fatal, .panic: .worst
            }
        var words = line.message
        for field in line.fields { words += " \(field.name)=\(TailLine.quoted(field.value))" }
        return row(line.timestamp, (line.level.isEmpty ? "info" : line.level).uppercased(), tone, line.component, words)
    }

    private func text(_ request: RequestEvent) -> String {
        var words = "\(request.statusCode) \(request.latency) ms  \(request.modelName)  \(request.method) \(request.endpoint)"
        words += "  \(request.inputTokens)+\(request.outputTokens) tokens"
        if let why = request.errorMessage { words += "  \(why)" }
        return row(request.timestamp, request.isSuccess ? "REQUEST" : "FAILED", request.isSuccess ? .good : .bad, request.providerName, words)
    }

    private func text(_ status: ProviderStatus) -> String {
        let tone: Tone = status.status == "healthy" ? .good : status.status == "degraded" ? .warning : .bad
        var words = "\(status.status)  \(status.latency) ms  \(TailLine.percent(status.successRate)) ok"
        if !status.message.isEmpty { words += "  \(status.message)" }
        return row(status.timestamp, "PROVIDER", tone, status.providerName, words)
    }

    private func text(_ stats: StatsUpdate) -> String {
        let words =
            "\(stats.totalRequests) requests  \(stats.requestsPerMinute)/min  \(TailLine.percent(stats.successRate)) ok  \(stats.errorCount) errors  "
            + "avg \(stats.averageLatency) ms  p95 \(stats.latencyP95) ms  \(stats.totalTokens) tokens"
        return row(stats.timestamp, "STATS", .plain, stats.window, words)
    }

    private func row(_ timestamp: String, _ kind: String, _ tone: Tone, _ source: String, _ words: String) -> String {
        let kind = TailLine.padded(TailLine.harmless(kind), to: TailLine.kindWidth)
        let shownKind = isColoured && tone != .plain ? "\u{1B}[\(tone.rawValue)m\(kind)\u{1B}[0m" : kind
        let shownTime = isColoured ? "\u{1B}[2m\(TailLine.harmless(timestamp))\u{1B}[0m" : TailLine.harmless(timestamp)
        let source = TailLine.padded(TailLine.harmless(source.isEmpty ? "-" : source), to: TailLine.sourceWidth)
        return "\(shownTime)  \(shownKind) \(source) \(TailLine.harmless(words))"
    }

    private static func padded(_ text: String, to width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }

    /// A value with blanks in quotes, so that one sees where it ends.
    private static func quoted(_ value: String) -> String { value.isEmpty || value.contains(" ") ? "\"\(value)\"" : value }

    private static func percent(_ fraction: Double) -> String {
        guard fraction.isFinite, fraction.magnitude < 1e6 else { return "?" }
        let tenths = Int((fraction * 1000).rounded(.down))
        return "\(tenths / 10).\((tenths % 10).magnitude)%"
    }

    /// Foreign text without what a terminal would obey, or what would begin a line of its own: control characters, and those that turn the
    /// direction of what follows.
    static func harmless(_ text: String) -> String {
        if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return text }
        var scalars = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { scalars.append(isHarmful(scalar) ? " " : scalar) }
        return String(scalars)
    }

    private static func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x200E, 0x200F, 0x061C, 0x202A...0x202E, 0x2066...0x2069: return true
        default: break
        }
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: return true
        default: return false
        }
    }
}
