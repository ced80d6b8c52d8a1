// From the text of one value to the value, and the sentences for those that are wrong.

/// A value as the table knows it, before it has its place in `Settings`.
public enum SettingValue: Equatable, Sendable {
    case boolean(Bool)
    case integer(Int)
    case duration(Duration)
    case text(String)
    case list([String])
}

/// What values a setting takes.
public enum SettingKind: Sendable {
    case boolean
    /// `unit` is the plural of what is counted, or empty where nothing is (ports).
    case integer(ClosedRange<Int>, unit: String)
    /// `step`: it must be a multiple of this.
    case duration(ClosedRange<Duration>, step: Duration)
    case text(TextRule)
    case choice([String])
    /// Each element obeys the rule; one value without brackets is a list of one.
    case list(TextRule)
}

/// Checks a text and puts it into its normal form.
public typealias TextRule = @Sendable (String) -> TextVerdict

public enum TextVerdict: Equatable, Sendable {
    case fine(String)
    /// The end of an error message that begins with the quoted value: `is not an IP address`.
    case wrong(String)
}

/// A sentence about a value.
struct ValueError: Error, Equatable {
    let message: String
}

extension SettingKind {
    /// The value in a node of the configuration file.
    func value(of node: YAMLNode) throws(ValueError) -> SettingValue {
        switch node.content {
        case .mapping: throw ValueError(message: "is a section; wanted is \(expectation)")
        case .sequence(let elements):
            guard case .list(let rule) = self else { throw ValueError(message: "is a list; wanted is \(expectation)") }
            var texts: [String] = []
            for element in elements {
                guard case .scalar(let text, _) = element.content, !element.isNull else {
                    throw ValueError(message: "has an element that is not a text; wanted is \(expectation)")
                }
                texts.append(try SettingKind.check(text, rule))
            }
            return .list(texts)
        case .scalar(let text, let isPlain):
            if node.isNull { throw ValueError(message: "has no value; wanted is \(expectation)") }
            if !isPlain {
                switch self {
                case .integer, .boolean: throw ValueError(message: "\(quoted(text)) is a text; write it without quotes")
                default: break
                }
            }
            if case .list(let rule) = self { return .list([try SettingKind.check(text, rule)]) }
            return try value(of: text)
        }
    }

    /// The value in a text from the environment or the command line; lists are separated by commas.
    func value(of text: String) throws(ValueError) -> SettingValue {
        switch self {
        case .boolean:
            switch text {
            case "true", "True", "TRUE": return .boolean(true)
            case "false", "False", "FALSE": return .boolean(false)
            default: throw ValueError(message: "\(quoted(text)) is neither true nor false")
            }
        case .integer(let range, let unit):
            return .integer(try SettingKind.integer(text, range, unit))
        case .duration(let range, let step):
            return .duration(try SettingKind.duration(text, range, step))
        case .text(let rule): return .text(try SettingKind.check(text, rule))
        case .choice(let words):
            guard words.contains(text) else {
                throw ValueError(message: "\(quoted(text)) is none of \(words.joined(separator: ", "))")
            }
            return .text(text)
        case .list(let rule):
            var texts: [String] = []
            for part in text.split(separator: ",") {
                texts.append(try SettingKind.check(String(part.trimmed), rule))
            }
            return .list(texts)
        }
    }

    /// What would be right, in a few words.
    public var expectation: String {
        switch self {
        case .boolean: "true or false"
        case .integer(let range, let unit):
            "a whole number\(unit.isEmpty ? "" : " of \(unit)"), \(range.lowerBound) to \(range.upperBound)"
        case .duration(let range, _):
            "a duration, \(DurationText.format(range.lowerBound)) to \(DurationText.format(range.upperBound))"
        case .text: "a text"
        case .choice(let words): "one of \(words.joined(separator: ", "))"
        case .list: "a list such as [a, b]"
        }
    }

    private static func integer(_ text: String, _ range: ClosedRange<Int>, _ unit: String) throws(ValueError) -> Int {
        let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }) else {
            throw ValueError(
                message: "\(quoted(text)) is not a whole number; allowed are \(range.lowerBound) to \(range.upperBound)")
        }
        // Digits that are no Int are a number all the same, and too big.
        let number = Int(text) ?? (text.hasPrefix("-") ? .min : .max)
        if range.contains(number) { return number }
        let fault = unit.isEmpty ? "out of range" : number < range.lowerBound ? "too few \(unit)" : "too many \(unit)"
        throw ValueError(
            message: "\(shortened(text)) is \(fault); allowed are \(range.lowerBound) to \(range.upperBound)")
    }

    private static func duration(_ text: String, _ range: ClosedRange<Duration>, _ step: Duration) throws(ValueError) -> Duration {
        guard let duration = DurationText.parse(text) else {
            let hint = Int(text) != nil ? "\(shortened(text)) has no unit" : "\(quoted(text)) is not a duration"
            throw ValueError(message: "\(hint); write it like 500ms, 30s, 5m or 1h")
        }
        guard range.contains(duration) else {
            let fault = duration < range.lowerBound ? "too short" : "too long"
            throw ValueError(
                message: "\(shortened(text)) is \(fault); allowed are \(DurationText.format(range.lowerBound)) "
                    + "to \(DurationText.format(range.upperBound))")
        }
        guard duration.wholeMilliseconds % step.wholeMilliseconds == 0 else {
            throw ValueError(message: "\(shortened(text)) is not a multiple of \(DurationText.format(step))")
        }
        return duration
    }

    private static func check(_ text: String, _ rule: TextRule) throws(ValueError) -> String {
        switch rule(text) {
        case .fine(let normal): return normal
        case .wrong(let fault): throw ValueError(message: "\(quoted(text)) \(fault)")
        }
    }
}

/// A value in quotes for a message, on one line, not endless, and without passwords.
func quoted(_ text: String) -> String {
    let visible = String(withoutPasswords(text).unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : Character($0) })
    return "\"\(shortened(visible))\""
}

private func shortened(_ text: String) -> String { text.count > 80 ? "\(text.prefix(80))…" : text }

extension StringProtocol {
    /// Without blanks and tabs at both ends.
    var trimmed: SubSequence {
        let rest = drop { $0 == " " || $0 == "\t" }
        guard let last = rest.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return rest }
        return rest[...last]
    }
}
