// A row of numbers as small bars.

/// Pure.
enum Sparkline {
    private static let blocks: [Unicode.Scalar] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
    private static let ascii: [Unicode.Scalar] = [" ", "_", ".", ":", "-", "=", "+", "*", "#"]

    /// Eighths that one row of cells has.
    static let levels = 8

    /// Heights in eighths of a row, from 0 to `rows` × 8. What is not nothing is at least one eighth; nil (nothing known) is 0.
    /// - Parameter top: the value of a full bar; what is above is cut. Not above 0: the largest value.
    static func heights(_ values: [Double?], rows: Int = 1, top: Double = 0) -> [Int] {
        let full = rows * levels
        let limit = top > 0 ? top : values.compactMap { $0 }.filter(\.isFinite).max() ?? 0
        return values.map { value in
            guard let value, value > 0, value.isFinite, limit > 0 else { return 0 }
            return min(full, max(1, Int((min(value / limit, 1) * Double(full)).rounded())))
        }
    }

    /// The sign for a bar in one of `rows` rows, 0 the lowest.
    static func sign(height: Int, row: Int, isUnicode: Bool) -> Unicode.Scalar {
        let part = min(max(height - row * levels, 0), levels)
        return isUnicode ? blocks[part] : ascii[part]
    }

    /// One row of signs.
    static func text(_ values: [Double?], isUnicode: Bool) -> String {
        var text = String.UnicodeScalarView()
        for height in heights(values) { text.append(sign(height: height, row: 0, isUnicode: isUnicode)) }
        return String(text)
    }
}
