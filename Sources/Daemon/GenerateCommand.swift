// `goleapai-ws help`: texts for people, and with --generate the files that a package is made of.

import Base
import Host
import Server

/// What `help --generate` writes.
enum Generated: String, CaseIterable, Sendable {
    case commands
    case man
    case manConfiguration = "man-config"
    case manDaemon = "man-daemon"
    case completeBash = "complete-bash"
    case completeZsh = "complete-zsh"
    case completeFish = "complete-fish"
    case catalog
    case metrics

    var summary: String {
        switch self {
        case .commands: "the names of the commands, one per line"
        case .man: "the manual page of the program, or of COMMAND"
        case .manConfiguration: "the manual page of the configuration"
        case .manDaemon: "the manual page of the service"
        case .completeBash: "completion for bash"
        case .completeZsh: "completion for zsh"
        case .completeFish: "completion for fish"
        case .catalog: "the journal's catalog: what journalctl -x says"
        case .metrics: "the document of the metrics and limits, docs/METRICS.md"
        }
    }

    /// - Parameter command: nil for the program as a whole.
    func text(of command: Command?) -> String {
        switch self {
        case .commands: Command.all.map { "\($0.name)\n" }.joined()
        case .man: command.map(ManPage.text(of:)) ?? ManPage.overview()
        case .manConfiguration: ManPage.configuration()
        case .manDaemon: ManPage.daemon()
        case .completeBash: BashCompletion.text()
        case .completeZsh: ZshCompletion.text()
        case .completeFish: FishCompletion.text()
        case .catalog: JournalCatalog.text
        case .metrics: MetricsDocument.text
        }
    }
}

func helpCommand(_ arguments: Arguments) throws(UsageError) -> Int32 {
    guard let word = arguments["--generate"] else { return showHelp(arguments.operands) }
    guard let kind = Generated(rawValue: word) else {
        let near = Suggestion.nearest(to: word, among: Generated.allCases.map(\.rawValue))
        let known = Generated.allCases.map(\.rawValue).joined(separator: ", ")
        throw UsageError(message: "--generate \(word): \(near.map { "did you mean \($0)?" } ?? "known are \(known)")")
    }
    var command: Command?
    if let name = arguments.operands.first {
        guard kind == .man else { throw UsageError(message: "--generate \(word) is of the whole program; what is \(name)?") }
        command = Command.named(name)
        guard command != nil else { throw UsageError(message: "unknown command \(name)") }
    }
    Output.write(kind.text(of: command))
    return ExitCode.fine
}
