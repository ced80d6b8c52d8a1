// Whom a credential names.

import Base

/// A credential as it came. Never printed: it has no description that shows it.
public enum Credential: Sendable {
    case token(String)
    case apiKey(String)
}

/// A role of the gateway.
public enum Role: String, Sendable, CaseIterable {
    case admin, user, viewer
    public var name: String { rawValue }
}

/// Whose a credential is, and how long it counts.
public struct Identity: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        case token(expires: Instant)
        case apiKey(id: String, expires: Instant?)
    }
    public let userID: String
    public let role: Role
    public let kind: Kind

    public init(userID: String, role: Role, kind: Kind) {
        self.userID = userID
        self.role = role
        self.kind = kind
    }
}

/// Why a credential is not accepted.
public enum AuthenticationFailure: Error, Sendable, Equatable {
    /// In words for the operator's log; never with the credential.
    case invalid(String)
    case expired
    /// The database cannot be asked, and no verdict of before counts.
    case unavailable
    /// Too many are waiting.
    case busy
}
