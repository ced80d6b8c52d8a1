// The shipped config.yaml, made from the table.

/// Text of `/etc/goleapai-ws/config.yaml`: every key commented out, at its default.
///
/// Section headings are not commented out, so that a key below needs only its `#` removed.
public enum SampleConfig {
    private static let columnsMax = 100

    /// What holds for all keys, also in the manual page.
    public static let rules = [
        "`goleapai-ws check-config` says what is wrong, and where.",
        "Each key can be set in the environment too, and wins over this file there: websocket.max_clients is GOLEAPAI_WS_WEBSOCKET_MAX_CLIENTS; the elements of lists are separated by commas.",
        "Durations are written like 500ms, 30s, 5m, 1h.",
    ]

    public static var text: String {
        var out = "# Configuration of goleapai-ws. Every key is shown at its default; remove the # to change it.\n"
        for (number, rule) in rules.enumerated() { out += (number == 1 ? "#\n" : "") + comment(rule, "") }
        var open: [String] = []
        for setting in Setting.all {
            let path = setting.key.split(separator: ".").map(String.init)
            for depth in 0..<(path.count - 1) where open.count <= depth || open[depth] != path[depth] {
                open = Array(path[...depth])
                let heading = open.joined(separator: ".")
                let indent = String(repeating: "  ", count: depth)
                out += depth == 0 ? "\n" : ""
                out += comment(Setting.sections.first { $0.key == heading }?.sentence ?? "", indent)
                out += "\(indent)\(path[depth]):\n"
            }
            open = Array(path.dropLast())
            let indent = String(repeating: "  ", count: path.count - 1)
            out += comment(setting.explanation, indent)
            out += "\(indent)#\(path[path.count - 1]): \(setting.defaultText)\n"
        }
        return out
    }

    /// A sentence as comment lines of readable length.
    private static func comment(_ sentence: String, _ indent: String) -> String {
        var lines: [String] = []
        var line = ""
        for word in sentence.split(separator: " ") {
            if !line.isEmpty, indent.count + 3 + line.count + word.count > columnsMax {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? String(word) : " \(word)"
        }
        if !line.isEmpty { lines.append(line) }
        return lines.map { "\(indent)# \($0)\n" }.joined()
    }

    /// A value as one would write it in the file.
    static func yaml(_ value: SettingValue) -> String {
        switch value {
        case .boolean(let value): value ? "true" : "false"
        case .integer(let value): "\(value)"
        case .duration(let value): DurationText.format(value)
        case .text(let value): scalar(value)
        case .list(let values): "[\(values.map(scalar).joined(separator: ", "))]"
        }
    }

    private static func scalar(_ text: String) -> String {
        let isSafe = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 48...57: true
            default: "/._-".utf8.contains(byte)
            }
        }
        let isSpecial = ["", "~", "null", "true", "false", "-"].contains(text)
        if isSafe, !isSpecial { return text }
        return "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\""
    }
}

extension Setting {
    /// What it does, and what is allowed.
    public var explanation: String { sentence + range }

    /// Its default as one would write it in the file.
    public var defaultText: String { SampleConfig.yaml(read(Settings())) }

    private var range: String {
        switch kind {
        case .integer(let range, let unit): " \(range.lowerBound) to \(range.upperBound)\(unit.isEmpty ? "" : " \(unit)")."
        case .duration(let range, _): " \(DurationText.format(range.lowerBound)) to \(DurationText.format(range.upperBound))."
        case .choice(let words) where words.count > 1: " One of \(words.joined(separator: ", "))."
        default: ""
        }
    }
}
