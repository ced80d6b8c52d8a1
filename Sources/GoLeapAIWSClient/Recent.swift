// What has come lately, for those who look only now and then.

/// The newest states, requests and lines. A value; bounded.
struct Recent: Sendable {
    static let requestsMax = 500
    static let logsMax = 1000
    /// A gateway has tens of them.
    static let providersMax = 10_000

    private(set) var stats: StatsUpdate?
    private(set) var state: ConnectionState?
    private var byProvider: [String: ProviderStatus] = [:]
    private var requests = Newest<RequestEvent>(most: requestsMax)
    private var logs = Newest<LogEvent>(most: logsMax)

    mutating func take(_ event: ClientEvent) {
        switch event {
        case .stats(let update): stats = update
        case .provider(let status):
            if byProvider[status.providerID] != nil || byProvider.count < Recent.providersMax { byProvider[status.providerID] = status }
        case .request(let request): requests.append(request)
        case .log(let line): logs.append(line)
        case .state(let state): self.state = state
        case .gap, .caughtUp, .error, .other: break
        }
    }

    /// By name, ties by id.
    var providers: [ProviderStatus] {
        byProvider.values.sorted { $0.providerName != $1.providerName ? $0.providerName < $1.providerName : $0.providerID < $1.providerID }
    }

    /// The newest ones, oldest first.
    func requests(limit: Int) -> [RequestEvent] { Array(requests.all.suffix(max(0, limit))) }

    /// The newest ones of this level and worse, oldest first.
    func logs(limit: Int, level: LogEvent.Level) -> [LogEvent] { Array(logs.all.filter { $0.severity >= level }.suffix(max(0, limit))) }
}

/// The last so many elements.
struct Newest<Element: Sendable>: Sendable {
    private let most: Int
    private var elements: [Element] = []
    /// Where the oldest one is, once there are `most`.
    private var start = 0

    init(most: Int) { self.most = most }

    mutating func append(_ element: Element) {
        if elements.count < most {
            elements.append(element)
        } else {
            elements[start] = element
            start = (start + 1) % most
        }
    }

    /// Oldest first.
    var all: [Element] { Array(elements[start...] + elements[..<start]) }
}
