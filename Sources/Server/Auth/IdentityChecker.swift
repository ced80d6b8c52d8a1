// What the router asks of whoever knows the gateway's credentials.

import Base
import Fanout

/// Knows whose a credential is. Any thread; no call blocks.
public protocol IdentityChecker: Sendable {
    /// Looks at a credential: at once, or with nil and by one call of `later` from a thread of its own.
    func authenticate(
        _ credential: Credential, later: @escaping @Sendable (Result<Identity, AuthenticationFailure>) -> Void
    ) -> Result<Identity, AuthenticationFailure>?
    /// Looks again at identities that were accepted before.
    /// - Parameter later: called once, from a thread of its own, with one entry per identity, in order.
    /// - Returns: false where that cannot be begun now; then `later` is never called.
    func recheck(_ identities: [Identity], later: @escaping @Sendable ([Recheck]) -> Void) -> Bool
    /// What it has counted.
    var counters: AuthenticatorCounters { get }
}

extension IdentityChecker {
    public var counters: AuthenticatorCounters { AuthenticatorCounters() }
}

extension Authenticator: IdentityChecker {}

/// Whom to ask, and what those may see who are no admins.
public struct AuthenticationRules: Sendable {
    /// Nil: whoever reaches the port is served.
    public var checker: (any IdentityChecker)?
    /// Channels that every user may see whole.
    public var openChannels: ChannelSet = []
    public var takesQueryToken = false
    public var connectionsPerUser = 50

    public init() {}

    /// What an identity may see and do.
    func principal(of identity: Identity) -> Principal {
        // An API key never is an admin; its role says so, and it would not matter if it did not.
        let isAdmin = if case .token = identity.kind { identity.role == .admin } else { false }
        let channels: ChannelSet = [ChannelSet(.stats), ChannelSet(.providers), ChannelSet(.requests)]
        let rights =
            isAdmin
            ? Rights.everything
            : Rights(
                channels: channels.union(openChannels.contains(ChannelSet(.logs)) ? ChannelSet(.logs) : []),
                owner: openChannels.contains(ChannelSet(.requests)) ? nil : Array(identity.userID.utf8))
        return Principal(
            user: identity.userID, role: isAdmin ? "admin" : "\(min(identity.role, .user))", rights: rights, isAdmin: isAdmin,
            expires: identity.expires, identity: identity)
    }
}
