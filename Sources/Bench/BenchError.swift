// Why a bench cannot go on, as a sentence.

/// A run that came to nothing. The sentence says what happened, with which input, and what would be right.
public struct BenchError: Error, Equatable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}
