// A manual page being written, in the man(7) macros. Texts come in as plain words; what stands between `backquotes` is bold.

import Base

struct Roff {
    private(set) var text: String

    /// The date of a page is left empty, the version says enough: the same sources make the same pages.
    /// - Parameter section: as in `man 5 goleapai-ws.yaml`.
    init(_ name: String, section: Int, summary: String) {
        let title = Roff.escaped(name.uppercased())
        text = """
            .TH "\(title)" "\(section)" "" "\(Roff.escaped("\(Version.name) \(Version.number)"))" "\(Roff.escaped(Version.name)) manual"
            .nh
            .ad l

            """
        heading("NAME")
        text += "\(Roff.escaped(name)) \\- \(Roff.escaped(summary))\n"
    }

    mutating func heading(_ words: String) { text += ".SH \"\(Roff.escaped(words))\"\n" }

    mutating func subheading(_ words: String) { text += ".SS \"\(Roff.escaped(words))\"\n" }

    /// Paragraphs, with an empty line between two. One whose lines are all command lines is shown as it stands.
    mutating func paragraphs(_ words: String, afterHeading: Bool = false) {
        var isFirst = afterHeading
        for paragraph in Roff.split(words) {
            if paragraph.allSatisfy(Roff.isExample) {
                example(paragraph, afterHeading: isFirst)
            } else {
                text += isFirst ? "" : ".PP\n"
                text += Roff.wrapped(paragraph.joined(separator: " "))
            }
            isFirst = false
        }
    }

    mutating func example(_ lines: [String], afterHeading: Bool = false) {
        text +=
            (afterHeading ? "" : ".PP\n") + ".RS 4\n.nf\n" + lines.map { "\(Roff.guarded(Roff.escaped($0)))\n" }.joined()
            + ".fi\n.RE\n"
    }

    /// What is explained, and the explanation. A second paragraph of it stays indented.
    mutating func item(_ term: String, _ words: String) {
        text += ".TP\n\(Roff.guarded(Roff.inline(term)))\n"
        for (number, paragraph) in Roff.split(words).enumerated() {
            if number > 0 { text += ".IP\n" }
            text += Roff.wrapped(paragraph.joined(separator: " "))
        }
    }

    /// One line that is not wrapped, such as of a synopsis.
    mutating func line(_ words: String) { text += "\(Roff.guarded(Roff.inline(words)))\n" }

    mutating func lineBreak() { text += ".br\n" }

    /// `name(1), name(5)`
    mutating func seeAlso(_ pages: [String]) {
        heading("SEE ALSO")
        let references = pages.map { page in
            let parts = page.split(separator: "(", maxSplits: 1)
            return ".BR \(Roff.escaped(String(parts[0]))) (\(parts[1])"
        }
        text += references.joined(separator: " ,\n") + "\n"
    }

    private static func split(_ words: String) -> [[String]] {
        words.split(separator: "\n", omittingEmptySubsequences: false).split(separator: "").map { $0.map(String.init) }
    }

    private static func isExample(_ line: String) -> Bool { line.hasPrefix("\(Version.name) ") || line.hasPrefix("  ") }

    /// Lines of at most 79 columns, as source of a manual page should have.
    private static func wrapped(_ words: String) -> String {
        var lines: [String] = []
        var line = ""
        for word in inline(words).split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > 79 {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? String(word) : " \(word)"
        }
        if !line.isEmpty { lines.append(line) }
        return lines.map { "\(guarded($0))\n" }.joined()
    }

    /// A line that begins with a dot would be a macro.
    private static func guarded(_ line: String) -> String { line.hasPrefix(".") || line.hasPrefix("'") ? "\\&\(line)" : line }

    private static func inline(_ words: String) -> String {
        words.split(separator: "`", omittingEmptySubsequences: false).enumerated().map { number, part in
            number % 2 == 0 ? escaped(String(part)) : "\\fB\(escaped(String(part)))\\fR"
        }.joined()
    }

    /// Characters as themselves: without this a hyphen cannot be copied from the page as an option, and quotes become curly.
    static func escaped(_ words: String) -> String {
        var out = ""
        for scalar in words.unicodeScalars {
            switch scalar {
            case "\\": out += "\\e"
            case "-": out += "\\-"
            case "'": out += "\\(aq"
            case "`": out += "\\(ga"
            case "^": out += "\\(ha"
            case "~": out += "\\(ti"
            case "\"": out += "\\(dq"
            case "…": out += "..."
            case _ where scalar.isASCII: out.unicodeScalars.append(scalar)
            default: out += "\\[u\(String(repeating: "0", count: max(0, 4 - hex(scalar).count)))\(hex(scalar))]"
            }
        }
        return out
    }

    private static func hex(_ scalar: Unicode.Scalar) -> String { String(scalar.value, radix: 16, uppercase: true) }
}
