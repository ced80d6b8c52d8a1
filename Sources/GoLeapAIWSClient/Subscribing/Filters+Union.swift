// What a connection asks for so that each of its subscribers gets what it wants: the least that the daemon's filters can say and that covers
// them all. What it lets pass beyond that is held back by each subscriber's own `EventFilter`.

import Protocol

extension Filters {
    /// Values of all lists together, in bytes. Above, a list is left out, so that `subscribe` stays far below what the daemon takes as a message.
    private static let listBytesMax = 8192

    /// - Parameter wishes: channels and filters of each subscriber.
    static func union(_ wishes: [Subscription]) -> Filters {
        func those(of channel: Channel) -> [Filters] { wishes.filter { $0.channels.named.contains(channel) }.map(\.filters) }
        var union = Filters()
        union.logs = covering(those(of: .logs).map(\.logs))
        // All of a connection have the same.
        union.stats = those(of: .stats).first?.stats ?? Stats()
        union.requests = covering(those(of: .requests).map(\.requests))
        union.providers = covering(those(of: .providers).map(\.providers))
        return union
    }

    private static func covering(_ wishes: [Logs]) -> Logs {
        guard let first = wishes.first, wishes.contains(where: { $0 != first }) else { return wishes.first ?? Logs() }
        return Logs(
            level: level(wishes.map(\.level)), components: list(wishes.map(\.components)), providerIDs: list(wishes.map(\.providerIDs)),
            text: text(wishes.map(\.text)))
    }

    private static func covering(_ wishes: [Requests]) -> Requests {
        guard let first = wishes.first, wishes.contains(where: { $0 != first }) else { return wishes.first ?? Requests() }
        return Requests(
            providerIDs: list(wishes.map(\.providerIDs)), modelIDs: list(wishes.map(\.modelIDs)), onlyErrors: wishes.allSatisfy(\.onlyErrors),
            minLatency: wishes.contains { $0.minLatency == nil } ? nil : wishes.compactMap(\.minLatency).min())
    }

    private static func covering(_ wishes: [Providers]) -> Providers { Providers(providerIDs: list(wishes.map(\.providerIDs))) }

    /// A filter that somebody does not have, the union does not have either.
    private static func list(_ wishes: [[String]]) -> [String] {
        if wishes.contains(where: \.isEmpty) { return [] }
        let values = Set(wishes.joined()).sorted()
        guard values.count <= FilterValue.valuesMax, values.reduce(0, { $0 + $1.utf8.count }) <= listBytesMax else { return [] }
        return values
    }

    private static func level(_ wishes: [String?]) -> String? {
        var bits: UInt8 = 0
        for wish in wishes {
            // A word that only a later daemon knows is covered by no filter at all.
            guard let wish, let severities = try? FilterValue.severities(wish) else { return nil }
            bits |= severities
        }
        let wanted = Severity.allCases.filter { bits & $0.bit != 0 }
        if let least = wanted.first, bits == least.andWorse { return "\(least)" }
        return wanted.map { "\($0)" }.joined(separator: ",")
    }

    /// A text that is contained in each of the others finds whatever they find.
    private static func text(_ wishes: [String?]) -> String? {
        let texts = wishes.map { (text: $0 ?? "", folded: Array(TextSearch.fold($0 ?? "").utf8)) }
        guard let shortest = texts.min(by: { $0.folded.count < $1.folded.count }), !shortest.folded.isEmpty else { return nil }
        return texts.allSatisfy { $0.folded.withUnsafeBytes { TextSearch.contains(shortest.folded, in: $0) } } ? shortest.text : nil
    }
}
