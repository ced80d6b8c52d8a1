// Why somebody was turned away, and how often.

import Base

/// A limit at which connections, requests or clients are turned away; the text is its name in counters.
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
}

/// Who was turned away since the start.
public typealias RefusalCounters = CaseCounters<Refusal>
