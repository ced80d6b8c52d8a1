// Help texts, from the table of commands.

import Base
import Host

enum Help {
    static let summary = "live events of a GoLeapAI gateway over WebSocket"
    static let ofHelp = "show this text"

    static func overview() -> String {
        """
        \(Version.name): \(summary).

        Usage: \(Version.name) COMMAND [OPTION…]

        \(columns(Command.all.map { ($0.name, $0.summary) }))
        '\(Version.name) COMMAND --help' explains one.
        Exit codes: \(ExitCode.meanings.map { "\($0.code) \($0.meaning)" }.joined(separator: ", ")).

        """
    }

    static func text(of command: Command) -> String {
        let options = command.options.map { ($0.name + ($0.value.map { " \($0)" } ?? ""), $0.help) } + [("--help", ofHelp)]
        return """
            \(Version.name) \(command.name): \(command.summary).

            Usage: \(Version.name) \(command.name)\(command.operandsSynopsis) [OPTION…]

            \(columns(options))\(command.details.isEmpty ? "" : "\n\(command.details)\n")
            """
    }

    /// Two columns, the first as wide as its longest entry.
    static func columns(_ rows: [(String, String)]) -> String {
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { "  \($0)\(String(repeating: " ", count: width - $0.count))  \($1)\n" }.joined()
    }
}
