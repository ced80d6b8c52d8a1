// What every event has, whatever it tells.

import Base

/// A moment in time, to the microsecond; `rfc3339` is its text.
public typealias Instant = Base.Instant

/// One message of the daemon that tells something.
public protocol StreamEvent: Sendable, Equatable {
    /// The place in the daemon's stream; nil for states, and for events that were read from the gateway's database or journal.
    var id: EventID? { get }
    /// RFC 3339 in UTC with milliseconds, as the daemon wrote it: when it happened, live or replayed. Empty where there was none.
    var timestamp: String { get }
    /// The whole message as it came.
    var rawJSON: String { get }
}

extension StreamEvent {
    /// `timestamp` as a number; nil where it is none.
    public var instant: Instant? { Instant(parsing: timestamp) }
}

/// The id of an event, `<epoch>-<sequence>`. The epoch changes with every start of the daemon; within one the sequence grows.
public struct EventID: Sendable, Hashable, CustomStringConvertible {
    /// As the daemon wrote it; what `since` takes.
    public let text: String

    public init(_ text: String) { self.text = text }

    public var description: String { text }

    /// What stands before the last hyphen; nil for a text of another shape.
    public var epoch: String? { parts?.epoch }
    /// What stands behind it.
    public var sequence: UInt64? { parts?.sequence }

    private var parts: (epoch: String, sequence: UInt64)? {
        guard let hyphen = text.lastIndex(of: "-"), hyphen > text.startIndex, let sequence = UInt64(text[text.index(after: hyphen)...]) else { return nil }
        return (String(text[..<hyphen]), sequence)
    }
}
