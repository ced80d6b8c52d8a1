// What a client says of where its events are to begin: `since` and `history`.

import Base
import Protocol
import Host

/// A wish for events of before. As it came; what an id means is found out when it is carried out.
public struct ReplayRequest: Sendable, Equatable {
    public enum Since: Sendable, Equatable {
        /// Everything behind this id.
        case id(epoch: String, sequence: UInt64)
        /// Everything from this instant on.
        case instant(Instant)
        /// Everything of the last so many milliseconds.
        case ago(milliseconds: Int64)
    }
    public var since: Since?
    /// Only the last so many of these.
    public var last: Int?

    public init(since: Since? = nil, last: Int? = nil) {
        self.since = since
        self.last = last
    }

    /// Reads `since`: an id (`mwt79l6s-1045`), a duration (`15m`, `1h30m`), or an instant of RFC 3339.
    /// - Returns: nil for anything else.
    public static func since(_ text: String) -> Since? {
        guard text.utf8.count <= 64 else { return nil }
        if let duration = DurationText.parse(text) { return .ago(milliseconds: duration.wholeMilliseconds) }
        if let instant = instant(text) { return .instant(instant) }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, (1...16).contains(parts[0].utf8.count), (1...20).contains(parts[1].utf8.count),
            parts[0].utf8.allSatisfy({ (48...57).contains($0) || (97...122).contains($0) }),
            parts[1].utf8.allSatisfy({ (48...57).contains($0) })
        else { return nil }
        // More than fits is an id of the future.
        return .id(epoch: String(parts[0]), sequence: UInt64(parts[1]) ?? .max)
    }

    /// An instant whose offset may have lost its `+` on the way through an address, where that means a blank.
    private static func instant(_ text: String) -> Instant? {
        var bytes = Array(text.utf8)
        // Neither the dates of the database, which have a blank in the middle, nor a date alone.
        guard bytes.count >= 20, bytes[10] == UInt8(ascii: "T") || bytes[10] == UInt8(ascii: "t") else { return nil }
        if bytes.count >= 25, bytes[bytes.count - 6] == UInt8(ascii: " ") { bytes[bytes.count - 6] = UInt8(ascii: "+") }
        guard let last = bytes.last, last == UInt8(ascii: "Z") || last == UInt8(ascii: "z") || [43, 45].contains(bytes[bytes.count - 6])
        else { return nil }
        return Instant(parsing: bytes)
    }

    /// Reads `history`: a whole number.
    public static func last(_ text: String) -> Int? {
        guard (1...9).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int(text)
    }

    /// What is wrong with a `since`, and what would be right.
    public static func sinceError(_ text: String) -> String {
        "since '\(ForeignText.shown(text))' is neither an id of an event, nor a duration such as 15m, nor an instant such as 2026-02-05T10:30:00Z"
    }
    public static func lastError(_ text: String) -> String { "history '\(ForeignText.shown(text))' is not a whole number from 0 to 999999999" }
}
