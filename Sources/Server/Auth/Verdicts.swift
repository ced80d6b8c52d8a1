// Deciding by what the database says. Pure: rows and instants in, verdicts out.

import Base

/// How an open connection stands, now that its credential has been looked at again.
public enum Recheck: Sendable, Equatable {
    case unchanged
    /// Goes on with another role, or a key with another end.
    case changed(Identity)
    /// To be closed.
    case ended(AuthenticationFailure)
    /// The database cannot be asked. A sentence that says what is the matter.
    case unknown(String)
}

/// A token whose signature was right, and with which generation of the secret.
struct SignedToken: Sendable {
    let token: JSONWebToken
    let secretGeneration: UInt64
}

enum Verdicts {
    /// - Parameter token: nil for an API key.
    /// - Parameter row: not refused already.
    static func identity(_ token: SignedToken?, _ row: CredentialRow, at now: Instant) -> Result<Identity, AuthenticationFailure> {
        switch (row, token) {
        case (.user(let user?), let signed?):
            let token = signed.token
            guard now < token.expires else { return .failure(.expired) }
            return .success(
                Identity(
                    userID: token.userID, role: min(token.role, user.role), kind: .token(expires: token.expires), ceiling: token.role,
                    checkedAgainst: signed.secretGeneration))
        case (.key(let key?), nil):
            guard let expires = key.expires, let owner = key.owner else { return .failure(.invalid(.malformed)) }
            guard now < expires else { return .failure(.expired) }
            return .success(
                Identity(
                    userID: key.userID, role: min(keyCeiling, owner.role), kind: .apiKey(id: key.id, expires: expires), ceiling: keyCeiling,
                    checkedAgainst: key.fingerprint))
        case (.user(nil), _): return .failure(.invalid(.unknownUser))
        default: return .failure(.invalid(.unknownKey))
        }
    }

    /// An API key is never an admin, whatever its owner is and whatever its permissions say: so does the gateway see it.
    static let keyCeiling = Role.user

    /// What the row says against whoever comes with it, but for the key's bcrypt hash.
    static func refusal(_ row: CredentialRow, at now: Instant) -> AuthenticationFailure? {
        switch row {
        case .user(nil): return .invalid(.unknownUser)
        case .user(let user?): return user.isActive ? nil : .invalid(.disabledUser)
        case .key(nil): return .invalid(.unknownKey)
        case .key(let key?):
            if let reason = key.refusal { return .invalid(reason) }
            return key.expires.map { now < $0 } == true ? nil : .expired
        }
    }

    /// What is to be read for an open connection.
    static func subject(of identity: Identity) -> Subject {
        switch identity.kind {
        case .token: .user(identity.userID)
        case .apiKey(let id, _): .keyID(id)
        }
    }

    /// - Parameter row: as read just now.
    static func recheck(_ identity: Identity, _ row: CredentialRow, secretGeneration: UInt64, at now: Instant) -> Recheck {
        var next = identity
        switch (identity.kind, row) {
        case (.token(let expires), .user(let user)):
            guard identity.checkedAgainst == secretGeneration else { return .ended(.invalid(.signature)) }
            guard now < expires else { return .ended(.expired) }
            if let failure = refusal(row, at: now) { return .ended(failure) }
            if let user { next.role = min(identity.ceiling, user.role) }
        case (.apiKey(let id, _), .key(let key)):
            if let failure = refusal(row, at: now) { return .ended(failure) }
            guard let key, let owner = key.owner, let expires = key.expires else { return .ended(.invalid(.unknownKey)) }
            guard key.fingerprint == identity.checkedAgainst, key.userID == identity.userID else { return .ended(.invalid(.changedKey)) }
            next.role = min(identity.ceiling, owner.role)
            next.kind = .apiKey(id: id, expires: expires)
        default: return .unknown("the database was not asked")
        }
        return next == identity ? .unchanged : .changed(next)
    }
}
