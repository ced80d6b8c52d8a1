// What filters may ask of an event, taken out of its data once, when it is published.

import Base
import Protocol

extension Segment {
    /// Adds one event: writes its message and indexes its fields. Under the hub's lock (a segment that a replay uses as scratch: on
    /// its thread); the caller has checked `fits` with `Segment.bytesNeeded`.
    /// - Parameter id: epoch and sequence of its id; nil for an event of before, which has none.
    func add(_ draft: EventDraft, id: (epoch: Epoch, sequence: UInt64)?, published: UInt64) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(draft.data.count + 160)
        bytes.append(contentsOf: #"{"type":"#.utf8)
        var writer = JSONWriter()
        writer.string(draft.type)
        bytes.append(contentsOf: writer.bytes)
        if let id {
            bytes.append(contentsOf: #","id":""#.utf8)
            bytes.append(contentsOf: id.epoch.utf8)
            bytes.append(UInt8(ascii: "-"))
            bytes.append(contentsOf: String(id.sequence).utf8)
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(contentsOf: #","timestamp":""#.utf8)
        withUnsafeTemporaryAllocation(byteCount: 24, alignment: 1) { text in
            draft.timestamp.write(rfc3339: text)
            bytes.append(contentsOf: text)
        }
        bytes.append(UInt8(ascii: "\""))
        if MessageType.ofChannel[draft.type] == nil {
            bytes.append(contentsOf: #","channel":""#.utf8)
            bytes.append(contentsOf: draft.channel.name.utf8)
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(contentsOf: #","data":"#.utf8)
        let dataOffset = bytes.count
        bytes.append(contentsOf: draft.data)
        bytes.append(UInt8(ascii: "}"))
        let json = bytes.withUnsafeBytes { write($0) }

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
            let base = Int(json.offset) + dataOffset
            draft.data.withUnsafeBytes { data in
                JSONScanner.members(of: data) { key, value in
                    index(
                        UnsafeRawBufferPointer(rebasing: data[key]), UnsafeRawBufferPointer(rebasing: data[value]),
                        at: base + value.lowerBound, into: &entry)
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
        case 5 where key.elementsEqual("level".utf8):
            guard entry.flags & EventEntry.hasLevel == 0, value.first == UInt8(ascii: "\"") else { return }
            entry.flags |= EventEntry.hasLevel
            // An unknown severity passes no filter that names some.
            entry.severity = Severity(name: JSONScanner.unescape(value))?.bit ?? 0
        case 7 where key.elementsEqual("success".utf8):
            guard entry.flags & EventEntry.hasSuccess == 0 else { return }
            entry.flags |= EventEntry.hasSuccess | (value.elementsEqual("false".utf8) ? EventEntry.isFailure : 0)
        case 7 where key.elementsEqual("message".utf8): set(\.message, value, offset, &entry)
        case 7 where key.elementsEqual("user_id".utf8): set(\.userID, value, offset, &entry)
        case 8 where key.elementsEqual("model_id".utf8): set(\.modelID, value, offset, &entry)
        case 9 where key.elementsEqual("component".utf8): set(\.component, value, offset, &entry)
        case 10 where key.elementsEqual("request_id".utf8): set(\.requestID, value, offset, &entry)
        case 10 where key.elementsEqual("latency_ms".utf8):
            guard entry.latency == EventEntry.noLatency, let number = Double(String(decoding: value, as: UTF8.self)) else { return }
            entry.latency = Int64(exactly: number.rounded(.down)) ?? (number < 0 ? Int64.min + 1 : Int64.max)
        case 11 where key.elementsEqual("provider_id".utf8): set(\.providerID, value, offset, &entry)
        default: break
        }
    }

    private func set(
        _ field: WritableKeyPath<EventEntry, FieldRange>, _ literal: UnsafeRawBufferPointer, _ offset: Int, _ entry: inout EventEntry
    ) {
        guard !entry[keyPath: field].isPresent, literal.count >= 2, literal.first == UInt8(ascii: "\"") else { return }
        if literal.contains(UInt8(ascii: "\\")) {
            entry[keyPath: field] = JSONScanner.unescape(literal).withUnsafeBytes { write($0) }
        } else {
            entry[keyPath: field] = FieldRange(offset: UInt32(offset + 1), length: UInt32(literal.count - 2))
        }
    }
}
