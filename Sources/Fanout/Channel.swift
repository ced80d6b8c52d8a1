// What a client can subscribe to.

/// A channel that events are published on; `all` reaches whoever is subscribed to anything.
public enum Channel: UInt8, CaseIterable, Sendable {
    case logs, stats, providers, requests, all

    /// The name in addresses, messages and metrics.
    public var name: String { ["logs", "stats", "providers", "requests", "all"][Int(rawValue)] }

    public init?(name: some StringProtocol) {
        guard let found = Channel.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }
}

/// A set of the four real channels; `all` as a subscription is its own bit, because it is named `all` in answers and counts.
public struct ChannelSet: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public init(_ channel: Channel) { rawValue = 1 << channel.rawValue }

    public static let everyChannel = ChannelSet(rawValue: 0b1111)

    /// Which real channels these subscriptions take events from.
    public var effective: ChannelSet { contains(ChannelSet(.all)) ? .everyChannel : self }

    /// The channels in the set, in their fixed order.
    public var channels: [Channel] { Channel.allCases.filter { contains(ChannelSet($0)) } }
}
