// A message of the daemon, taken apart. Lenient: what is missing has a default, what is unknown is left aside, since a daemon may be newer
// than its clients.

import Protocol

/// What all messages have.
struct Envelope {
    let type: String
    /// As a place in the stream; messages of the protocol itself have another kind of id.
    let id: EventID?
    let timestamp: String
    let channel: String
    let data: JSON
    let rawJSON: String

    /// - Returns: nil for what is no JSON object with a `type`.
    init?(_ text: UnsafeRawBufferPointer) {
        guard let json = Envelope.parse(text), let type = json["type"]?.string else { return nil }
        self.type = type
        id = json["id"]?.string.map { EventID($0) }
        timestamp = json.text("timestamp")
        channel = json.text("channel")
        data = json["data"] ?? .null
        rawJSON = String(decoding: text, as: UTF8.self)
    }

    /// A message as it has come.
    init?(_ message: UnsafeRawBufferPointer, as encoding: Options.Encoding) {
        switch encoding {
        case .json: self.init(message)
        case .messagePack:
            // Why it is no MessagePack helps nobody here.
            guard let text = try? MessagePack.json(of: message, depthMax: Envelope.depthMax, from: .daemon),
                let envelope = text.withUnsafeBytes({ Envelope($0) })
            else { return nil }
            self = envelope
        }
    }

    /// Data may be 64 deep, and stands in the message.
    private static let depthMax = 65

    /// Data may be as deep as JSON is read at all, so that with the message around it it is too deep to be read in one.
    private static func parse(_ text: UnsafeRawBufferPointer) -> JSON? {
        // Why it is no JSON helps nobody here.
        if let json = try? JSON(parsing: text) { return json }
        guard text.first == UInt8(ascii: "{"), text.last == UInt8(ascii: "}") else { return nil }
        var members: [(key: String, value: JSON)] = []
        var isWhole = true
        JSONScanner.members(of: text) { key, value in
            guard let json = try? JSON(parsing: UnsafeRawBufferPointer(rebasing: text[value])) else { return isWhole = false }
            members.append((String(decoding: text[key], as: UTF8.self), json))
        }
        return isWhole ? .object(members) : nil
    }

    init?(_ text: String) {
        guard let envelope = Array(text.utf8).withUnsafeBytes({ Envelope($0) }) else { return nil }
        self = envelope
    }

    /// The event that this is; nil for what the connection itself is concerned with (`ping`, `pong`, `ack`, `welcome`, `drain`).
    var event: ClientEvent? {
        switch type {
        case "stats_update": .stats(StatsUpdate(self))
        case "provider_status": .provider(ProviderStatus(self))
        case "request": .request(RequestEvent(self))
        case "log": .log(LogEvent(self))
        case "gap": .gap(Gap(self))
        case "caught_up": .caughtUp(CaughtUp(position: position, timestamp: timestamp, rawJSON: rawJSON))
        case "error": .error(ServerError(self))
        case "ping", "pong", "ack", "welcome", "drain": nil
        default: .other(OtherEvent(self))
        }
    }

    /// The position that control messages tell.
    var position: EventID? { data["position"]?.string.map { EventID($0) } }
}

extension JSON {
    func text(_ key: String) -> String { self[key]?.string ?? "" }
    func flag(_ key: String) -> Bool { self[key]?.bool ?? false }
    func real(_ key: String) -> Double { self[key]?.double ?? 0 }

    /// A fraction is rounded; what Int cannot hold is 0.
    func integer(_ key: String) -> Int {
        guard let value = self[key] else { return 0 }
        return value.int ?? value.double.flatMap { Int(exactly: $0.rounded()) } ?? 0
    }

    /// The value as compact JSON.
    var json: String {
        var writer = JSONWriter()
        write(to: &writer)
        return writer.text
    }

    private func write(to writer: inout JSONWriter) {
        switch self {
        case .null: writer.null()
        case .bool(let value): writer.bool(value)
        case .number(let text): writer.raw(text)
        case .string(let text): writer.string(text)
        case .array(let elements):
            writer.beginArray()
            for element in elements { element.write(to: &writer) }
            writer.endArray()
        case .object(let members):
            writer.beginObject()
            for member in members {
                writer.key(member.key)
                member.value.write(to: &writer)
            }
            writer.endObject()
        }
    }
}
