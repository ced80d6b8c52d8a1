// Events and filters as plain values, with the rules for who gets what written down a second time, as simply as can be.

import Base
import Fanout
import Protocol

/// An event as a test made it.
public struct ModelEvent: Sendable {
    public var channel: Channel
    public var type: String
    public var level: String?
    public var component: String?
    public var providerID: String?
    public var modelID: String?
    public var message: String?
    public var latency: Double?
    public var success: Bool?
    /// Tells the test's events apart.
    public var number: Int

    public init(channel: Channel, type: String, number: Int = 0) {
        self.channel = channel
        self.type = type
        self.number = number
    }

    static let components = ["router", "cache", "auth", "a\"b"]
    static let providers = ["openai", "anthropic", "mistral"]
    static let models = ["gpt-4", "claude", "größe"]
    static let messages = [
        "Timeout at Provider", "request done", "ZÜRICH is slow", "straße", "naïve retry", "", "Ωmega\nline", "OK",
    ]
    static let levels = ["debug", "info", "warn", "error", "fatal", "panic", "notice"]

    public static func random(number: Int, using generator: inout SeededGenerator) -> ModelEvent {
        let channel = generator.pick(Channel.allCases)
        let type =
            generator.chance(80)
            ? [.logs: "log", .requests: "request", .providers: "provider_status"][channel] ?? "note" : "note"
        var event = ModelEvent(channel: channel, type: type, number: number)
        if generator.chance(80) { event.level = generator.pick(levels) }
        if generator.chance(60) { event.component = generator.pick(components) }
        if generator.chance(60) { event.providerID = generator.pick(providers) }
        if generator.chance(60) { event.modelID = generator.pick(models) }
        if generator.chance(70) { event.message = generator.pick(messages) }
        if generator.chance(70) { event.latency = Double(generator.int(0...400)) / 2 }
        if generator.chance(70) { event.success = generator.chance(50) }
        return event
    }

    /// `data` as a producer writes it.
    public var data: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("n")
        writer.int(Int64(number))
        for (key, value) in [
            ("level", level), ("component", component), ("provider_id", providerID), ("model_id", modelID), ("message", message),
        ] {
            guard let value else { continue }
            writer.key(key)
            writer.string(value)
        }
        if let latency {
            writer.key("latency_ms")
            writer.double(latency)
        }
        if let success {
            writer.key("success")
            writer.bool(success)
        }
        writer.endObject()
        return writer.bytes
    }

    public var draft: EventDraft {
        EventDraft(channel: channel, type: type, timestamp: Instant(milliseconds: Int64(number)), data: data)
    }
}

/// What a client asks for: channels, and parameters as an address carries them.
public struct ModelFilter: Sendable {
    public var channels: Set<Channel>
    public var parameters: [String: String] = [:]

    public init(_ channels: Set<Channel>, _ parameters: [String: String] = [:]) {
        self.channels = channels
        self.parameters = parameters
    }

    public static func random(using generator: inout SeededGenerator) -> ModelFilter {
        var filter = ModelFilter([])
        while filter.channels.isEmpty { filter.channels = Set(Channel.allCases.filter { _ in generator.chance(35) }) }
        let values: [(String, [String])] = [
            ("level", ["debug", "info", "warn", "error", "fatal", "panic", "warn,error", "debug,panic", "info,info"]),
            ("component", ["router", "cache,auth", "a\"b", "none"]), ("provider_id", ["openai", "openai,mistral", "none"]),
            ("model_id", ["gpt-4", "größe,claude"]), ("q", ["TIMEOUT", "zürich", "Straße", "ï", "ωMEGA", "o", "\n"]),
            ("only_errors", ["true", "false"]), ("min_latency_ms", ["0", "100", "200"]),
        ]
        for (name, choices) in values where generator.chance(25) && !filter.knowing(name).isEmpty {
            filter.parameters[name] = generator.pick(choices)
        }
        return filter
    }

    /// The subscribed channels that know a parameter.
    func knowing(_ name: String) -> [Channel] {
        let known: [Channel: Set<String>] = [
            .logs: ["level", "component", "provider_id", "q"],
            .requests: ["provider_id", "model_id", "only_errors", "min_latency_ms"],
            .providers: ["provider_id"],
        ]
        return effective.filter { known[$0]?.contains(name) == true }
    }

    public var effective: [Channel] {
        Channel.allCases.filter { $0 != .all && (channels.contains($0) || channels.contains(.all)) }
    }

    /// The engine's form of this.
    public func subscription(statsInterval: Int = 5) throws -> Subscription {
        var subscription = Subscription(statsInterval: statsInterval)
        for channel in channels { subscription.channels.insert(ChannelSet(channel)) }
        for (name, value) in parameters {
            for channel in knowing(name) { try subscription.filters.set(name, to: value, on: channel) }
        }
        return subscription
    }

    /// The address that asks for this.
    public var target: String {
        let pairs = [("channels", channels.map(\.name).sorted().joined(separator: ","))] + parameters.sorted { $0.key < $1.key }
        return "/ws?" + pairs.map { "\($0.0)=\(percentEncoded($0.1))" }.joined(separator: "&")
    }

    /// Whether a client that asks for this gets the event.
    public func passes(_ event: ModelEvent) -> Bool {
        if event.channel == .all { return !channels.isEmpty }
        guard effective.contains(event.channel) else { return false }
        for (name, value) in parameters where knowing(name).contains(event.channel) {
            guard passes(event, name, value) else { return false }
        }
        return true
    }

    private func passes(_ event: ModelEvent, _ name: String, _ value: String) -> Bool {
        let list = value.split(separator: ",").map(String.init)
        switch name {
        case "level":
            let ranks = ["debug", "info", "warn", "error", "fatal", "panic"]
            let level = event.level ?? "info"
            guard let rank = ranks.firstIndex(of: level) else { return false }
            return list.count == 1 ? rank >= ranks.firstIndex(of: value) ?? 9 : list.contains(level)
        case "component": return event.component.map { list.contains($0) } ?? false
        case "provider_id": return event.providerID.map { list.contains($0) } ?? false
        case "model_id": return event.modelID.map { list.contains($0) } ?? false
        case "q":
            guard let message = event.message else { return false }
            let text = Array(message.uppercased().utf8)
            let wanted = Array(value.uppercased().utf8)
            return text.count >= wanted.count && (0...text.count - wanted.count).contains { text[$0...].starts(with: wanted) }
        case "only_errors": return value == "false" || event.success == false
        case "min_latency_ms": return event.latency.map { $0.rounded(.down) >= Double(value) ?? 0 } ?? false
        default: return false
        }
    }
}

public func percentEncoded(_ text: String) -> String {
    text.utf8.map { byte in
        let isPlain = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        let digits = String(byte, radix: 16, uppercase: true)
        return isPlain ? String(UnicodeScalar(byte)) : "%" + (digits.count == 1 ? "0" : "") + digits
    }.joined()
}
