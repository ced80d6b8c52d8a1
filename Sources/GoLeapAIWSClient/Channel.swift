// What a client can subscribe to.

/// A channel of the daemon.
public enum Channel: String, Sendable, CaseIterable {
    case logs, stats, providers, requests
    /// Every channel that the credential allows, each event once.
    case all
}
