// What everybody knows about a gateway that was installed without a thought.

import Crypto

public enum GatewayDefaults {
    /// Secrets that stand in the gateway's published code: whoever knows one can make tokens for a gateway that uses it.
    ///
    /// The one here is compiled into the gateway: a token in the fixtures that was signed with that constant fits it.
    public static let publishedSecrets = ["your-secret-key-change-in-production"]

    /// Whether a configured secret is one of these: a reason to warn, at every start.
    public static func isPublished(_ secret: Secret) -> Bool { publishedSecrets.contains { Secret($0).isEqual(to: secret) } }
    public static func isPublished(_ secret: String) -> Bool { isPublished(Secret(secret)) }
}
