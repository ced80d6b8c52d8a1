// What stands in one place of the screen, and how it looks.

/// A colour by its meaning in the theme: exact where the terminal can, else the nearest of what it has.
struct Color: Equatable, Sendable {
    let red: UInt8
    let green: UInt8
    let blue: UInt8
    /// Of the 16 basic colours, 0...15: those follow the theme of the user.
    let basic: UInt8

    /// The nearest of the 6×6×6 cube of 256 colours.
    var indexed: Int {
        func step(_ value: UInt8) -> Int { value < 48 ? 0 : value < 115 ? 1 : (Int(value) - 35) / 40 }
        return 16 + 36 * step(red) + 6 * step(green) + step(blue)
    }
}

/// The look of a cell. Without colours, `isBold`, `isFaint` and `isReversed` are all that is left.
struct Style: Equatable, Sendable {
    /// Nil: the terminal's own.
    var foreground: Color?
    var background: Color?
    var isBold = false
    var isFaint = false
    var isReversed = false

    static let plain = Style()
    static let bold = Style(isBold: true)
    static let faint = Style(isFaint: true)

    var bold: Style {
        var style = self
        style.isBold = true
        return style
    }
}

/// One place of the grid.
struct Cell: Equatable, Sendable {
    enum Part: Equatable, Sendable {
        case narrow
        /// The left half of a character that takes two places.
        case wide
        /// The right half; its look is that of the left one, and it holds a blank.
        case behindWide
    }

    var scalar: Unicode.Scalar = " "
    /// A mark of no width on top of it. One at most: texts of hundreds of marks are meant to break screens.
    var mark: Unicode.Scalar?
    var part = Part.narrow
    var style = Style.plain

    static let blank = Cell()
}
