// Messages of the protocol itself, as text. None of them carries a sequence.

import Base
import Protocol

/// Encodes the daemon's own messages.
enum ControlMessage {
    /// `{"type":…,"timestamp":…}` with optional `id` and `data` (compact JSON).
    static func encode(_ type: String, at timestamp: Instant, id: JSON? = nil, data: [UInt8]? = nil) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("type")
        writer.string(type)
        if let id {
            writer.key("id")
            write(id, to: &writer)
        }
        writer.key("timestamp")
        writer.string(timestamp.rfc3339)
        if let data {
            writer.key("data")
            writer.raw(data)
        }
        writer.endObject()
        return writer.bytes
    }

    /// The `id` of a request comes back as it was: text or number.
    private static func write(_ id: JSON, to writer: inout JSONWriter) {
        switch id {
        case .string(let text): writer.string(text)
        case .number(let text): writer.raw(Array(text.utf8))
        default: writer.null()
        }
    }

    static func ack(id: JSON, at timestamp: Instant, channels: ChannelSet) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        names(of: channels, to: &writer)
        writer.endObject()
        return encode("ack", at: timestamp, id: id, data: writer.bytes)
    }

    private static func names(of channels: ChannelSet, to writer: inout JSONWriter) {
        writer.key("channels")
        writer.beginArray()
        for channel in channels.channels { writer.string(channel.name) }
        writer.endArray()
    }

    static func error(_ failure: MessageError, at timestamp: Instant) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("code")
        writer.string(failure.code.rawValue)
        writer.key("message")
        writer.string(failure.message)
        writer.key("details")
        writer.string(failure.details)
        writer.endObject()
        return encode("error", at: timestamp, id: failure.id, data: writer.bytes)
    }

    /// A hole among events that have ids: `after` < id ≤ `resume`.
    /// - Parameter dropped: nil where it cannot be known.
    static func gap(
        reason: GapReason, channels: ChannelSet, after: String, resume: String, dropped: UInt64?, at timestamp: Instant
    ) -> [UInt8] {
        gap(reason, channels, at: timestamp) { writer in
            writer.key("after")
            writer.string(after)
            writer.key("resume")
            writer.string(resume)
            if let dropped {
                writer.key("dropped")
                writer.int(Int64(clamping: dropped))
            }
        }
    }

    /// A hole among events of before, which have no ids: `from` ≤ timestamp < `until`.
    static func gap(reason: GapReason, channels: ChannelSet, from: Instant?, until: Instant?, at timestamp: Instant) -> [UInt8] {
        gap(reason, channels, at: timestamp) { writer in
            if let from {
                writer.key("from")
                writer.string(from.rfc3339)
            }
            if let until {
                writer.key("until")
                writer.string(until.rfc3339)
            }
        }
    }

    private static func gap(
        _ reason: GapReason, _ channels: ChannelSet, at timestamp: Instant, _ range: (inout JSONWriter) -> Void
    ) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("reason")
        writer.string(reason.rawValue)
        names(of: channels, to: &writer)
        range(&writer)
        writer.endObject()
        return encode("gap", at: timestamp, data: writer.bytes)
    }

    /// A replay has been given up to and with the event `position`; behind it comes what is live.
    static func caughtUp(position: String, at timestamp: Instant) -> [UInt8] { heartbeat("caught_up", at: timestamp, position: position) }

    /// `ping` and `pong` in JSON: the position settled so far goes with them, where there is one.
    static func heartbeat(_ type: String, at timestamp: Instant, id: JSON? = nil, position: String?) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        if let position {
            writer.key("position")
            writer.string(position)
        }
        writer.endObject()
        return encode(type, at: timestamp, id: id, data: writer.bytes)
    }

    /// The daemon stops. `reconnectMilliseconds`: how long this client should wait, once it is closed, before it comes back.
    static func drain(reconnectMilliseconds: Int, position: String?, at timestamp: Instant) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("reconnect_in_ms")
        writer.int(Int64(reconnectMilliseconds))
        if let position {
            writer.key("position")
            writer.string(position)
        }
        writer.endObject()
        return encode("drain", at: timestamp, data: writer.bytes)
    }

    /// - Parameter position: what is settled for the client; nil where a replay begins at a time.
    static func welcome(
        epoch: Epoch, sequence: UInt64, position: String?, limits: Limits, role: String, at timestamp: Instant
    ) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("epoch")
        writer.string(epoch.description)
        writer.key("sequence")
        writer.int(Int64(clamping: sequence))
        if let position {
            writer.key("position")
            writer.string(position)
        }
        writer.key("heartbeat_interval")
        writer.int(limits.heartbeatInterval.components.seconds)
        writer.key("client_timeout")
        writer.int(limits.clientTimeout.components.seconds)
        writer.key("max_message_bytes")
        writer.int(Int64(limits.messageBytesMax))
        writer.key("buffer_size")
        writer.int(Int64(limits.ringSpansMax))
        writer.key("role")
        writer.string(role)
        writer.endObject()
        return encode("welcome", at: timestamp, data: writer.bytes)
    }
}

/// Why a message of a client was refused: one of the protocol's codes, a sentence, and what it was about.
struct MessageError: Error {
    var code: MessageErrorCode
    var message: String
    var details: String
    var id: JSON?
}

/// The `code` of an `error`.
public enum MessageErrorCode: String, CaseIterable, Sendable {
    case invalidJSON = "invalid_json"
    case invalidMessage = "invalid_message"
    case unknownType = "unknown_type"
    case invalidChannel = "invalid_channel"
    case invalidFilter = "invalid_filter"
    case unauthorized
    case forbidden
    case rateLimited = "rate_limited"
}
