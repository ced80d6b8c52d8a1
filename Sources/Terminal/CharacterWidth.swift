// How many places of a terminal a character takes, and which characters must never get there.

/// What a terminal does with one scalar of a text.
enum CharacterWidth: Equatable, Sendable {
    /// Not shown: a control or format character, which could move the cursor, turn the direction of the text, or start a command.
    case forbidden
    /// Shown on top of what stands before it.
    case zero
    case one
    case two

    /// By the Unicode properties that terminals go by (UAX #11, wcwidth(3)).
    init(of scalar: Unicode.Scalar) {
        let value = scalar.value
        if value >= 0x20, value < 0x7F {
            self = .one
            return
        }
        switch value {
        case 0..<0x20, 0x7F..<0xA0, 0xAD: self = .forbidden
        case 0x1160...0x11FF, 0xFE00...0xFE0F, 0xE0100...0xE01EF: self = .zero
        default:
            switch scalar.properties.generalCategory {
            case .control, .format, .surrogate, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse: self = .forbidden
            case .nonspacingMark, .enclosingMark: self = .zero
            default: self = CharacterWidth.isWide(value) ? .two : .one
            }
        }
    }

    /// East Asian Wide and Fullwidth, and emoji that are shown as pictures; ranges in ascending order.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x231A...0x231B, 0x2329...0x232A, 0x23E9...0x23EC, 0x23F0...0x23F0, 0x23F3...0x23F3, 0x25FD...0x25FE,
        0x2614...0x2615, 0x2648...0x2653, 0x267F...0x267F, 0x2693...0x2693, 0x26A1...0x26A1, 0x26AA...0x26AB, 0x26BD...0x26BE,
        0x26C4...0x26C5, 0x26CE...0x26CE, 0x26D4...0x26D4, 0x26EA...0x26EA, 0x26F2...0x26F3, 0x26F5...0x26F5, 0x26FA...0x26FA,
        0x26FD...0x26FD, 0x2705...0x2705, 0x270A...0x270B, 0x2728...0x2728, 0x274C...0x274C, 0x274E...0x274E, 0x2753...0x2755,
        0x2757...0x2757, 0x2795...0x2797, 0x27B0...0x27B0, 0x27BF...0x27BF, 0x2B1B...0x2B1C, 0x2B50...0x2B50, 0x2B55...0x2B55,
        0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3,
        0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x16FE0...0x18CFF, 0x1AFF0...0x1B2FF,
        0x1F004...0x1F004, 0x1F0CF...0x1F0CF, 0x1F18E...0x1F18E, 0x1F191...0x1F19A, 0x1F200...0x1F320, 0x1F32D...0x1F335,
        0x1F337...0x1F37C, 0x1F37E...0x1F393, 0x1F3A0...0x1F3CA, 0x1F3CF...0x1F3D3, 0x1F3E0...0x1F3F0, 0x1F3F4...0x1F3F4,
        0x1F3F8...0x1F43E, 0x1F440...0x1F440, 0x1F442...0x1F4FC, 0x1F4FF...0x1F53D, 0x1F54B...0x1F54E, 0x1F550...0x1F567,
        0x1F57A...0x1F57A, 0x1F595...0x1F596, 0x1F5A4...0x1F5A4, 0x1F5FB...0x1F64F, 0x1F680...0x1F6C5, 0x1F6CC...0x1F6CC,
        0x1F6D0...0x1F6D2, 0x1F6D5...0x1F6D7, 0x1F6DC...0x1F6DF, 0x1F6EB...0x1F6EC, 0x1F6F4...0x1F6FC, 0x1F7E0...0x1F7EB,
        0x1F7F0...0x1F7F0, 0x1F90C...0x1F93A, 0x1F93C...0x1F945, 0x1F947...0x1F9FF, 0x1FA70...0x1FAFF, 0x20000...0x2FFFD,
        0x30000...0x3FFFD,
    ]

    private static func isWide(_ value: UInt32) -> Bool {
        guard value >= 0x1100 else { return false }
        var low = 0
        var high = wide.count
        while low < high {
            let middle = (low + high) / 2
            if wide[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low < wide.count && wide[low].contains(value)
    }
}

/// Foreign text as it may stand in one line of a screen, or of a snapshot on standard output.
enum SafeText {
    /// What stands for a character that must not get to a terminal.
    static func replacement(isUnicode: Bool) -> Unicode.Scalar { isUnicode ? "·" : "?" }

    /// One line: line breaks and tabs are blanks, and what a terminal would obey, or a terminal without UTF-8 not understand, is replaced.
    static func line(_ text: String, isUnicode: Bool = true) -> String {
        var line = String.UnicodeScalarView()
        forEach(text, isUnicode: isUnicode) { scalar, _ in line.append(scalar) }
        return String(line)
    }

    /// Places that the text takes.
    static func width(_ text: String, isUnicode: Bool = true) -> Int {
        var width = 0
        forEach(text, isUnicode: isUnicode) { _, size in width += size == .two ? 2 : size == .one ? 1 : 0 }
        return width
    }

    /// Calls `body` with each scalar that may be shown and its width, which is never `.forbidden`.
    static func forEach(_ text: String, isUnicode: Bool, _ body: (Unicode.Scalar, CharacterWidth) -> Void) {
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n", "\r", "\t": body(" ", .one)
            case _ where !isUnicode && !scalar.isASCII: ascii(scalar, body)
            default:
                let width = CharacterWidth(of: scalar)
                // Variation selectors make one and the same terminal change its mind about widths.
                if width == .zero, (0xFE00...0xFE0F).contains(scalar.value) || scalar.value >= 0xE0100 { continue }
                if width == .forbidden { body(replacement(isUnicode: isUnicode), .one) } else { body(scalar, width) }
            }
        }
    }

    /// The signs that the dashboard itself uses have their likes in ASCII.
    private static func ascii(_ scalar: Unicode.Scalar, _ body: (Unicode.Scalar, CharacterWidth) -> Void) {
        switch scalar {
        case "·", "•": body(".", .one)
        case "…": body("~", .one)
        case "–", "—", "─": body("-", .one)
        case "│": body("|", .one)
        case "×": body("x", .one)
        case "↑", "▲": body("^", .one)
        case "↓", "▼": body("v", .one)
        case "→", "›": body(">", .one)
        case "←": body("<", .one)
        case "‖": body("=", .one)
        case "●": body("*", .one)
        case "◐": body("!", .one)
        case "✖": body("x", .one)
        case "○": body("o", .one)
        default:
            switch CharacterWidth(of: scalar) {
            case .zero: break
            case .two:
                body("?", .one)
                body("?", .one)
            default: body("?", .one)
            }
        }
    }

    /// The first bytes of a text, whole characters of UTF-8: what is kept of a text that others may make as long as they like.
    static func prefix(_ text: String, bytes: Int) -> String {
        guard text.utf8.count > bytes else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: bytes)
        while end > text.startIndex, text.utf8[end] & 0xC0 == 0x80 { end = text.utf8.index(before: end) }
        // The rest of a large text must not stay alive behind a slice of it.
        return String(String.UnicodeScalarView(text.unicodeScalars[..<end])) + "…"
    }
}
