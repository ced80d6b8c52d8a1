// What the authenticator is told, and what it counts.

import Crypto

/// What the gateway's credentials are checked with. A reload may change all of it.
public struct AuthenticatorOptions: Sendable {
    /// With an empty one every token is refused; API keys do not need it.
    public var secret: Secret
    /// What tokens must name, byte for byte.
    public var issuer: String
    /// The file, as `DatabasePath.path(of:)` gives it.
    public var databasePath: String
    public var limits: AuthenticatorLimits

    public init(secret: Secret, issuer: String, databasePath: String, limits: AuthenticatorLimits = AuthenticatorLimits()) {
        self.secret = secret
        self.issuer = issuer
        self.databasePath = databasePath
        self.limits = limits
    }
}

/// Everything that strangers could make grow, and how long what was read counts.
public struct AuthenticatorLimits: Sendable, Equatable {
    /// Users and keys that were accepted, as last read. One more drives out the one read longest ago.
    public var accepted = 4096
    /// The same of those refused, apart, so that they cannot drive out the others.
    public var refused = 4096
    /// Callers that wait for the database or for bcrypt. One more: busy.
    public var waiting = 8192
    /// Keys that wait for bcrypt, each once however many wait for it. One more: busy.
    public var hashQueue = 2048
    /// Threads for bcrypt, each of which fills a core while keys wait; a reload does not change their number.
    public var hashThreads = 1
    /// Highest cost of a bcrypt hash; each step doubles the work, 14 is a second of a core.
    public var hashCost = 14
    /// For this long an accepted one is not read again.
    public var acceptedMilliseconds = 5000
    /// For this long a refused one is not read again.
    public var refusedMilliseconds = 3000
    /// For this long after it was read a verdict counts while the database cannot be read.
    public var awayMilliseconds = 60_000
    /// For this long anybody waits for the database.
    public var readMilliseconds = 2000

    public init() {}
}

/// What has been counted since the start, and how full things are now.
public struct AuthenticatorCounters: Sendable, Equatable {
    /// Decided at once by what was read before, or by asking the database.
    public internal(set) var hits: UInt64 = 0
    public internal(set) var misses: UInt64 = 0
    public internal(set) var accepted: UInt64 = 0
    public internal(set) var expired: UInt64 = 0
    public internal(set) var unavailable: UInt64 = 0
    public internal(set) var busy: UInt64 = 0
    /// By `RefusalReason`'s raw value; all of them are there.
    public internal(set) var refused: [String: UInt64]
    public internal(set) var bcryptRuns: UInt64 = 0
    /// Answers given from memory because the database could not be read.
    public internal(set) var fromMemory: UInt64 = 0

    // As it is now.
    public internal(set) var waiting = 0
    public internal(set) var hashQueue = 0
    public internal(set) var rememberedAccepted = 0
    public internal(set) var rememberedRefused = 0

    init() { refused = Dictionary(uniqueKeysWithValues: RefusalReason.allCases.map { ($0.rawValue, 0) }) }

    mutating func count(_ result: Result<Identity, AuthenticationFailure>) {
        switch result {
        case .success: accepted += 1
        case .failure(.invalid(let reason)): refused[reason.rawValue, default: 0] += 1
        case .failure(.expired): expired += 1
        case .failure(.unavailable): unavailable += 1
        case .failure(.busy): busy += 1
        }
    }
}
