// Who somebody has proved to be, and with what.

import Base

/// The gateway's roles, the least of them first. Rights differ between `admin` and all others only.
public enum Role: Int, Comparable, Sendable, CaseIterable {
    /// A name that the gateway does not have today: it lets such tokens in, as nobody in particular.
    case other
    case viewer, user, admin

    /// - Parameter name: as the gateway writes it; case matters.
    public init(named name: String) {
        switch name {
        case "admin": self = .admin
        case "user": self = .user
        case "viewer": self = .viewer
        default: self = .other
        }
    }

    public static func < (a: Role, b: Role) -> Bool { a.rawValue < b.rawValue }
}

/// A user of the gateway, let in with a certain credential. Holds nothing secret.
public struct Identity: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        case token(expires: Instant)
        /// - Parameter id: of the row in `api_keys`.
        case apiKey(id: String, expires: Instant)
    }

    /// Of the row in `users`: 36 characters, lower case.
    public let userID: String
    /// What counts: the lower of what the credential allows and what the user is.
    public internal(set) var role: Role
    public internal(set) var kind: Kind
    /// The most that the credential allows, whatever the user may become.
    let ceiling: Role
    /// What the credential was checked against: the generation of the secret, or a digest of the hashes in the key's row.
    let checkedAgainst: UInt64

    /// From this instant on the credential is worth nothing.
    public var expires: Instant {
        switch kind {
        case .token(let expires), .apiKey(_, let expires): expires
        }
    }
}
