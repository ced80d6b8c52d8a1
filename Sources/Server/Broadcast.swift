// POST /admin/ws/broadcast: events from producers, one or many, all or none.

import Base
import Fanout
import Protocol

/// Limits of publishing.
public struct BroadcastLimits: Sendable {
    public var eventsPerSecond: Int
    public var burst: Int
    public var eventBytesMax: Int
    public var batchBytesMax: Int

    public init(eventsPerSecond: Int, burst: Int, eventBytesMax: Int, batchBytesMax: Int) {
        self.eventsPerSecond = eventsPerSecond
        self.burst = burst
        self.eventBytesMax = eventBytesMax
        self.batchBytesMax = batchBytesMax
    }
}

/// Takes what producers publish. Any thread.
final class Broadcast: Sendable {
    private let hub: Hub
    private struct State {
        var limits: BroadcastLimits
        var rates: PublishRates
    }
    private let state: Locked<State>
    private let remembered = Locked(RememberedAnswers())

    init(hub: Hub, limits: BroadcastLimits) {
        self.hub = hub
        state = Locked(
            State(limits: limits, rates: PublishRates(rate: limits.eventsPerSecond, burst: limits.burst, now: hub.clock.monotonic())))
    }

    var limits: BroadcastLimits { state.withLock { $0.limits } }

    /// Other limits, for requests that come from now on. Whoever has used up the old rate is not given it again.
    func apply(_ limits: BroadcastLimits) {
        state.withLock {
            $0.limits = limits
            $0.rates.change(rate: limits.eventsPerSecond, burst: limits.burst, at: hub.clock.monotonic())
        }
    }

    /// Why a batch was refused.
    struct Refusal: Error {
        var status = 400
        var what: String
        var index: Int?
        var fields: [(String, String)] = []

        var response: Response {
            var writer = JSONWriter()
            writer.beginObject()
            writer.key("error")
            writer.string(what)
            if let index {
                writer.key("index")
                writer.int(Int64(index))
            }
            writer.endObject()
            return Response(status: status, json: writer.bytes, fields: fields)
        }
    }

    /// Publishes the body of a request.
    func publish(_ request: Request) -> Response {
        do throws(Refusal) {
            guard let text = request.head.first("idempotency-key") else { return try send(read(request), of: request) }
            guard !text.isEmpty, text.utf8.count <= 255 else { throw Refusal(what: "Idempotency-Key must have 1 to 255 characters") }
            let key = RememberedAnswers.Key(principal: request.principal.user, text: text)
            let print = BodyPrint(request.body)
            if let known = try remembered.withLock({ $0.find(key, at: hub.clock.monotonic()) })?.response(to: print) { return known }
            // Reading takes the time; sending does not, and holds the lock: of two equal requests at once the second gets the first one's answer.
            let batch = try read(request)
            return try remembered.withLock { remembered throws(Refusal) in
                if let known = try remembered.find(key, at: hub.clock.monotonic())?.response(to: print) { return known }
                let response = try send(batch, of: request)
                remembered.keep(key, print, response, at: hub.clock.monotonic())
                return response
            }
        } catch {
            return error.response
        }
    }

    private struct Batch {
        var drafts: [EventDraft]
        /// One event, and no array of one.
        var isSingle: Bool
    }

    private func read(_ request: Request) throws(Refusal) -> Batch {
        let limits = self.limits
        let batch = try batch(of: request, eventBytesMax: limits.eventBytesMax)
        if batch.drafts.count > limits.burst {
            hub.refusals.add(.broadcastBurst)
            throw Refusal(status: 413, what: "a batch of \(batch.drafts.count) events is more than broadcast.burst (\(limits.burst))")
        }
        return batch
    }

    private func send(_ batch: Batch, of request: Request) throws(Refusal) -> Response {
        let wait = state.withLock { $0.rates.take(batch.drafts.count, of: request.principal.user, at: hub.clock.monotonic()) }
        if let wait {
            hub.refusals.add(.eventsPerSecond)
            throw Refusal(
                status: 429, what: "more than broadcast.events_per_second (\(limits.eventsPerSecond)); nothing was sent",
                fields: [("Retry-After", String(wait))])
        }
        guard let range = hub.publish(batch.drafts) else {
            throw Refusal(status: 503, what: "the daemon is stopping; nothing was sent", fields: [("Retry-After", "5")])
        }
        return accepted(range, isSingle: batch.isSingle)
    }

    private func accepted(_ range: ClosedRange<UInt64>, isSingle: Bool) -> Response {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("success")
        writer.bool(true)
        writer.key("message")
        writer.string("Event broadcast")
        if isSingle {
            writer.key("id")
            writer.string(hub.epoch.id(range.upperBound))
        } else {
            writer.key("count")
            writer.int(Int64(range.count))
            writer.key("first_id")
            writer.string(hub.epoch.id(range.lowerBound))
            writer.key("last_id")
            writer.string(hub.epoch.id(range.upperBound))
        }
        writer.endObject()
        return Response(status: 200, json: writer.bytes)
    }

    // MARK: reading

    private func batch(of request: Request, eventBytesMax: Int) throws(Refusal) -> Batch {
        let type = (request.head.first("content-type") ?? "").lowercased()
        var drafts: [EventDraft] = []
        var failure: Refusal?
        var isSingle = false
        request.body.withUnsafeBytes { body in
            do throws(Refusal) {
                if type.hasPrefix("application/x-ndjson") {
                    try readLines(body, eventBytesMax, into: &drafts)
                } else {
                    isSingle = try readJSON(body, eventBytesMax, into: &drafts)
                }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        if drafts.isEmpty { throw Refusal(what: "invalid request") }
        return Batch(drafts: drafts, isSingle: isSingle)
    }

    private func readLines(_ body: UnsafeRawBufferPointer, _ eventBytesMax: Int, into drafts: inout [EventDraft]) throws(Refusal) {
        var offset = 0
        var scratch: [UInt8] = []
        while true {
            offset = JSONScanner.skipWhitespace(body, at: offset)
            if offset >= body.count { return }
            let end = try item(body, at: offset, eventBytesMax, index: drafts.count, scratch: &scratch, into: &drafts)
            // One item a line: something else behind it on its line is not NDJSON.
            var next = end
            while next < body.count, body[next] == 32 || body[next] == 9 || body[next] == 13 { next += 1 }
            guard next >= body.count || body[next] == 10 else { throw Refusal(what: "invalid request", index: drafts.count - 1) }
            offset = next
        }
    }

    /// - Returns: whether the body is one event and no array.
    private func readJSON(_ body: UnsafeRawBufferPointer, _ eventBytesMax: Int, into drafts: inout [EventDraft]) throws(Refusal) -> Bool {
        var offset = JSONScanner.skipWhitespace(body, at: 0)
        guard offset < body.count else { throw Refusal(what: "invalid request") }
        var scratch: [UInt8] = []
        let isArray = body[offset] == UInt8(ascii: "[")
        if isArray {
            offset = JSONScanner.skipWhitespace(body, at: offset + 1)
            if offset < body.count, body[offset] == UInt8(ascii: "]") {
                offset += 1
            } else {
                while true {
                    offset = try item(body, at: offset, eventBytesMax, index: drafts.count, scratch: &scratch, into: &drafts)
                    offset = JSONScanner.skipWhitespace(body, at: offset)
                    guard offset < body.count else { throw Refusal(what: "invalid request", index: drafts.count) }
                    if body[offset] == UInt8(ascii: "]") {
                        offset += 1
                        break
                    }
                    guard body[offset] == UInt8(ascii: ",") else { throw Refusal(what: "invalid request", index: drafts.count) }
                    offset = JSONScanner.skipWhitespace(body, at: offset + 1)
                }
            }
        } else {
            offset = try item(body, at: offset, eventBytesMax, index: nil, scratch: &scratch, into: &drafts)
        }
        guard JSONScanner.skipWhitespace(body, at: offset) == body.count else { throw Refusal(what: "invalid request") }
        return !isArray
    }

    /// Reads one `{"channel","type","data"}`.
    private func item(
        _ body: UnsafeRawBufferPointer, at offset: Int, _ eventBytesMax: Int, index: Int?, scratch: inout [UInt8], into drafts: inout [EventDraft]
    ) throws(Refusal) -> Int {
        scratch.removeAll(keepingCapacity: true)
        let end: Int
        do throws(JSONError) {
            end = try JSONScanner.compact(body, at: offset, into: &scratch)
        } catch {
            throw Refusal(what: "invalid request", index: index)
        }
        guard scratch.first == UInt8(ascii: "{") else { throw Refusal(what: "invalid request", index: index) }
        var channelText: [UInt8]?
        var typeText: [UInt8]?
        var data: [UInt8]?
        scratch.withUnsafeBytes { bytes in
            JSONScanner.members(of: bytes) { key, value in
                let name = UnsafeRawBufferPointer(rebasing: bytes[key])
                let text = UnsafeRawBufferPointer(rebasing: bytes[value])
                if name.equals("channel") {
                    if channelText == nil { channelText = text.first == 34 ? JSONScanner.unescape(text) : [] }
                } else if name.equals("type") {
                    if typeText == nil { typeText = text.first == 34 ? JSONScanner.unescape(text) : [] }
                } else if name.equals("data"), data == nil {
                    data = Array(text)
                }
            }
        }
        guard let channel = Channel(name: String(decoding: channelText ?? [], as: UTF8.self)) else {
            throw Refusal(what: "invalid channel", index: index)
        }
        let type = String(decoding: typeText ?? [], as: UTF8.self)
        guard !MessageType.reserved.contains(type), type.utf8.count <= 128 else {
            throw Refusal(what: "invalid type '\(ForeignText.shown(type, to: 80))': it is empty, longer than 128 bytes, or the protocol's own", index: index)
        }
        let value = data ?? Array("null".utf8)
        guard value.count <= eventBytesMax else {
            hub.refusals.add(.eventBytes)
            throw Refusal(status: 413, what: "the event has \(value.count) bytes; broadcast.max_event_bytes is \(eventBytesMax)", index: index)
        }
        drafts.append(EventDraft(channel: channel, type: type, timestamp: hub.clock.now(), data: value))
        return end
    }
}
