// From the arguments of the process to a command and its exit code.

import Base
// `environ` is a variable that Swift cannot know to be untouched; only the start of the process reads it here.
@preconcurrency import Glibc
import Host

/// Exit codes of all commands.
enum ExitCode {
    static let fine: Int32 = 0
    static let failed: Int32 = 1
    static let usage: Int32 = 2
    /// EX_CONFIG of sysexits.h; systemd shows it as CONFIG.
    static let configuration: Int32 = 78

    static let meanings: [(code: Int32, meaning: String)] = [
        (fine, "fine"), (failed, "the operation failed"), (usage, "wrong usage"), (configuration, "wrong configuration"),
    ]
}

func run() -> Never {
    occupyStandardDescriptors()
    // Dispatch says on standard error that it may not raise the priority of its threads, as no ordinary user may. That is no news.
    setenv("LIBDISPATCH_LOG", "NO", 0)
    exit(execute(Array(CommandLine.arguments.dropFirst())))
}

/// Opens those of the descriptors 0, 1 and 2 that were closed by whoever started us. Else the next socket or file would get their numbers,
/// and what is written for standard output or standard error would go there.
private func occupyStandardDescriptors() {
    while true {
        let number = open("/dev/null", O_RDWR)
        if (0...2).contains(number) { continue }
        close(number)
        return
    }
}

/// Runs the command that the arguments name.
/// - Returns: the exit code.
func execute(_ arguments: [String]) -> Int32 {
    guard let name = arguments.first else {
        Output.error(Help.overview())
        return ExitCode.usage
    }
    let rest = Array(arguments.dropFirst())
    switch name {
    case "-h", "--help": return showHelp(rest)
    case "--version": return showVersion()
    default: break
    }
    guard let command = Command.named(name) else {
        let near = Suggestion.nearest(to: name, among: Command.all.map(\.name))
        let hint = near.map { "; did you mean \($0)?" } ?? ""
        let kind = name.hasPrefix("-") ? "option" : "command"
        Output.error("\(Version.name): unknown \(kind) \(name)\(hint)\nTry '\(Version.name) help'.\n")
        return ExitCode.usage
    }
    if rest.prefix(while: { $0 != "--" }).contains(where: { $0 == "--help" || $0 == "-h" }) {
        Output.write(Help.text(of: command))
        return ExitCode.fine
    }
    do throws(UsageError) {
        return try command.run(Arguments(parsing: rest, for: command))
    } catch {
        Output.error("\(Version.name) \(command.name): \(error.message)\nTry '\(Version.name) \(command.name) --help'.\n")
        return ExitCode.usage
    }
}

func showHelp(_ words: [String]) -> Int32 {
    guard let name = words.first else {
        Output.write(Help.overview())
        return ExitCode.fine
    }
    guard let command = Command.named(name) else { return execute([name]) }
    Output.write(Help.text(of: command))
    return ExitCode.fine
}

func showVersion() -> Int32 {
    Output.write("\(Version.name) \(Version.number) (commit \(Version.commit), Swift \(Version.swift))\n")
    return ExitCode.fine
}

/// All variables of the environment.
func environment() -> [String: String] {
    var variables: [String: String] = [:]
    let start: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = environ
    guard var entry = start else { return variables }
    while let text = entry.pointee {
        let variable = String(cString: text)
        if let sign = variable.firstIndex(of: "=") {
            variables[String(variable[..<sign])] = String(variable[variable.index(after: sign)...])
        }
        entry += 1
    }
    return variables
}
