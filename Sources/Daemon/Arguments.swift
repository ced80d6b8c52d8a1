// The words after the command, sorted into options and operands.

import Host

/// A command line that makes no sense: exit code 2.
struct UsageError: Error, Equatable {
    let message: String
}

struct Arguments: Equatable {
    /// Values by option name; options without a value have an empty one.
    private(set) var values: [String: String] = [:]
    private(set) var operands: [String] = []

    /// Takes `--name value`, `--name=value` and, behind `--`, operands that look like options. The last of several counts.
    init(parsing words: [String], for command: Command) throws(UsageError) {
        var words = words[...]
        var takesOptions = true
        while let word = words.popFirst() {
            if takesOptions, word == "--" {
                takesOptions = false
            } else if takesOptions, word.hasPrefix("-"), word != "-" {
                let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                guard let option = command.options.first(where: { $0.name == parts[0] }) else {
                    let near = Suggestion.nearest(to: parts[0], among: command.options.map(\.name))
                    throw UsageError(message: "unknown option \(parts[0])\(near.map { "; did you mean \($0)?" } ?? "")")
                }
                if option.value == nil {
                    guard parts.count == 1 else { throw UsageError(message: "\(option.name) takes no value") }
                    values[option.name] = ""
                } else if parts.count == 2 {
                    values[option.name] = parts[1]
                } else if let value = words.popFirst() {
                    values[option.name] = value
                } else {
                    throw UsageError(message: "\(option.name) wants a value: \(option.name) \(option.value ?? "")")
                }
            } else {
                operands.append(word)
            }
        }
        if operands.count > command.operands.count, !command.repeats {
            throw UsageError(message: "what is \(operands[command.operands.count])? \(command.operandsSentence)")
        }
    }

    func has(_ option: String) -> Bool { values[option] != nil }

    /// What was given in another form.
    mutating func set(_ option: String, to value: String) { values[option] = value }

    subscript(option: String) -> String? { values[option] }

    /// The option's value as a number.
    func integer(_ option: String, in range: ClosedRange<Int>) throws(UsageError) -> Int? {
        guard let text = values[option] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw UsageError(message: "\(option) \(text): wanted is a whole number, \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}
