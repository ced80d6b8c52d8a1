// Durations as the gateway writes them (Go's time.ParseDuration): `30s`, `1h30m`, `500ms`.

public enum DurationText {
    private static let units: [(suffix: String, milliseconds: Int64)] = [
        ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000),
    ]

    /// Reads whole numbers with units, biggest or smallest first, added up. A bare `0` is a duration too, as in Go.
    ///
    /// - Returns: nil for anything else, and for what does not fit in 64 bits of milliseconds.
    public static func parse(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        var rest = Substring(text)
        var total: Int64 = 0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            let suffix = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(suffix.count)
            guard let number = Int64(digits), let unit = units.first(where: { $0.suffix == suffix }) else { return nil }
            let (part, tooBig) = number.multipliedReportingOverflow(by: unit.milliseconds)
            let (sum, overflow) = total.addingReportingOverflow(part)
            if tooBig || overflow { return nil }
            total = sum
        }
        return .milliseconds(total)
    }

    /// The shortest text with one unit that `parse` reads back; parts of a millisecond are cut.
    static func format(_ duration: Duration) -> String {
        let milliseconds = duration.wholeMilliseconds
        guard let unit = units.last(where: { milliseconds % $0.milliseconds == 0 && milliseconds != 0 }) else { return "0s" }
        return "\(milliseconds / unit.milliseconds)\(unit.suffix)"
    }
}

extension Duration {
    /// Whole milliseconds, cut; saturates at the ends of Int64.
    public var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        let (sum, overflowOfSum) = product.addingReportingOverflow(attoseconds / 1_000_000_000_000_000)
        return overflow || overflowOfSum ? (seconds < 0 ? .min : .max) : sum
    }
}
