// Why somebody is not let in: for the operator's log and the counters. A stranger is told less.

import Host

/// What became of a credential that was not accepted. Never holds the credential, nor a part of it.
public enum AuthenticationFailure: Error, Equatable, Sendable {
    /// It is refused, and would be again.
    case invalid(RefusalReason)
    /// It was good once.
    case expired
    /// The database cannot be asked, and nothing recent enough is remembered. A sentence that says what is the matter.
    case unavailable(String)
    /// Too many wait already.
    case busy
}

extension AuthenticationFailure {
    /// What is counted of it among all that is turned away.
    var refusal: Refusal {
        switch self {
        case .invalid, .expired: .credential
        case .unavailable: .databaseAway
        case .busy: .credentialQueue
        }
    }
}

/// Every reason to refuse a credential; the raw value is the label of its counter.
public enum RefusalReason: String, Error, Sendable, CaseIterable {
    case malformed
    case tooLong = "too_long"
    case noSecret = "no_secret"
    case algorithm
    case tokenType = "token_type"
    case signature
    case issuer
    case noExpiry = "no_expiry"
    case claims
    case notYetValid = "not_yet_valid"
    case notAnAccessToken = "not_an_access_token"
    case keyAsToken = "key_as_token"
    case unknownKey = "unknown_key"
    case inactiveKey = "inactive_key"
    case revokedKey = "revoked_key"
    case changedKey = "changed_key"
    case keyHash = "key_hash"
    case unusableHash = "unusable_hash"
    case unusableExpiry = "unusable_expiry"
    case unknownUser = "unknown_user"
    case disabledUser = "disabled_user"
}

extension RefusalReason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .malformed: "it is not what a token or an API key looks like"
        case .tooLong: "it is longer than any token or API key of the gateway"
        case .noSecret: "tokens cannot be checked without auth.jwt_secret"
        case .algorithm: "the token is not signed by HS256"
        case .tokenType: "the token's header says it is something else, or asks for extensions"
        case .signature: "the token is not signed with auth.jwt_secret"
        case .issuer: "the token's issuer is not auth.jwt_issuer"
        case .noExpiry: "the token has no end"
        case .claims: "the token's claims are not well-formed"
        case .notYetValid: "the token is not valid yet"
        case .notAnAccessToken: "the token does not name a user, an e-mail address and a role, as access tokens do"
        case .keyAsToken: "an API key came as a bearer token; the gateway takes it as 'Authorization: ApiKey'"
        case .unknownKey: "the gateway does not know the API key"
        case .inactiveKey: "the API key is not active"
        case .revokedKey: "the API key was revoked"
        case .changedKey: "the API key's hash was changed since it was checked"
        case .keyHash: "the API key does not fit its bcrypt hash"
        case .unusableHash: "the API key's bcrypt hash is malformed or costs too much"
        case .unusableExpiry: "the end of the API key cannot be read"
        case .unknownUser: "the gateway does not know the user"
        case .disabledUser: "the user is disabled"
        }
    }
}

extension AuthenticationFailure: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalid(let reason): reason.description
        case .expired: "it has expired"
        case .unavailable(let why): why
        case .busy: "too many credentials wait to be checked"
        }
    }
}
