// What a stranger shows to prove who they are, as it came in.

/// A token or an API key, unchecked. It shows itself nowhere: descriptions, reflection and `dump` tell only its kind.
public enum Credential: Sendable {
    case token(String)
    case apiKey(String)

    /// What API keys of the gateway begin with.
    static let apiKeyPrefix = "gla_"

    /// Reads the value of an `Authorization` field: `Bearer <token>` or `ApiKey <key>`, spelled as the gateway spells them.
    ///
    /// What follows the one blank is taken as it is: a `Bearer` that is an API key stays a token, and is refused as one.
    /// - Returns: nil for any other scheme.
    public init?(authorization value: String) {
        if value.hasPrefix("Bearer ") {
            self = .token(String(value.dropFirst(7)))
        } else if value.hasPrefix("ApiKey ") {
            self = .apiKey(String(value.dropFirst(7)))
        } else {
            return nil
        }
    }

    /// Takes what came in any other way (a subprotocol, a first message, a query): API keys are told by their beginning.
    public init(text: String) { self = text.hasPrefix(Credential.apiKeyPrefix) ? .apiKey(text) : .token(text) }
}

extension Credential: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String {
        switch self {
        case .token: "(token)"
        case .apiKey: "(API key)"
        }
    }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
