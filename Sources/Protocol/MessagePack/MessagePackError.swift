// Where bytes stop being MessagePack, and why.

/// Why bytes are no MessagePack, or not such that JSON can say the same.
public struct MessagePackError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Bytes before the value that is meant, from the beginning of the input given.
    public let offset: Int
    /// What is wrong there.
    public let what: String

    public init(offset: Int, what: String) {
        self.offset = offset
        self.what = what
    }

    public var description: String { "\(what) at byte \(offset)" }
}
