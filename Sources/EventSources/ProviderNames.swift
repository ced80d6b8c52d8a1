// Which provider a log line means: lines of the gateway carry its name, filters ask for its id.

import Base

/// The ids of the gateway's providers by name. Writer: the sampler; readers: any.
public final class ProviderNames: Sendable {
    private let ids = Locked<[String: String]?>(nil)

    public init() {}

    /// Replaces all names. Of two providers with one name the first counts.
    func set(_ providers: [(name: String, id: String)]) {
        let known = Dictionary(providers.map { ($0.name, $0.id) }, uniquingKeysWith: { first, _ in first })
        ids.withLock { $0 = known }
    }

    /// Whether the providers have been read at all.
    var isKnown: Bool { ids.withLock { $0 != nil } }

    func id(of name: String) -> String? { ids.withLock { $0?[name] } }
}
