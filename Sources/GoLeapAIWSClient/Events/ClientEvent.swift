// Everything that a client can tell, in the order in which it came.

/// One thing that happened.
public enum ClientEvent: Sendable, Equatable {
    case stats(StatsUpdate)
    case provider(ProviderStatus)
    case request(RequestEvent)
    case log(LogEvent)
    case gap(Gap)
    case caughtUp(CaughtUp)
    case error(ServerError)
    case other(OtherEvent)
    case state(ConnectionState)

    /// What the event tells, as a message of the daemon; nil for a `state`.
    public var event: (any StreamEvent)? {
        switch self {
        case .stats(let event): event
        case .provider(let event): event
        case .request(let event): event
        case .log(let event): event
        case .gap(let event): event
        case .caughtUp(let event): event
        case .error(let event): event
        case .other(let event): event
        case .state: nil
        }
    }
}
