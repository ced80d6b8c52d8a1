// Where a JSON text goes wrong, and what would have been right.

/// Why a text is no JSON (RFC 8259), or not one that is accepted here.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Bytes before the place, from the beginning of the input given.
    public let offset: Int
    /// What is wrong there.
    public let what: String

    public init(offset: Int, what: String) {
        self.offset = offset
        self.what = what
    }

    public var description: String { "\(what) at byte \(offset)" }
}
