// Who is at the other end of a connection, and what may be seen there.

import Base

/// What a client may see. Equal rights with equal wishes share a group, and with it every decision of the fan-out.
public struct Rights: Hashable, Sendable {
    /// Channels that may be subscribed to; never `all`, which stands for all of these.
    public let channels: ChannelSet
    /// Of `requests`, only events whose `user_id` this is; nil: all of them.
    public let owner: [UInt8]?

    public init(channels: ChannelSet, owner: [UInt8]?) {
        self.channels = channels.effective
        self.owner = owner
    }

    public static let everything = Rights(channels: .everyChannel, owner: nil)
    public static let nothing = Rights(channels: [], owner: nil)

    /// Whether a channel may be subscribed to by its name; `all` always, as far as there is anything.
    public func allows(_ channel: Channel) -> Bool { channel == .all ? !channels.isEmpty : channels.contains(ChannelSet(channel)) }
}

/// Somebody whose credential was accepted, or nobody in particular. Never changes; connections of one credential may share it. Any thread.
public final class Principal: Sendable {
    /// The user's id; empty for nobody in particular.
    public let user: String
    /// As `welcome` names it.
    public let role: String
    public let rights: Rights
    /// May use `/admin`.
    public let isAdmin: Bool
    /// After this instant it is nobody any more; nil: no end.
    public let expires: Instant?
    /// What the one who made it knows it by, for looking at it again; nil where there is nothing to look at.
    public let identity: (any Sendable)?

    public init(user: String, role: String, rights: Rights, isAdmin: Bool, expires: Instant? = nil, identity: (any Sendable)? = nil) {
        self.user = user
        self.role = role
        self.rights = rights
        self.isAdmin = isAdmin
        self.expires = expires
        self.identity = identity
    }

    /// Whoever reaches the port, where nobody is asked who they are.
    public static let anonymous = Principal(user: "", role: "admin", rights: .everything, isAdmin: true)
    /// A connection that has still to say who it is.
    public static let unknown = Principal(user: "", role: "", rights: .nothing, isAdmin: false)
}

/// Each is equal to itself only. A table of principals keeps them alive, so that none that is made meanwhile is taken for one of them.
extension Principal: Hashable {
    public static func == (a: Principal, b: Principal) -> Bool { a === b }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// What became of a credential that a client has sent.
public enum AuthenticationOutcome: Sendable {
    case accepted(Principal)
    /// In words that tell a stranger little.
    case refused(String)
    /// It cannot be looked at just now, which says nothing of it. In such words, too.
    case unavailable(String)
}

/// What has become of a principal since it was accepted.
public enum PrincipalNews: Sendable {
    /// Its credential counts no more.
    case revoked
    /// It counts for something else: other rights, another end.
    case changed(Principal)
}
