// Why somebody, or something that was asked for, was turned away, and how often.

import Base

/// A limit or a rule by which connections, requests, messages or clients are turned away; the text is its name in counters.
public enum Refusal: String, CaseIterable, Sendable {
    /// 503.
    case maxClients = "max_clients"
    case httpConnections = "http_connections"
    case connections
    /// Clients that have still to say who they are.
    case awaitingAuthentication = "awaiting_authentication"
    /// No descriptor was left for it.
    case descriptors
    /// 429.
    case connectionsPerAddress = "connections_per_address"
    case handshakesPerSecond = "handshakes_per_second"
    case connectionsPerUser = "connections_per_user"
    /// 400: a PROXY header that is malformed, or from an address that is no trusted proxy.
    case proxyHeader = "proxy_header"
    /// Close code 4013.
    case messagesPerSecond = "messages_per_second"
    case bytesPerSecond = "bytes_per_second"
    /// Close code 1009.
    case messageBytes = "message_bytes"
    /// Nobody is turned away: the client shares a compressor.
    case compressionContexts = "compression_contexts"
    /// An `error` of `rate_limited`: the client has a replay already, or too many changes of its subscription wait.
    case replayRunning = "replay_running"
    case subscriptionChanges = "subscription_changes"
    /// 408.
    case headTime = "head_time"
    case bodyTime = "body_time"
    /// 431 and 414; 413.
    case headBytes = "head_bytes"
    case bodyBytes = "body_bytes"
    /// Of publishing: 429; 413.
    case eventsPerSecond = "events_per_second"
    case broadcastBurst = "broadcast_burst"
    case eventBytes = "event_bytes"
    /// 429: tickets outstanding.
    case tickets
    /// 503: too many credentials wait to be looked at.
    case credentialQueue = "credential_queue"
    /// Close code 4500: who asked for `?auth=message` did not say who it is in time.
    case authenticationTime = "authentication_time"
    /// 503: the gateway's database cannot be asked about a credential.
    case databaseAway = "database_away"
    /// 403: what a browser was tricked into sending.
    case host, origin
    /// 401: none, or one that does not count.
    case noCredential = "no_credential"
    case credential
    case ticket
    /// 403: /admin or /metrics without an admin; a channel that is not allowed.
    case admin
    case channel
}

/// Who was turned away since the start.
public typealias RefusalCounters = CaseCounters<Refusal>
