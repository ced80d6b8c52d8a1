// What a demo is told, and what it tells.

import Base

/// How busy the demo's gateway is.
public struct DemoOptions: Sendable, Equatable {
    /// What one writer thread does without falling behind.
    public static let rateMax = 10_000

    /// Requests a second, on average; 0 leaves the history as it is.
    public var rate = 20
    /// The same seed makes the same providers, requests and outages, as far as the clock allows.
    public var seed: UInt64 = 1

    public init() {}
}

/// One line of the demo gateway's log.
public struct DemoLogLine: Sendable, Equatable {
    public let timestamp: Instant
    /// `debug`, `info`, `warn` or `error`.
    public let level: String
    public let message: String
    public let component: String
    public let providerID: String?
    public let requestID: String?
    /// A JSON object, compact.
    public let fields: [UInt8]
    /// The whole line as `data` of a log event, compact JSON.
    public let data: [UInt8]
}

/// Why a demo cannot be made, as a sentence.
public struct DemoError: Error, Equatable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
