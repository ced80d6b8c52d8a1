// Completion for shells, from the table of commands. What a value may be follows from the word that stands for it in help.

import Base
import Fanout

enum Completion {
    case anything
    case files
    case words([String])

    /// - Parameter placeholder: `FILE`, `CHANNEL`, … of `Command.Option.value` and `Command.operands`.
    init(of placeholder: String) {
        self =
            switch placeholder {
            case "FILE": .files
            case "CHANNEL": .words(Channel.allCases.map(\.name))
            case "COMMAND": .words(Command.all.map(\.name))
            case "KIND": .words(Generated.allCases.map(\.rawValue))
            case "WHO": .words(["self", "none"])
            case "LEVEL": .words(["debug", "info", "warn", "error", "fatal", "panic"])
            case "WINDOW": .words(["1m", "5m", "1h", "24h"])
            case "COLOR": .words(["auto", "always", "never"])
            default: .anything
            }
    }

    /// Of the program itself, where no command stands yet.
    static let programOptions: [Command.Option] = [help, .init(name: "--version", help: "print version, commit and compiler")]
    static let help = Command.Option(name: "--help", help: Help.ofHelp)

    static func options(of command: Command) -> [Command.Option] { command.options + [help] }
}

enum BashCompletion {
    static func text() -> String {
        var values = ""
        var options = ""
        for command in Command.all {
            for option in command.options {
                guard let value = option.value else { continue }
                values += "        \(command.name):\(option.name)) \(action(Completion(of: value))); return ;;\n"
            }
            options += "        \(command.name)) options='\(words(Completion.options(of: command).map(\.name)))'"
            // One operand at most, so far.
            if let operand = command.operands.first, case .words(let known) = Completion(of: operand) {
                options += " operands='\(words(known))'"
            }
            options += " ;;\n"
        }
        return """
            # bash completion of \(Version.name). It uses nothing of the package bash-completion.
            _goleapai_ws() {
                local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} options= operands=
                COMPREPLY=()
                # --name=value comes as three words.
                if [[ $current == = ]]; then
                    current=
                elif [[ $option == = ]]; then
                    option=${COMP_WORDS[COMP_CWORD-2]}
                fi
                if ((COMP_CWORD == 1)); then
                    mapfile -t COMPREPLY < <(compgen -W '\(words(Command.all.map(\.name) + Completion.programOptions.map(\.name)))' -- "$current")
                    return
                fi
                case $command:$option in
            \(values)    esac
                case $command in
            \(options)    esac
                [[ $current == -* ]] || options=
                mapfile -t COMPREPLY < <(compgen -W "$options $operands" -- "$current")
            }
            complete -F _goleapai_ws \(Version.name)

            """
    }

    private static func action(_ completion: Completion) -> String {
        switch completion {
        case .anything: ":"
        case .files: "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$current\")"
        case .words(let known): "mapfile -t COMPREPLY < <(compgen -W '\(words(known))' -- \"$current\")"
        }
    }
}

enum ZshCompletion {
    static func text() -> String {
        let commands = Command.all.map { "        '\($0.name):\(quoted($0.summary))'\n" }.joined()
        var arguments = ""
        for command in Command.all {
            let options = Completion.options(of: command).map { option in
                "'\(option.name)\(option.value == nil ? "" : "=")[\(described(option.help))]\(option.value.map { ":\($0):\(action($0))" } ?? "")'"
            }
            let operands = command.operands.enumerated().map { "'\(command.repeats ? "*" : "\($0 + 1)"):\($1):\(action($1))'" }
            arguments +=
                "            \(command.name)) _arguments \\\n                \((options + operands).joined(separator: " \\\n                ")) ;;\n"
        }
        let options = Completion.programOptions.map { "'(- *)\($0.name)[\(described($0.help))]'" }.joined(separator: " ")
        return """
            #compdef \(Version.name)
            _goleapai_ws() {
                local curcontext=$curcontext state line
                local -a commands
                commands=(
            \(commands)    )
                _arguments -C \(options) '1:command:->command' '*::argument:->argument'
                case $state in
                command) _describe command commands ;;
                argument)
                    case $words[1] in
            \(arguments)        esac ;;
                esac
            }
            _goleapai_ws "$@"

            """
    }

    private static func action(_ placeholder: String) -> String {
        switch Completion(of: placeholder) {
        case .anything: " "
        case .files: "_files"
        case .words(let known): "(\(words(known)))"
        }
    }

    private static func quoted(_ text: String) -> String {
        text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
    }

    /// In brackets of `_arguments`, where colons and brackets have a meaning.
    private static func described(_ text: String) -> String {
        quoted(text.map { "[]:\\".contains($0) ? "\\\($0)" : "\($0)" }.joined())
    }
}

enum FishCompletion {
    static func text() -> String {
        var lines = [
            "# fish completion of \(Version.name).",
            "function __goleapai_ws_command",
            "    set -l words (commandline -opc)",
            "    test \"$words[2]\" = \"$argv[1]\"",
            "end",
            "complete -c \(Version.name) -f",
        ]
        let noCommand = "test (count (commandline -opc)) -eq 1"
        for option in Completion.programOptions { lines.append(line(noCommand, option)) }
        for command in Command.all {
            lines.append("complete -c \(Version.name) -n '\(noCommand)' -a \(command.name) -d '\(quoted(command.summary))'")
        }
        for command in Command.all {
            let condition = "__goleapai_ws_command \(command.name)"
            for option in Completion.options(of: command) { lines.append(line(condition, option)) }
            for operand in command.operands {
                guard case .words(let known) = Completion(of: operand) else { continue }
                lines.append("complete -c \(Version.name) -n '\(condition)' -a '\(words(known))'")
            }
        }
        return lines.map { "\($0)\n" }.joined()
    }

    private static func line(_ condition: String, _ option: Command.Option) -> String {
        var value = ""
        if let placeholder = option.value {
            switch Completion(of: placeholder) {
            case .anything: value = " -x"
            case .files: value = " -r -F"
            case .words(let known): value = " -x -a '\(words(known))'"
            }
        }
        return "complete -c \(Version.name) -n '\(condition)' -l \(option.name.dropFirst(2))\(value) -d '\(quoted(option.help))'"
    }

    private static func quoted(_ text: String) -> String { text.map { "'\\".contains($0) ? "\\\($0)" : "\($0)" }.joined() }
}

private func words(_ list: [String]) -> String { list.joined(separator: " ") }
