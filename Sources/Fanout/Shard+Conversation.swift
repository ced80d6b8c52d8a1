// The subscription protocol: messages of a client, and their answers.

import Base
import Protocol

extension Shard {
    /// Takes one message of a client.
    func converse(_ payload: UnsafeRawBufferPointer, with index: UInt32) {
        do throws(MessageError) {
            try obey(payload, from: index)
        } catch {
            refuse(error, to: index)
        }
    }

    func refuse(_ failure: MessageError, to index: UInt32) {
        metrics.messageErrors.add(failure.code)
        send(framed(.error(failure, at: hub.clock.now()), for: index), to: index)
    }

    private func obey(_ payload: UnsafeRawBufferPointer, from index: UInt32) throws(MessageError) {
        let message = try read(payload, as: client(index).pointee.encoding.form)
        guard case .object = message else {
            throw MessageError(code: .invalidMessage, message: "the message is not an object", details: "")
        }
        let id = message["id"]
        switch id {
        case nil, .string, .number: break
        default: throw MessageError(code: .invalidMessage, message: "id is neither text nor number", details: "")
        }
        guard let type = message["type"]?.string else {
            throw MessageError(code: .invalidMessage, message: "the message has no type", details: "", id: id)
        }
        let client = client(index)
        if client.pointee.details.awaiting != nil, type == "subscribe" || type == "unsubscribe" {
            throw MessageError(code: .unauthorized, message: "say who you are first", details: #"{"type":"auth","data":{"token":"…"}}"#, id: id)
        }
        switch type {
        case "ping":
            let pong = ControlMessage.heartbeat("pong", at: hub.clock.now(), id: id, position: position(of: client))
            send(framed(pong, for: index), to: index)
        case "pong": break
        case "auth":
            guard let token = message["data"]?["token"]?.string else {
                throw MessageError(code: .invalidMessage, message: "data.token is not a text", details: "", id: id)
            }
            try authenticate(token, id, index)
        case "subscribe": try subscribe(message, id, index)
        case "unsubscribe": try unsubscribe(message, id, index)
        default:
            throw MessageError(
                code: .unknownType, message: "unknown type '\(ForeignText.shown(type))'",
                details: "known are subscribe, unsubscribe, ping, pong, auth", id: id)
        }
    }

    /// Containers that may be open at once in a message.
    private static let depthMax = 16
    /// Values in a message: one that is understood has some dozens, and each costs a tenth of a microsecond and some tens of bytes.
    private static let valuesMax = 16_384

    private func read(_ payload: UnsafeRawBufferPointer, as form: MessageForm) throws(MessageError) -> JSON {
        var text: [UInt8]?
        if form == .messagePack {
            do throws(MessagePackError) {
                text = try MessagePack.json(of: payload, depthMax: Shard.depthMax, valuesMax: Shard.valuesMax, from: .peer)
            } catch {
                throw MessageError(code: .invalidJSON, message: "the message is not MessagePack", details: "\(error)")
            }
        }
        do throws(JSONError) {
            if let text { return try JSON(parsing: text, depthMax: Shard.depthMax, valuesMax: Shard.valuesMax) }
            return try JSON(parsing: payload, depthMax: Shard.depthMax, valuesMax: Shard.valuesMax)
        } catch {
            throw MessageError(code: .invalidJSON, message: "the message is not JSON", details: "\(error)")
        }
    }

    /// - Parameter channels: those of the client, where none are given.
    func acknowledge(_ id: JSON?, _ index: UInt32, _ channels: ChannelSet? = nil) {
        guard let id else { return }
        let channels = channels ?? client(index).pointee.details.subscription.channels
        send(framed(.ack(id: id, at: hub.clock.now(), channels: channels), for: index), to: index)
    }

    /// The channels that a message names; the ones that do not exist are answered with an error.
    private func channels(of message: JSON, _ id: JSON?, _ index: UInt32) throws(MessageError) -> ChannelSet {
        guard case .array(let items)? = message["data"]?["channels"] else {
            throw MessageError(code: .invalidMessage, message: "data.channels is not a list", details: "", id: id)
        }
        var found: ChannelSet = []
        var unknown: [String] = []
        for item in items {
            if let name = item.string, let channel = Channel(name: name) {
                found.insert(ChannelSet(channel))
            } else {
                unknown.append(item.string.map { ForeignText.shown($0) } ?? "(not a text)")
            }
        }
        if !unknown.isEmpty {
            let failure = MessageError(
                code: .invalidChannel, message: "invalid channel", details: ForeignText.shown(unknown.prefix(4).joined(separator: ", ")), id: id)
            if found.isEmpty { throw failure }
            refuse(failure, to: index)
        } else if found.isEmpty {
            throw MessageError(code: .invalidMessage, message: "data.channels is empty", details: "", id: id)
        }
        return found
    }

    /// Those of the channels that the client may have; the others are answered with an error.
    private func allowed(_ named: ChannelSet, _ rights: Rights, _ id: JSON?, _ index: UInt32) throws(MessageError) -> ChannelSet {
        let forbidden = named.channels.filter { !rights.allows($0) }
        if forbidden.isEmpty { return named }
        let failure = MessageError(
            code: .forbidden, message: "channel not allowed", details: forbidden.map(\.name).joined(separator: ", "), id: id)
        let rest = forbidden.reduce(into: named) { $0.remove(ChannelSet($1)) }
        if rest.isEmpty { throw failure }
        refuse(failure, to: index)
        return rest
    }

    private func subscribe(_ message: JSON, _ id: JSON?, _ index: UInt32) throws(MessageError) {
        let replay = try replay(message["data"], id, index)
        let before = client(index).pointee.details.subscription
        var named = try allowed(try channels(of: message, id, index), before.rights, id, index)
        var subscription = before
        subscription.channels.formUnion(named)
        var mistakes = 0
        switch message["data"]?["filters"] {
        case nil, .null: break
        case .object(let members):
            for (name, value) in members {
                do throws(FilterError) {
                    try subscription.setFilters(of: name, to: value, statsInterval: limits.statsInterval)
                } catch {
                    // All of them are judged, but one message does not get thousands of answers.
                    mistakes += 1
                    if mistakes <= 8 {
                        refuse(MessageError(code: .invalidFilter, message: "invalid filter", details: "\(error)", id: id), to: index)
                    }
                    // A channel whose filter is not understood is not opened wider than was asked for, not as a part of `all` either.
                    guard let channel = Channel(name: name), !before.effective.contains(ChannelSet(channel)) else { continue }
                    if named.contains(ChannelSet(.all)) { named = subscription.rights.channels }
                    named.remove(ChannelSet(channel))
                    subscription.channels = before.channels.union(named)
                }
            }
        default:
            throw MessageError(code: .invalidFilter, message: "data.filters is not an object", details: "", id: id)
        }
        if named.isEmpty { return }
        try admitChange(id, index)
        subscribe(index, to: subscription, fresh: named, answer: { answer(id, subscription) }, replay: replay)
        logSubscribed(index, subscription.channels)
    }

    /// What the message says of events of before; nil where it says nothing.
    private func replay(_ data: JSON?, _ id: JSON?, _ index: UInt32) throws(MessageError) -> ReplayRequest? {
        var request = ReplayRequest()
        switch data?["since"] {
        case nil, .null: break
        case let value?:
            let text = value.string ?? "(not a text)"
            guard let since = value.string.flatMap(ReplayRequest.since) else {
                throw MessageError(code: .invalidMessage, message: "invalid since", details: ReplayRequest.sinceError(text), id: id)
            }
            request.since = since
        }
        switch data?["history"] {
        case nil, .null: break
        case let value?:
            let text = if case .number(let number) = value { number } else { "(not a number)" }
            guard let last = ReplayRequest.last(text) else {
                throw MessageError(code: .invalidMessage, message: "invalid history", details: ReplayRequest.lastError(text), id: id)
            }
            request.last = last
        }
        if request == ReplayRequest() { return nil }
        if client(index).pointee.details.backlog?.hasReplay == true {
            hub.refusals.add(.replayRunning)
            throw MessageError(
                code: .rateLimited, message: "a replay is running", details: "one at a time: ask again after its caught_up", id: id)
        }
        return request
    }

    /// Refuses a change where too many before it still wait for their turn.
    private func admitChange(_ id: JSON?, _ index: UInt32) throws(MessageError) {
        if client(index).pointee.details.backlog?.isFull == true {
            hub.refusals.add(.subscriptionChanges)
            throw MessageError(
                code: .rateLimited, message: "too many changes while events wait",
                details: "\(Backlog.stretchesMax) changes of the subscription wait for events before them to be read", id: id)
        }
    }

    private func unsubscribe(_ message: JSON, _ id: JSON?, _ index: UInt32) throws(MessageError) {
        var subscription = client(index).pointee.details.subscription
        let named = try channels(of: message, id, index)
        if named.contains(ChannelSet(.all)) {
            subscription.channels = []
        } else {
            // Who has everything and gives one up keeps the others by name.
            if subscription.channels.contains(ChannelSet(.all)) { subscription.channels = subscription.effective }
            subscription.channels.subtract(named)
        }
        // What is not subscribed has no filters that a later subscription could keep.
        for channel in ChannelSet.everyChannel.subtracting(subscription.channels).channels {
            subscription.filters.clear(channel, statsInterval: limits.statsInterval)
        }
        try admitChange(id, index)
        subscribe(index, to: subscription, fresh: [], answer: { answer(id, subscription) })
        logSubscribed(index, subscription.channels)
    }

    private func answer(_ id: JSON?, _ subscription: Subscription) -> ControlMessage? {
        id.map { .ack(id: $0, at: hub.clock.now(), channels: subscription.channels) }
    }
}

extension Subscription {
    /// Replaces the filters of one channel by an object of parameters.
    mutating func setFilters(of name: String, to value: JSON, statsInterval: Int) throws(FilterError) {
        guard let channel = Channel(name: name), channel != .all else {
            throw FilterError("'\(ForeignText.shown(name))' is not one of logs, stats, providers, requests")
        }
        guard effective.contains(ChannelSet(channel)) else {
            throw FilterError("filters for \(channel.name), which is not subscribed")
        }
        guard case .object(let parameters) = value else { throw FilterError("the filters of \(channel.name) are not an object") }
        var changed = filters
        changed.clear(channel, statsInterval: statsInterval)
        for (parameter, wanted) in parameters { try changed.set(parameter, to: Subscription.text(of: wanted, parameter), on: channel) }
        filters = changed
    }

    private static func text(of value: JSON, _ parameter: String) throws(FilterError) -> String {
        switch value {
        case .string(let text): return text
        case .number(let text): return text
        case .bool(let flag): return flag ? "true" : "false"
        case .array(let items):
            var texts: [String] = []
            for item in items {
                guard let text = item.string else { throw FilterError("\(parameter) has a value that is not a text") }
                texts.append(text)
            }
            return texts.joined(separator: ",")
        default: throw FilterError("\(parameter) is neither text nor number")
        }
    }
}
