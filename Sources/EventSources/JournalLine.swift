// A line of the gateway's log as the `data` of a `log` event.

import Base
import Host
import Protocol

/// One whole line, with what the journal says of it. Pure.
///
/// `data` has the members level, message, component, provider_id, request_id (those that there are), fields, timestamp, unit,
/// source, and `truncated` where the line is not whole.
struct JournalLine {
    /// The line's values move one level down, and `data` may be as deep as that of any published event: 64.
    private static let depthMax = 63
    /// Escaped bytes of a level, component or id, where they are what makes a line too long.
    private static let memberBytesMax = 64
    /// Where a line is too long because of its fields, so much of the message is worth more than they are.
    private static let messageBytesKept = 1024
    /// Below this `data` has no room for what is always in it.
    private static let bytesMin = 1024

    /// MESSAGE.
    var text: [UInt8]
    /// PRIORITY.
    var priority: UInt8?
    /// _SYSTEMD_UNIT.
    var unit: String?
    /// When it was written.
    var timestamp: Instant
    /// Whether something is missing at its end already.
    var isCut = false

    /// The `data`, and whether it is marked as truncated.
    ///
    /// - Parameters:
    ///   - bytesMax: a longer one is cut: its message, then its fields; under 1024 is taken for 1024.
    ///   - names: resolves a line's `provider` where it has no `provider_id`.
    func data(bytesMax: Int, names: ProviderNames) -> (bytes: [UInt8], isTruncated: Bool) {
        var parts = parts(names)
        let whole = encode(parts, message: parts.message, isTruncated: isCut)
        let bytesMax = max(bytesMax, JournalLine.bytesMin)
        if whole.count <= bytesMax { return (whole, isCut) }

        let message = parts.message.text
        let wanted = min(JournalText.escapedCount(message), JournalLine.messageBytesKept)
        func room() -> Int { bytesMax - encode(parts, message: .text([]), isTruncated: true).count }
        if room() < wanted { parts.fields = Array("{}".utf8) }
        if room() < wanted { parts.clipMembers(to: JournalLine.memberBytesMax) }
        return (encode(parts, message: .text(JournalText.cut(message, toEscaped: room())), isTruncated: true), true)
    }

    // MARK: taking apart

    /// A string of the line, as it will be written.
    private enum Text {
        /// A JSON literal, byte for byte.
        case literal([UInt8])
        /// Valid UTF-8.
        case text([UInt8])

        var text: [UInt8] {
            switch self {
            case .literal(let literal):
                // Escapes may stand for half a surrogate pair, which comes out as valid as everything.
                literal.withUnsafeBytes { JSONScanner.unescape($0) }
            case .text(let text): text
            }
        }

        func clipped(to escapedMax: Int) -> Text {
            let text = text
            return JournalText.escapedCount(text) <= escapedMax ? self : .text(JournalText.cut(text, toEscaped: escapedMax))
        }
    }

    private struct Parts {
        var level: Text
        var message: Text
        var component: Text?
        var providerID: Text?
        var requestID: Text?
        /// A JSON object.
        var fields: [UInt8]

        mutating func clipMembers(to escapedMax: Int) {
            level = level.clipped(to: escapedMax)
            component = component?.clipped(to: escapedMax)
            providerID = providerID?.clipped(to: escapedMax)
            requestID = requestID?.clipped(to: escapedMax)
        }
    }

    private func parts(_ names: ProviderNames) -> Parts {
        if let object = text.withUnsafeBytes(JournalLine.object) {
            return object.withUnsafeBytes { JournalLine.parts(of: $0, names) }
        }
        return Parts(
            level: .text(Array(JournalLine.level(ofPriority: priority).utf8)), message: .text(JournalText.plain(text)),
            fields: Array("{}".utf8))
    }

    /// Whether the text so far is a JSON object, whole.
    var isWholeObject: Bool {
        !isCut && text.last == UInt8(ascii: "}") && text.withUnsafeBytes { JournalLine.object($0) != nil }
    }

    /// The line without insignificant white space, if it is a JSON object and nothing else.
    private static func object(_ line: UnsafeRawBufferPointer) -> [UInt8]? {
        let start = JSONScanner.skipWhitespace(line, at: 0)
        guard start < line.count, line[start] == UInt8(ascii: "{") else { return nil }
        var object: [UInt8] = []
        // What is no JSON is text.
        guard let end = try? JSONScanner.compact(line, at: start, depthMax: depthMax, into: &object),
            JSONScanner.skipWhitespace(line, at: end) == line.count
        else { return nil }
        return object
    }

    private static func parts(of object: UnsafeRawBufferPointer, _ names: ProviderNames) -> Parts {
        var parts = Parts(level: .text(Array("info".utf8)), message: .text([]), fields: [UInt8(ascii: "{")])
        parts.fields.reserveCapacity(object.count)
        var seen: Set<[UInt8]> = []
        var provider: [UInt8]?
        JSONScanner.members(of: object) { key, value in
            let rawKey = UnsafeRawBufferPointer(rebasing: object[key])
            let name = JSONScanner.unescapeContent(rawKey)
            // The first of several equal keys counts, as everywhere in this project.
            guard seen.insert(name).inserted else { return }
            let raw = UnsafeRawBufferPointer(rebasing: object[value])
            let isString = raw.first == UInt8(ascii: "\"")
            switch String(decoding: name, as: UTF8.self) {
            case "message": return parts.message = isString ? .literal(Array(raw)) : .text(Array(raw))
            case "level" where isString: return parts.level = level(ofLiteral: raw)
            case "component" where isString: return parts.component = .literal(Array(raw))
            case "provider_id" where isString: return parts.providerID = .literal(Array(raw))
            case "request_id" where isString: return parts.requestID = .literal(Array(raw))
            case "provider" where isString: provider = JSONScanner.unescape(raw)
            default: break
            }
            if parts.fields.count > 1 { parts.fields.append(UInt8(ascii: ",")) }
            parts.fields.append(UInt8(ascii: "\""))
            parts.fields.append(contentsOf: rawKey)
            parts.fields.append(contentsOf: "\":".utf8)
            parts.fields.append(contentsOf: raw)
        }
        parts.fields.append(UInt8(ascii: "}"))
        if parts.providerID == nil, let provider, let id = names.id(of: String(decoding: provider, as: UTF8.self)) {
            parts.providerID = .text(Array(id.utf8))
        }
        return parts
    }

    private static func level(ofLiteral literal: UnsafeRawBufferPointer) -> Text {
        // Longer than all names, escapes included.
        guard literal.count <= 64 else { return .literal(Array(literal)) }
        switch String(decoding: JSONScanner.unescape(literal), as: UTF8.self).lowercased() {
        case "trace": return .text(Array("debug".utf8))
        case "warning": return .text(Array("warn".utf8))
        case let name where ["debug", "info", "warn", "error", "fatal", "panic"].contains(name): return .text(Array(name.utf8))
        default: return .literal(Array(literal))
        }
    }

    /// For lines that do not say it themselves. PRIORITY is 6 for whatever a service writes to its standard output, unless the
    /// line begins with `<N>`, so it means nothing for lines that do.
    private static func level(ofPriority priority: UInt8?) -> String {
        switch priority {
        case 0: "panic"
        case 1, 2: "fatal"
        case 3: "error"
        case 4: "warn"
        case 7: "debug"
        default: "info"
        }
    }

    // MARK: putting together

    private func encode(_ parts: Parts, message: Text, isTruncated: Bool) -> [UInt8] {
        var json = JSONWriter(reserving: parts.fields.count + text.count + 256)
        func member(_ key: StaticString, _ value: Text?) {
            guard let value else { return }
            json.key(key)
            switch value {
            case .literal(let literal): json.raw(literal)
            case .text(let text): json.string(utf8: text)
            }
        }
        json.beginObject()
        member("level", parts.level)
        member("message", message)
        member("component", parts.component)
        member("provider_id", parts.providerID)
        member("request_id", parts.requestID)
        json.key("fields")
        json.raw(parts.fields)
        json.key("timestamp")
        json.string(timestamp.rfc3339)
        if let unit {
            json.key("unit")
            json.string(unit)
        }
        json.key("source")
        json.string("journal")
        if isTruncated {
            json.key("truncated")
            json.bool(true)
        }
        json.endObject()
        return json.bytes
    }
}
