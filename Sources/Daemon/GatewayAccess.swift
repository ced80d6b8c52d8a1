// Who may connect, as the configuration says: the gateway's credentials, or nobody is asked.

import Base
import Crypto
import Fanout
import Host
import Server
import Storage

/// The authenticator of `auth.mode: gateway`, while that is the mode. Its methods are the service's; the rules go to the router.
final class GatewayAccess: Sendable {
    private let authenticator = Locked<Authenticator?>(nil)

    /// Makes what the settings ask for, changes what is there, or lets it be.
    /// - Parameter databasePath: of the gateway's database.
    /// - Returns: the rules for the router.
    /// - Throws: `SystemError` where a thread cannot be made.
    func apply(_ settings: Settings, databasePath: String) throws -> AuthenticationRules {
        var rules = AuthenticationRules()
        rules.takesQueryToken = settings.auth.queryToken
        rules.connectionsPerUser = settings.limits.connectionsPerUser
        rules.openChannels = settings.auth.openChannels.reduce(into: []) {
            if let channel = Channel(name: $1) { $0.formUnion(ChannelSet(channel).effective) }
        }
        guard settings.auth.mode == .gateway else {
            authenticator.withLock { $0.take() }?.stop()
            return rules
        }
        if GatewayDefaults.isPublished(settings.auth.jwtSecret) {
            Log.warn(
                "auth.jwt_secret is the one that the gateway's published code uses: whoever has read it can make tokens. Set another one in the gateway, and here",
                .configurationWarning, [.setting("auth.jwt_secret")])
        }
        var options = AuthenticatorOptions(
            secret: Secret(settings.auth.jwtSecret), issuer: settings.auth.jwtIssuer, databasePath: databasePath)
        // The other half stays free for the shards, however many keys come at once.
        options.limits.hashThreads = max(1, Socket.affinityCount / 2)
        if let present = authenticator.withLock({ $0 }) {
            present.apply(options)
            rules.checker = present
        } else {
            let made = Authenticator(options)
            if let error = made.start() { throw error }
            authenticator.withLock { $0 = made }
            rules.checker = made
        }
        return rules
    }

    /// Ends its threads; waits for them only as long as a thread that does not hang may take.
    func stop() { authenticator.withLock { $0.take() }?.stop() }
}
