// Event ids: `<epoch>-<sequence>`.

import Base

/// The part of an id that changes with every start of the daemon: the start's instant in base 36.
public struct Epoch: Sendable, Hashable, CustomStringConvertible {
    public let description: String
    let utf8: [UInt8]

    public init(_ start: Instant) {
        description = String(UInt64(clamping: start.milliseconds), radix: 36)
        utf8 = Array(description.utf8)
    }

    /// The id of an event, as text.
    public func id(_ sequence: UInt64) -> String { "\(description)-\(sequence)" }
}
