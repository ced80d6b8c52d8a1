// The looks of the dashboard: one name per meaning.

/// Looks for a terminal with colours, and for one without. A value.
struct TopTheme {
    let hasColors: Bool

    private static let green = Color(red: 118, green: 196, blue: 100, basic: 2)
    private static let yellow = Color(red: 226, green: 178, blue: 72, basic: 3)
    private static let red = Color(red: 236, green: 96, blue: 94, basic: 1)
    private static let cyan = Color(red: 92, green: 190, blue: 204, basic: 6)
    private static let violet = Color(red: 172, green: 146, blue: 232, basic: 5)
    private static let white = Color(red: 240, green: 244, blue: 248, basic: 15)
    private static let black = Color(red: 10, green: 20, blue: 26, basic: 0)
    private static let night = Color(red: 36, green: 52, blue: 71, basic: 4)
    private static let sea = Color(red: 76, green: 174, blue: 190, basic: 6)
    private static let slate = Color(red: 58, green: 76, blue: 98, basic: 4)

    private func colored(_ color: Color, isBold: Bool = false) -> Style {
        hasColors ? Style(foreground: color, isBold: isBold) : Style(isBold: isBold)
    }

    var good: Style { colored(TopTheme.green) }
    var warning: Style { hasColors ? Style(foreground: TopTheme.yellow) : .bold }
    var bad: Style { hasColors ? Style(foreground: TopTheme.red, isBold: true) : Style(isBold: true) }
    var accent: Style { colored(TopTheme.cyan) }
    var quiet: Style { .faint }
    var latency: Style { colored(TopTheme.violet) }
    var number: Style { colored(TopTheme.white, isBold: true) }

    /// First line of the screen.
    var header: Style { hasColors ? Style(foreground: TopTheme.white, background: TopTheme.night) : Style(isReversed: true) }
    /// Headings of a pane, and of the one that the arrows move in.
    var heading: Style { hasColors ? Style(foreground: TopTheme.white, background: TopTheme.slate) : Style(isReversed: true) }
    var focusedHeading: Style {
        hasColors ? Style(foreground: TopTheme.black, background: TopTheme.sea, isBold: true) : Style(isBold: true, isReversed: true)
    }
    var selected: Style { hasColors ? Style(foreground: TopTheme.white, background: TopTheme.slate) : Style(isReversed: true) }
    /// A mark that must not be missed.
    var alarm: Style {
        hasColors ? Style(foreground: TopTheme.black, background: TopTheme.yellow, isBold: true) : Style(isBold: true, isReversed: true)
    }
    /// A key in the last line.
    var key: Style { hasColors ? Style(foreground: TopTheme.cyan, isBold: true) : .bold }

    /// The colour of a bar by how full it is.
    func bar(_ share: Double, _ kind: Style) -> Style {
        share > 0.85 ? kind.bold : kind
    }
}
