// What the dashboard keeps of events: bounded in number and in size.

import Base
import GoLeapAIWSClient

/// `Base` has events of its own log by the same name.
typealias LogLine = GoLeapAIWSClient.LogEvent

/// Bytes that are kept of foreign texts.
enum TopLimits {
    static let requestsMax = 500
    static let logsMax = 1000
    static let providersMax = 500
    static let nameBytesMax = 256
    static let messageBytesMax = 2048
    static let fieldsMax = 40
}

/// The last elements, newest last. Appending costs O(1) in the mean.
struct LastElements<Element> {
    let countMax: Int
    private var kept: [Element] = []

    init(max countMax: Int) { self.countMax = max(1, countMax) }

    var elements: ArraySlice<Element> { kept.suffix(countMax) }
    var count: Int { min(kept.count, countMax) }

    mutating func append(_ element: Element) {
        if kept.count >= countMax * 2 { kept.removeFirst(kept.count - countMax + 1) }
        kept.append(element)
    }

    mutating func removeAll() { kept = [] }
}

/// One request.
struct RequestRow: Equatable, Sendable {
    /// Of the dashboard, by one: selections and orders hold on to it.
    let serial: Int
    let instant: Instant
    let id: String
    let provider: String
    let model: String
    let endpoint: String
    let user: String
    let status: Int
    let latency: Int
    let inputTokens: Int
    let outputTokens: Int
    let cost: Double
    let isSuccess: Bool
    let error: String

    var tokens: Int { inputTokens.addingReportingOverflow(outputTokens).overflow ? .max : inputTokens + outputTokens }

    init(_ event: RequestEvent, serial: Int, now: Instant) {
        func name(_ text: String) -> String { SafeText.prefix(text, bytes: TopLimits.nameBytesMax) }
        self.serial = serial
        instant = event.instant ?? now
        id = name(event.requestID)
        provider = name(event.providerName.isEmpty ? event.providerID : event.providerName)
        model = name(event.modelName.isEmpty ? event.modelID : event.modelName)
        endpoint = name(event.method + " " + event.endpoint)
        user = name(event.userID)
        status = event.statusCode
        latency = event.latency
        inputTokens = max(0, event.inputTokens)
        outputTokens = max(0, event.outputTokens)
        cost = event.estimatedCost
        isSuccess = event.isSuccess
        error = SafeText.prefix(event.errorMessage ?? "", bytes: TopLimits.messageBytesMax)
    }

    func matches(_ filter: TopFilter) -> Bool {
        filter.passes([provider, model, error, endpoint, id, user, "\(status)"])
    }
}

/// One line of the log.
struct LogRow: Equatable, Sendable {
    let serial: Int
    let instant: Instant
    let level: LogLine.Level
    /// The word as it was sent.
    let levelText: String
    let component: String
    let message: String
    let request: String
    let provider: String
    let fields: [LogLine.Field]

    init(_ event: LogLine, serial: Int, now: Instant) {
        func name(_ text: String) -> String { SafeText.prefix(text, bytes: TopLimits.nameBytesMax) }
        self.serial = serial
        instant = event.instant ?? now
        level = event.severity
        levelText = name(event.level.isEmpty ? "info" : event.level)
        component = name(event.component)
        message = SafeText.prefix(event.message, bytes: TopLimits.messageBytesMax)
        request = name(event.requestID)
        provider = name(event.providerID)
        fields = event.fields.prefix(TopLimits.fieldsMax).map { LogLine.Field(name: name($0.name), value: name($0.value)) }
    }

    /// The message, and behind it what else the line tells.
    var line: String { fields.reduce(into: message) { $0 += "  \($1.name)=\($1.value)" } }

    func matches(_ filter: TopFilter) -> Bool {
        filter.passes([line, component, levelText, request, provider])
    }
}

/// One provider: its health, and its part in the statistics.
struct ProviderRow: Equatable, Sendable {
    enum State: Int, Sendable, Comparable {
        case unhealthy, degraded, unknown, healthy

        init(_ word: String) {
            switch word {
            case "healthy": self = .healthy
            case "degraded": self = .degraded
            case "unhealthy": self = .unhealthy
            default: self = .unknown
            }
        }

        static func < (a: State, b: State) -> Bool { a.rawValue < b.rawValue }
    }

    let id: String
    var name: String
    var state: State
    /// When it came into this state, as far as it was told.
    var since: Instant?
    var message: String
    var successRate: Double
    var latency: Int
    /// Of the window; nil where the statistics do not have it.
    var requests: Int?
    var tokens: Int?
    var errors: Int?

    func matches(_ filter: TopFilter) -> Bool { filter.passes([name, id, message, "\(state)"]) }
}

/// Text that rows must have somewhere, in any case of letters. The empty one passes all.
struct TopFilter: Equatable, Sendable {
    private let words: [String]

    /// - Parameter text: words, each of which must be there.
    init(_ text: String) { words = text.lowercased().split(separator: " ").map(String.init) }

    func passes(_ texts: [String]) -> Bool {
        words.isEmpty || words.allSatisfy { word in texts.contains { $0.lowercased().contains(word) } }
    }
}
