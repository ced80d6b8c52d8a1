// The one table of commands. It makes the parser of arguments and all help texts.

import Demo

/// One word after `goleapai-ws`.
struct Command: Sendable {
    struct Option: Sendable {
        let name: String
        /// What stands for the value in help; nil where the option takes none.
        var value: String?
        let help: String
    }

    let name: String
    let summary: String
    /// Names of operands, all optional for the parser.
    var operands: [String] = []
    var options: [Option] = []
    /// Paragraphs after the table of options, in lines of readable length.
    var details = ""
    let run: @Sendable (Arguments) throws(UsageError) -> Int32

    var operandsSentence: String {
        operands.isEmpty ? "\(name) takes no operands" : "\(name) takes \(operands.joined(separator: " ")) only"
    }

    static func named(_ name: String) -> Command? { all.first { $0.name == name } }

    private static let config = Option(
        name: "--config", value: "FILE", help: "the configuration; default \(defaultConfigPath), where there is one")

    static let all: [Command] = [
        Command(
            name: "serve", summary: "run the daemon",
            options: [
                config,
                Option(name: "--port", value: "N", help: "listen on this port instead of server.port; 0 takes any free one"),
                Option(name: "--demo", help: "make a gateway database with traffic of its own, in a temporary directory"),
                Option(name: "--demo-rate", value: "N", help: "requests a second of the demo; default \(DemoOptions().rate)"),
                Option(name: "--demo-seed", value: "N", help: "the same seed makes the same traffic; default \(DemoOptions().seed)"),
            ],
            details: """
                Serves until SIGTERM or SIGINT. Every key of the configuration can be set in the environment too:
                websocket.max_clients is GOLEAPAI_WS_WEBSOCKET_MAX_CLIENTS.
                """, run: serveCommand),
        Command(
            name: "check-config", summary: "say what is wrong with the configuration",
            options: [config, Option(name: "--print-default", help: "print a configuration with every key at its default, and check nothing")],
            details: "Looks at the environment as well. Exits with 78 where serve would refuse to start.", run: checkConfigCommand),
        Command(
            name: "publish", summary: "send events to the clients of a running daemon", operands: ["CHANNEL"],
            options: [
                Option(name: "--type", value: "T", help: "the events' type, such as log"),
                Option(name: "--data", value: "JSON", help: "the one event's data; without it, lines of standard input are taken"),
                Option(name: "--url", value: "URL", help: "the daemon; default $GOLEAPAI_WS_URL, else the address in the configuration"),
                config,
            ],
            details: """
                With CHANNEL (logs, stats, providers, requests, all) and --type, each line of standard input is the data of
                one event. With neither, each line is a whole event: {"channel":"logs","type":"log","data":{…}}.
                Lines are sent as they come, many in one request where many are there. A batch is taken whole or not at all.

                goleapai-ws publish logs --type log --data '{"level":"info","message":"hello"}'
                goleapai-ws publish < events.ndjson
                """, run: publishCommand),
        Command(name: "version", summary: "print version, commit and compiler") { _ in showVersion() },
        Command(
            name: "help", summary: "explain a command", operands: ["COMMAND"],
            options: [Option(name: "--generate", value: "KIND", help: "print what a package of this program is made of")],
            details: "KIND is one of\n\n" + Help.columns(Generated.allCases.map { ($0.rawValue, $0.summary) }).dropLast(), run: helpCommand),
    ]
}
