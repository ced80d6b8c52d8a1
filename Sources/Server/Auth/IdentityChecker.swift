// What the router asks of whoever knows the gateway's credentials.

import Base
import Fanout

/// Knows whose a credential is. Any thread; no call blocks.
public protocol IdentityChecker: Sendable {
    /// Looks at a credential: at once, or with nil and by one call of `later` from a thread of its own.
    func authenticate(
        _ credential: Credential, later: @escaping @Sendable (Result<Identity, AuthenticationFailure>) -> Void
    ) -> Result<Identity, AuthenticationFailure>?
    /// Looks again at identities that were accepted before: `later` is called once, from any thread, with those of which there is news.
    func recheck(_ identities: [Identity], later: @escaping @Sendable ([(identity: Identity, news: IdentityNews)]) -> Void)
}

/// What has become of an identity.
public enum IdentityNews: Sendable, Equatable {
    case revoked
    case role(Role)
}

extension Identity {
    var isToken: Bool { if case .token = kind { true } else { false } }

    /// When it ends by itself.
    var expires: Instant? {
        switch kind {
        case .token(let expires): expires
        case .apiKey(_, let expires): expires
        }
    }

    /// By which the identity behind a principal is known again.
    var reference: String {
        switch kind {
        case .token: "token"
        case .apiKey(let id, _): "key:\(id)"
        }
    }

    /// The identity that a principal was made of; nil for one that was not.
    init?(_ principal: Principal) {
        guard !principal.user.isEmpty, let role = Role(rawValue: principal.role) else { return nil }
        let kind: Kind
        if principal.reference == "token" {
            guard let expires = principal.expires else { return nil }
            kind = .token(expires: expires)
        } else if principal.reference.hasPrefix("key:") {
            kind = .apiKey(id: String(principal.reference.dropFirst(4)), expires: principal.expires)
        } else {
            return nil
        }
        self.init(userID: principal.user, role: role, kind: kind)
    }
}

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
        let isAdmin = identity.role == .admin && identity.isToken
        let channels: ChannelSet = [ChannelSet(.stats), ChannelSet(.providers), ChannelSet(.requests)]
        let rights =
            isAdmin
            ? Rights.everything
            : Rights(
                channels: channels.union(openChannels.contains(ChannelSet(.logs)) ? ChannelSet(.logs) : []),
                owner: openChannels.contains(ChannelSet(.requests)) ? nil : Array(identity.userID.utf8))
        return Principal(
            user: identity.userID, role: isAdmin ? Role.admin.name : identity.role == .admin ? Role.user.name : identity.role.name, rights: rights,
            isAdmin: isAdmin, expires: identity.expires, reference: identity.reference)
    }
}
