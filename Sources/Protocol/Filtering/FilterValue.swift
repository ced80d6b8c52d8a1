// What a filter's parameter may be: read by the daemon, which judges, and by clients that judge again what several of them share.

/// A parameter that was refused; the text says which, what came and what is right.
public struct FilterError: Error, Equatable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// The values of filters, from their text. Any thread.
public enum FilterValue {
    /// Values of a list, at most; and bytes of one value, or of a text that is searched for.
    public static let valuesMax = 64
    public static let bytesMax = 256

    /// Digits and nothing else.
    public static func whole(_ text: String) -> Int64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
        return Int64(text)
    }

    /// Values with commas between them, sorted.
    public static func list(_ name: String, _ text: String) throws(FilterError) -> [[UInt8]] {
        let items = text.split(separator: ",", omittingEmptySubsequences: false)
        guard items.count <= valuesMax, items.allSatisfy({ !$0.isEmpty && $0.utf8.count <= bytesMax }) else {
            throw FilterError("\(name) '\(ForeignText.shown(text))' is not a list of 1 to \(valuesMax) values with commas between them")
        }
        // Sorted, so that equal wishes written in another order share one group.
        return Set(items.map { Array($0.utf8) }).sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// Bits of severities: of one name that and worse, of several exactly these.
    public static func severities(_ text: String) throws(FilterError) -> UInt8 {
        let names = text.split(separator: ",", omittingEmptySubsequences: false)
        var bits: UInt8 = 0
        for name in names {
            guard let severity = Array(name.utf8).withUnsafeBytes({ Severity(name: $0) }) else {
                throw FilterError("level '\(ForeignText.shown(text))' is not made of debug, info, warn, error, fatal, panic")
            }
            bits |= names.count == 1 ? severity.andWorse : severity.bit
        }
        return bits
    }

    /// A text that is searched for in any case, as `TextSearch.fold` makes it.
    public static func search(_ name: String, _ text: String) throws(FilterError) -> [UInt8] {
        guard text.utf8.count <= bytesMax else { throw FilterError("\(name) is longer than \(bytesMax) bytes") }
        return Array(TextSearch.fold(text).utf8)
    }
}
