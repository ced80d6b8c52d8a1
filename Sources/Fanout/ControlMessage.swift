// Messages of the protocol itself. None of them carries a sequence.

import Base
import Protocol

/// One of the daemon's own messages, before it is encoded for anybody. A value; any thread.
struct ControlMessage: Sendable {
    let type: String
    /// `{"type":…,"timestamp":…}` with optional `id` and `data`.
    let json: [UInt8]
    /// The id up to which everything is settled for who has got the message; nil where it says nothing of that.
    let settled: String?
    /// How long the client is to wait before it comes back; nil but in a `drain`.
    let reconnectMilliseconds: Int?

    /// - Parameter data: compact JSON.
    init(
        _ type: String, at timestamp: Instant, id: JSON? = nil, data: [UInt8]? = nil, settles settled: String? = nil,
        reconnectMilliseconds: Int? = nil
    ) {
        self.type = type
        self.settled = settled
        self.reconnectMilliseconds = reconnectMilliseconds
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("type")
        writer.string(type)
        if let id {
            writer.key("id")
            ControlMessage.write(id, to: &writer)
        }
        writer.key("timestamp")
        writer.string(timestamp.rfc3339)
        if let data {
            writer.key("data")
            writer.raw(data)
        }
        writer.endObject()
        json = writer.bytes
    }

    /// The `id` of a request comes back as it was: text or number.
    private static func write(_ id: JSON, to writer: inout JSONWriter) {
        switch id {
        case .string(let text): writer.string(text)
        case .number(let text): writer.raw(Array(text.utf8))
        default: writer.null()
        }
    }

    static func ack(id: JSON, at timestamp: Instant, channels: ChannelSet) -> ControlMessage {
        var writer = JSONWriter()
        writer.beginObject()
        names(of: channels, to: &writer)
        writer.endObject()
        return ControlMessage("ack", at: timestamp, id: id, data: writer.bytes)
    }

    private static func names(of channels: ChannelSet, to writer: inout JSONWriter) {
        writer.key("channels")
        writer.beginArray()
        for channel in channels.channels { writer.string(channel.name) }
        writer.endArray()
    }

    static func error(_ failure: MessageError, at timestamp: Instant) -> ControlMessage {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("code")
        writer.string(failure.code.rawValue)
        writer.key("message")
        writer.string(failure.message)
        writer.key("details")
        writer.string(failure.details)
        writer.endObject()
        return ControlMessage("error", at: timestamp, id: failure.id, data: writer.bytes)
    }

    /// A hole among events that have ids: `after` < id ≤ `resume`.
    /// - Parameter dropped: nil where it cannot be known.
    static func gap(
        reason: GapReason, channels: ChannelSet, after: String, resume: String, dropped: UInt64?, at timestamp: Instant
    ) -> ControlMessage {
        gap(reason, channels, at: timestamp, settles: resume) { writer in
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
    static func gap(reason: GapReason, channels: ChannelSet, from: Instant?, until: Instant?, at timestamp: Instant) -> ControlMessage {
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
        _ reason: GapReason, _ channels: ChannelSet, at timestamp: Instant, settles settled: String? = nil, _ range: (inout JSONWriter) -> Void
    ) -> ControlMessage {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("reason")
        writer.string(reason.rawValue)
        names(of: channels, to: &writer)
        range(&writer)
        writer.endObject()
        return ControlMessage("gap", at: timestamp, data: writer.bytes, settles: settled)
    }

    /// A replay has been given up to and with the event `position`; behind it comes what is live.
    static func caughtUp(position: String, at timestamp: Instant) -> ControlMessage { heartbeat("caught_up", at: timestamp, position: position) }

    /// `ping` and `pong` in JSON: the position settled so far goes with them, where there is one.
    static func heartbeat(_ type: String, at timestamp: Instant, id: JSON? = nil, position: String?) -> ControlMessage {
        var writer = JSONWriter()
        writer.beginObject()
        if let position {
            writer.key("position")
            writer.string(position)
        }
        writer.endObject()
        return ControlMessage(type, at: timestamp, id: id, data: writer.bytes, settles: position)
    }

    /// The daemon stops. `reconnectMilliseconds`: how long this client should wait, once it is closed, before it comes back.
    static func drain(reconnectMilliseconds: Int, position: String?, at timestamp: Instant) -> ControlMessage {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("reconnect_in_ms")
        writer.int(Int64(reconnectMilliseconds))
        if let position {
            writer.key("position")
            writer.string(position)
        }
        writer.endObject()
        return ControlMessage("drain", at: timestamp, data: writer.bytes, settles: position, reconnectMilliseconds: reconnectMilliseconds)
    }

    /// - Parameter position: what is settled for the client; nil where a replay begins at a time.
    static func welcome(
        epoch: Epoch, sequence: UInt64, position: String?, limits: Limits, role: String, at timestamp: Instant
    ) -> ControlMessage {
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
        return ControlMessage("welcome", at: timestamp, data: writer.bytes, settles: position)
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
