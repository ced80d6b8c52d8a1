// The demo's gateway beside the daemon: its log lines become events here, as the journal of a real gateway would make them.

import Base
import Demo
import Fanout
import Host
import Synchronization

/// Owner: the service. `start` once, `stop` at the end.
final class DemoRun: Sendable {
    private let gateway: DemoGateway

    /// Makes the database and its history; blocks for a fraction of a second.
    init(_ options: DemoOptions) throws { gateway = try DemoGateway(options) }

    /// Path of the gateway's database.
    var databasePath: String { gateway.databasePath }

    /// Begins to write rows, and hands on log lines.
    /// - Parameter publish: called on the demo's thread.
    func start(publish: @escaping @Sendable (EventDraft) -> Void) throws {
        try gateway.start(
            onLog: { line in
                publish(EventDraft(channel: .logs, type: "log", timestamp: line.timestamp, data: line.data, publisher: .demo))
            }, onFailure: { Log.warn("demo: \($0), going on") })
    }

    /// Ends the traffic and removes the directory.
    func stop() { gateway.stop() }
}

/// What to type while the demo runs.
func demoBanner(port: Int) -> String {
    let host = "localhost:\(port)"
    let url = port == Settings().server.port ? "" : " --url http://\(host)"
    let program = CommandLine.arguments.first ?? Version.name
    let watch = [
        ("ws://\(host)/ws/stats", "statistics, every 5 seconds"),
        ("'ws://\(host)/ws/requests?only_errors=true'", "requests that failed"),
        ("ws://\(host)/ws/providers", "health of providers"),
        ("'ws://\(host)/ws/logs?level=warn'", "warnings and worse"),
        ("ws://\(host)/ws/all", "everything"),
    ]
    let width = watch.map(\.0.count).max() ?? 0
    let rows = watch.map { "  websocat \($0)\(String(repeating: " ", count: width - $0.count))  # \($1)\n" }.joined()
    return """

        A demo gateway is running. In another terminal:

        \(rows)
          curl -i -N -H 'Connection: Upgrade' -H 'Upgrade: websocket' \\
               -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: test' http://\(host)/ws/logs
          curl http://\(host)/admin/ws/stats
          curl -X POST http://\(host)/admin/ws/broadcast -H 'Content-Type: application/json' \\
               -d '{"channel":"logs","type":"log","data":{"level":"info","message":"Test message"}}'
          \(program) publish\(url) logs --type log --data '{"level":"warn","message":"hello"}'

        Ctrl-C ends it and removes the demo's files.

        """
}
