// What the terminal can show, by what the environment says of it.

/// Any thread; a value.
struct TerminalCapabilities: Equatable, Sendable {
    enum Colors: Equatable, Sendable, Comparable {
        case none
        case basic16
        case indexed256
        case exact
    }

    var colors: Colors
    /// Whether it shows UTF-8; else ASCII only is drawn.
    var isUnicode: Bool
    /// Whether it moves a cursor at all.
    var isAddressable: Bool

    /// By TERM, COLORTERM, NO_COLOR (no-color.org: set and not empty), and LC_ALL, LC_CTYPE, LANG in the order of setlocale(3).
    init(environment: [String: String]) {
        let term = environment["TERM"] ?? ""
        isAddressable = !term.isEmpty && term != "dumb"
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].compactMap { environment[$0] }.first { !$0.isEmpty } ?? ""
        let codeset = locale.split(separator: "@").first.map { $0.lowercased() } ?? ""
        isUnicode = codeset.hasSuffix(".utf-8") || codeset.hasSuffix(".utf8")
        // The console of Linux has a font of at most 512 signs: of those that we draw, half would be missing.
        if term == "linux" { isUnicode = false }
        if let wish = environment["NO_COLOR"], !wish.isEmpty {
            colors = .none
        } else if !isAddressable || term.hasPrefix("vt") {
            colors = .none
        } else if ["truecolor", "24bit"].contains(environment["COLORTERM"]?.lowercased()) || term.hasSuffix("-direct") {
            colors = .exact
        } else if term.contains("256color") || term.hasPrefix("alacritty") || term.hasPrefix("xterm-kitty") || term.hasPrefix("foot") {
            colors = .indexed256
        } else {
            colors = .basic16
        }
    }

    init(colors: Colors, isUnicode: Bool) {
        self.colors = colors
        self.isUnicode = isUnicode
        isAddressable = true
    }
}
