// The one table of commands. It makes the parser of arguments and all help texts.

import Demo
import Terminal

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
    /// Whether the last operand may be given several times.
    var repeats = false
    var options: [Option] = []
    /// Paragraphs after the table of options, in lines of readable length.
    var details = ""
    let run: @Sendable (Arguments) throws(UsageError) -> Int32

    var operandsSentence: String {
        operands.isEmpty ? "\(name) takes no operands" : "\(name) takes \(operands.joined(separator: " ")) only"
    }

    /// Behind the name in a synopsis.
    var operandsSynopsis: String { operands.map { " [\($0)]" }.joined() + (repeats ? "…" : "") }

    static func named(_ name: String) -> Command? { all.first { $0.name == name } }

    private static let config = Option(
        name: "--config", value: "FILE", help: "the configuration; default \(defaultConfigPath), where there is one")

    /// What all commands of clients take: where the daemon is, who asks, and whom to trust.
    private static let access = [
        Option(name: "--url", value: "URL", help: "the daemon; default $GOLEAPAI_WS_URL, else the address in the configuration"),
        Option(name: "--token-file", value: "FILE", help: "a token or an API key; default $GOLEAPAI_WS_TOKEN_FILE"),
        Option(name: "--ca", value: "FILE", help: "whom to trust over TLS, in PEM form; default what this machine trusts"),
        Option(name: "--insecure", help: "over TLS trust everybody"),
    ]

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
            ] + access + [config],
            details: """
                With CHANNEL (logs, stats, providers, requests, all) and --type, each line of standard input is the data of
                one event. With neither, each line is a whole event: {"channel":"logs","type":"log","data":{…}}.
                Lines are sent as they come, many in one request where many are there. A batch is taken whole or not at all.

                goleapai-ws publish logs --type log --data '{"level":"info","message":"hello"}'
                goleapai-ws publish < events.ndjson

                On the daemon's machine, members of its group need no credential by --url unix:/run/goleapai-ws/publish.sock.
                """, run: publishCommand),
        Command(
            name: "status", summary: "say how a running daemon is doing",
            options: access + [Option(name: "--json", help: "print its answers as one JSON object"), config],
            details: """
                Exits with 0 where it is ready, with 1 where it is not or cannot be reached.
                Clients and events are shown to admins only.
                """, run: statusCommand),
        Command(
            name: "doctor", summary: "find out why a browser or a program does not connect", operands: ["URL"],
            options: access + [
                Option(name: "--origin", value: "URL", help: "the site whose pages are to connect; default the daemon's own"),
                Option(name: "--json", help: "print the findings as a JSON array"), config,
            ],
            details: """
                Goes the way of a browser step by step: name, connection, TLS and its certificate, HTTP, the daemon's sources,
                the upgrade to WebSocket, a message there and back, clocks, rights, a stream of Server-Sent Events, Origin.
                Says for each what was found, and how to mend it. Exits with 1 where something does not work.

                goleapai-ws doctor https://live.example/events --token-file token
                """, run: doctorCommand),
        Command(
            name: "top", summary: "a live dashboard in the terminal",
            options: [
                Option(name: "--interval", value: "N", help: "seconds between two updates of the statistics, 1 to 3600; default 2"),
                Option(name: "--once", help: "print one snapshot as plain text, and end"),
                Option(name: "--json", help: "with --once: as one JSON object"),
            ] + access + [config],
            details: """
                Statistics, providers, models, requests and log lines as they come. The keys:

                \(Help.columns(Top.keys))
                Colours follow TERM, COLORTERM and NO_COLOR; without a UTF-8 locale only ASCII is drawn. What the token does not
                allow is left out. Where the daemon is away, it is waited for. --once exits with 1 where statistics or the state
                of providers cannot be had within 10 seconds, and says on standard error what is missing.
                """, run: topCommand),
        Command(
            name: "tail", summary: "print events as they happen", operands: ["CHANNEL"], repeats: true,
            options: [
                Option(name: "--level", value: "LEVEL", help: "of logs: this level and worse; several with commas: exactly these"),
                Option(name: "--component", value: "NAME", help: "of logs: of this component, several with commas"),
                Option(name: "--grep", value: "TEXT", help: "of logs: with this text in the message, in any case"),
                Option(name: "--q", value: "TEXT", help: "the same as --grep"),
                Option(name: "--provider", value: "ID", help: "of logs, requests and providers: of this provider, several with commas"),
                Option(name: "--model", value: "ID", help: "of requests: of this model, several with commas"),
                Option(name: "--only-errors", help: "of requests: those that have failed"),
                Option(name: "--min-latency", value: "N", help: "of requests: those that took so many milliseconds or more"),
                Option(name: "--window", value: "WINDOW", help: "of stats: over which time; default 5m"),
                Option(name: "--interval", value: "N", help: "of stats: seconds between updates"),
                Option(name: "--since", value: "WHEN", help: "first what happened since: 5m, an instant of RFC 3339, or behind an event's id"),
                Option(name: "--history", value: "N", help: "first the last so many"),
                Option(name: "--no-follow", help: "end after what happened before; without --since and --history, all that is in memory"),
                Option(name: "--json", help: "print the messages as they come, one a line"),
                Option(name: "--color", value: "COLOR", help: "auto, always or never; default auto: on a terminal, unless $NO_COLOR is set"),
            ] + access + [config],
            details: """
                CHANNEL is logs (the default), stats, providers, requests or all; there may be several. Where the connection
                breaks, tail comes back and goes on where it left off. What was lost is told on standard error, and so is
                everything else that is no event. Ctrl-C ends it, and so does a reader that has seen enough.

                goleapai-ws tail --level error --since 15m
                goleapai-ws tail requests --only-errors --json | jq .data.error_message
                """, run: tailCommand),
        Command(
            name: "bench", summary: "measure a running daemon: deliveries, latency, cost",
            options: [
                Option(name: "--clients", value: "N", help: "WebSocket clients; default 100"),
                Option(name: "--channels", value: "CHANNEL", help: "what they subscribe to, several with commas; events go to the first; default logs"),
                Option(name: "--encoding", value: "NAME", help: "json or msgpack: what messages to the clients are written in; default json"),
                Option(name: "--filter", value: "K=V", help: "a filter of each client, several with &; {n} is the client's number, {n%500} its rest"),
                Option(name: "--event", value: "K=V", help: "fields of the events, where they are not to match --filter; {n} is an event's number"),
                Option(name: "--rate", value: "N", help: "events a second; default 100, or without --rate and with --outstanding as many as are answered"),
                Option(name: "--outstanding", value: "N", help: "events on their way to the daemon, at most"),
                Option(name: "--batch", value: "N", help: "events in one request; default 1"),
                Option(name: "--size", value: "N", help: "bytes of a published event; default 250"),
                Option(name: "--compress", help: "clients ask for compression"),
                Option(name: "--duration", value: "TIME", help: "how long to measure; default 5s"),
                Option(name: "--events", value: "N", help: "how many events to measure, instead of --duration"),
                Option(name: "--warmup", value: "TIME", help: "what goes before, and does not count; default 1s"),
                Option(name: "--publisher", value: "WHO", help: "none: the events come from elsewhere; default self"),
                Option(name: "--idle", help: "connect, publish nothing, and disconnect after --duration"),
                Option(name: "--slow", value: "N", help: "of the clients, so many never read"),
                Option(name: "--processes", value: "N", help: "processes to spread the clients over; default as few as their descriptors allow"),
            ] + access + [
                Option(name: "--pid", value: "N", help: "the daemon's process, where it is not the one that listens on the port"),
                Option(name: "--json", help: "print one JSON object"),
                Option(name: "--worker", value: "N", help: "be worker N of a run; bench starts these itself"),
                config,
            ],
            details: """
                Every event carries its number and the instant it was due, and every client checks that it gets each event
                that passes its filters once and in order, or is told of its loss by a gap. Anything else is said, and the
                exit code is 1. Latency counts from the instant an event was due, so that a stall hides nothing. What
                the daemon costs is read from /proc, where it runs on this machine. Ctrl-C ends the measuring early.

                goleapai-ws bench --clients 1000 --rate 100
                goleapai-ws bench --clients 1000 --outstanding 64
                goleapai-ws bench --clients 1000 --filter 'component=c{n%500}' --rate 5000
                goleapai-ws bench --clients 10000 --idle --duration 60s
                """, run: benchCommand),
        Command(name: "version", summary: "print version, commit and compiler") { _ in showVersion() },
        Command(
            name: "help", summary: "explain a command", operands: ["COMMAND"],
            options: [Option(name: "--generate", value: "KIND", help: "print what a package of this program is made of")],
            details: "KIND is one of\n\n" + Help.columns(Generated.allCases.map { ($0.rawValue, $0.summary) }).dropLast(), run: helpCommand),
    ]
}
