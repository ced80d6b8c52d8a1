// What filters may ask of an event, taken out of its data once, when it is published.

import Base
import Protocol

extension Segment {
    /// Adds one event: writes its message and indexes its fields. Under the hub's lock (a segment that a replay uses as scratch: on
    /// its thread); the caller has checked `fits` with `Segment.bytesNeeded`.
    /// - Parameter id: epoch and sequence of its id; nil for an event of before, which has none.
    func add(_ draft: EventDraft, id: (epoch: Epoch, sequence: UInt64)?, published: UInt64) {
        let start = bytesUsed
        put(#"{"type":"#)
        var writer = JSONWriter(reserving: 48)
        writer.string(draft.type)
        put(writer.bytes)
        if let id {
            put(#","id":""#)
            put(id.epoch.utf8)
            put("-")
            writer.removeAll()
            writer.int(id.sequence)
            put(writer.bytes)
            put("\"")
        }
        put(#","timestamp":""#)
        withUnsafeTemporaryAllocation(byteCount: 24, alignment: 1) { text in
            draft.timestamp.write(rfc3339: text)
            _ = write(UnsafeRawBufferPointer(text))
        }
        put("\"")
        // Where its type does not tell it.
        if MessageType.ofChannel[draft.type] != draft.channel {
            put(#","channel":""#)
            put(Array(draft.channel.name.utf8))
            put("\"")
        }
        put(#","data":"#)
        let data = draft.data.withUnsafeBytes { write($0) }
        put("}")
        let json = FieldRange(offset: UInt32(start), length: UInt32(bytesUsed - start))

        var entry = EventEntry(
            json: json, timestamp: draft.timestamp.microseconds, published: published, latency: EventEntry.noLatency,
            component: .absent, providerID: .absent, modelID: .absent, userID: .absent, message: .absent, requestID: .absent,
            entrySequenceID: 0, entrySequence: 0,
            channels: draft.channel == .all ? .everyChannel : ChannelSet(draft.channel), channel: draft.channel.rawValue,
            severity: Severity.info.bit,
            flags: (draft.passesFilters ? EventEntry.passesFilters : 0) | (draft.isConflatable ? EventEntry.isConflatable : 0))
        switch draft.origin {
        case .producer: break
        case .table: entry.flags |= EventEntry.isArchived
        case .journal(let sequenceID, let sequence):
            entry.flags |= EventEntry.isArchived
            entry.entrySequenceID = sequenceID
            entry.entrySequence = sequence
        }
        if draft.data.first == UInt8(ascii: "{") {
            draft.data.withUnsafeBytes { bytes in
                JSONScanner.members(of: bytes) { key, value in
                    index(
                        UnsafeRawBufferPointer(rebasing: bytes[key]), UnsafeRawBufferPointer(rebasing: bytes[value]),
                        at: Int(data.offset) + value.lowerBound, into: &entry)
                }
            }
        }
        if let id = draft.archiveID { entry.requestID = id.withUnsafeBytes { write($0) } }
        append(entry)
    }

    /// Bytes that a draft can need at most: envelope, data, and the unescaped copies of indexed fields.
    static func bytesNeeded(_ draft: EventDraft) -> Int {
        2 * draft.data.count + 6 * draft.type.utf8.count + (draft.archiveID?.count ?? 0) + 192
    }

    private func index(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, at offset: Int, into entry: inout EventEntry) {
        // The first of several equal keys counts, as everywhere in this project.
        switch key.count {
        case 5 where key.equals("level"):
            guard entry.flags & EventEntry.hasLevel == 0, value.first == UInt8(ascii: "\"") else { return }
            entry.flags |= EventEntry.hasLevel
            // An unknown severity passes no filter that names some.
            entry.severity = JSONScanner.unescape(value).withUnsafeBytes { Severity(name: $0) }?.bit ?? 0
        case 7 where key.equals("success"):
            guard entry.flags & EventEntry.hasSuccess == 0 else { return }
            entry.flags |= EventEntry.hasSuccess | (value.elementsEqual("false".utf8) ? EventEntry.isFailure : 0)
        case 7 where key.equals("message"): set(&entry.message, value, offset)
        case 7 where key.equals("user_id"): set(&entry.userID, value, offset)
        case 8 where key.equals("model_id"): set(&entry.modelID, value, offset)
        case 9 where key.equals("component"): set(&entry.component, value, offset)
        case 10 where key.equals("request_id"): set(&entry.requestID, value, offset)
        case 10 where key.equals("latency_ms"):
            guard entry.latency == EventEntry.noLatency, let number = Double(String(decoding: value, as: UTF8.self)) else { return }
            entry.latency = Int64(exactly: number.rounded(.down)) ?? (number < 0 ? Int64.min + 1 : Int64.max)
        case 11 where key.equals("provider_id"): set(&entry.providerID, value, offset)
        default: break
        }
    }

    private func set(_ field: inout FieldRange, _ literal: UnsafeRawBufferPointer, _ offset: Int) {
        guard !field.isPresent, literal.count >= 2, literal.first == UInt8(ascii: "\"") else { return }
        if literal.contains(UInt8(ascii: "\\")) {
            field = JSONScanner.unescape(literal).withUnsafeBytes { write($0) }
        } else {
            field = FieldRange(offset: UInt32(offset + 1), length: UInt32(literal.count - 2))
        }
    }

    /// Appends to the message in the making.
    private func put(_ text: StaticString) { text.withUTF8Buffer { _ = write(UnsafeRawBufferPointer($0)) } }

    private func put(_ bytes: [UInt8]) { bytes.withUnsafeBytes { _ = write($0) } }
}
