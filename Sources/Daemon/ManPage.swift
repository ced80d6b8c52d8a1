// The manual pages of the program and of its commands, from the table of commands. Those of the configuration and of the service
// are in files of their own.

import Base

enum ManPage {
    /// `goleapai-ws(1)`
    static func overview() -> String {
        var page = Roff(Version.name, section: 1, summary: Help.summary)
        page.heading("SYNOPSIS")
        page.line("`\(Version.name)` COMMAND [OPTION…]")
        page.heading("COMMANDS")
        for command in Command.all {
            page.item("`\(command.name)`", "\(sentence(command.summary)) See \(pageName(of: command))(1).")
        }
        page.heading("OPTIONS")
        page.item("`--help`", "Behind a command, its help; alone, the list of commands.")
        page.item("`--version`", "The same as `version`.")
        exitStatus(&page)
        page.heading("ENVIRONMENT")
        page.paragraphs(
            "Every key of the configuration can be set in the environment, see \(configPageName)(5).", afterHeading: true)
        page.heading("FILES")
        page.item("`\(defaultConfigPath)`", "The configuration, see \(configPageName)(5). Without it the defaults hold.")
        page.seeAlso(Command.all.map { "\(pageName(of: $0))(1)" } + ["\(configPageName)(5)", "\(Version.name)(8)"])
        return page.text
    }

    /// `goleapai-ws-serve(1)` and its like.
    static func text(of command: Command) -> String {
        var page = Roff(pageName(of: command), section: 1, summary: command.summary)
        page.heading("SYNOPSIS")
        page.line("`\(Version.name) \(command.name)`\(command.operandsSynopsis) [OPTION…]")
        if !command.details.isEmpty {
            page.heading("DESCRIPTION")
            page.paragraphs(command.details, afterHeading: true)
        }
        page.heading("OPTIONS")
        for option in command.options {
            page.item("`\(option.name)`\(option.value.map { " \($0)" } ?? "")", sentence(option.help))
        }
        page.item("`--help`", sentence(Help.ofHelp))
        exitStatus(&page)
        page.seeAlso(["\(Version.name)(1)", "\(configPageName)(5)", "\(Version.name)(8)"])
        return page.text
    }

    static func pageName(of command: Command) -> String { "\(Version.name)-\(command.name)" }

    static let configPageName = "\(Version.name).yaml"

    static func exitStatus(_ page: inout Roff) {
        page.heading("EXIT STATUS")
        for (code, meaning) in ExitCode.meanings { page.item("`\(code)`", sentence(meaning)) }
    }

    /// A help text, which begins small and has no full stop, as a sentence.
    private static func sentence(_ words: String) -> String {
        let isName = words.hasPrefix("$")
        return (isName ? words : words.prefix(1).uppercased() + words.dropFirst()) + (words.hasSuffix(".") ? "" : ".")
    }
}
