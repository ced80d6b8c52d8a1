// What an application is told, piece by piece.

/// Closures for what happens; those left out cost nothing. All are called on the client's own thread, one after the other, in the order of the
/// stream. One that blocks holds up the stream: the daemon keeps events for a while, and then tells of the rest by a `Gap`.
public struct Callbacks: Sendable {
    public var onStatsUpdate: (@Sendable (StatsUpdate) -> Void)?
    public var onProviderUpdate: (@Sendable (ProviderStatus) -> Void)?
    public var onRequest: (@Sendable (RequestEvent) -> Void)?
    public var onLog: (@Sendable (LogEvent) -> Void)?
    /// The daemon did not do what it was asked for.
    public var onError: (@Sendable (ServerError) -> Void)?
    public var onGap: (@Sendable (Gap) -> Void)?
    public var onStateChange: (@Sendable (ConnectionState) -> Void)?
    /// Everything, the above included.
    public var onEvent: (@Sendable (ClientEvent) -> Void)?

    public init(
        onStatsUpdate: (@Sendable (StatsUpdate) -> Void)? = nil, onProviderUpdate: (@Sendable (ProviderStatus) -> Void)? = nil,
        onRequest: (@Sendable (RequestEvent) -> Void)? = nil, onLog: (@Sendable (LogEvent) -> Void)? = nil,
        onError: (@Sendable (ServerError) -> Void)? = nil, onGap: (@Sendable (Gap) -> Void)? = nil,
        onStateChange: (@Sendable (ConnectionState) -> Void)? = nil, onEvent: (@Sendable (ClientEvent) -> Void)? = nil
    ) {
        self.onStatsUpdate = onStatsUpdate
        self.onProviderUpdate = onProviderUpdate
        self.onRequest = onRequest
        self.onLog = onLog
        self.onError = onError
        self.onGap = onGap
        self.onStateChange = onStateChange
        self.onEvent = onEvent
    }

    func call(_ event: ClientEvent) {
        switch event {
        case .stats(let event): onStatsUpdate?(event)
        case .provider(let event): onProviderUpdate?(event)
        case .request(let event): onRequest?(event)
        case .log(let event): onLog?(event)
        case .error(let event): onError?(event)
        case .gap(let event): onGap?(event)
        case .state(let state): onStateChange?(state)
        case .caughtUp, .other: break
        }
        onEvent?(event)
    }
}
