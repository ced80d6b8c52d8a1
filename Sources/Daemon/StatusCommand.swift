// `goleapai-ws status`: how a running daemon is doing, in a few lines.

import Base
import Host
import Protocol

func statusCommand(_ arguments: Arguments) throws(UsageError) -> Int32 {
    try DaemonAccess.use(arguments, for: "status") { (access) throws(UsageError) -> Int32 in
        do throws(HTTPClientError) {
            let status = try DaemonStatus(of: access)
            Output.write(arguments.has("--json") ? status.json + "\n" : status.text)
            return status.isReady ? ExitCode.fine : ExitCode.failed
        } catch {
            Output.error("\(Version.name) status: \(error)\n")
            return ExitCode.failed
        }
    }
}

/// What a daemon says of itself.
struct DaemonStatus {
    private let url: ServerURL
    private let version: HTTPAnswer
    private let ready: HTTPAnswer
    /// For admins only.
    private let stats: HTTPAnswer

    /// Asks it. Blocks.
    init(of access: DaemonAccess) throws(HTTPClientError) {
        url = access.url
        let client = HTTPClient(access)
        version = try client.request("GET", "/version")
        guard version.status == 200, version.json?["name"]?.string == Version.name else {
            throw HTTPClientError(description: "\(url): this is no \(Version.name): GET /version gave status \(version.status)")
        }
        ready = try client.request("GET", "/ready")
        stats = try client.request("GET", "/admin/ws/stats")
    }

    var isReady: Bool { ready.status == 200 }

    /// The answers, whole, by the addresses that gave them; null where there is none.
    var json: String {
        func body(_ answer: HTTPAnswer) -> String { answer.json == nil ? "null" : String(decoding: answer.body, as: UTF8.self) }
        return #"{"version":\#(body(version)),"ready":\#(body(ready)),"stats":\#(stats.status == 200 ? body(stats) : "null")}"#
    }

    var text: String {
        let version = version.json
        let headline = "\(Version.name) \(version?["version"]?.string ?? "?") at \(url): \(state)"
        let lines = [headline] + (sources + numbers).map { "  \(DaemonStatus.padded($0.name, 10))\($0.what)" }
        return lines.map { Output.harmless($0) + "\n" }.joined()
    }

    private var sources: [(name: String, what: String)] {
        let rows = (ready.json?["sources"]?.array ?? []).map { source in
            let why = source["why"]?.string ?? ""
            let lag = source["lag_ms"]?.int.map { ", \(DaemonStatus.time(milliseconds: $0)) behind" } ?? ""
            return DaemonStatus.padded(source["name"]?.string ?? "?", 11) + "\(source["state"]?.string ?? "?")\(lag)\(why.isEmpty ? "" : ": \(why)")"
        }
        if rows.isEmpty { return [("sources", "none is enabled")] }
        return rows.enumerated().map { ($0 == 0 ? "sources" : "", $1) }
    }

    private var state: String {
        if ready.json?["draining"]?.bool == true { return "stopping" }
        return isReady ? "ready" : "not ready"
    }

    private var numbers: [(name: String, what: String)] {
        guard stats.status == 200, let stats = stats.json else {
            return [("clients", "not shown: \(self.stats.json?["error"]?.string ?? "status \(self.stats.status)")")]
        }
        let channels = (stats["subscriptions"]?.object ?? []).map { "\($0.key) \($0.value.int ?? 0)" }.joined(separator: ", ")
        let ledger = stats["ledger"]?.object ?? []
        let dropped = ledger.reduce(0) { $0 &+ ($1.value["dropped"]?.int ?? 0) }
        let gaps = (stats["gaps"]?.object ?? []).reduce(0) { $0 &+ ($1.value.int ?? 0) }
        return [
            ("clients", "\(stats["total_clients"]?.int ?? 0) (\(channels))"),
            ("events", "\(stats["events_published"]?.int ?? 0) published, \(dropped) dropped, \(gaps) gaps"),
            ("up", DaemonStatus.time(milliseconds: (stats["uptime_seconds"]?.int ?? 0).multipliedReportingOverflow(by: 1000).partialValue)),
        ]
    }

    private static func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }

    /// `340 ms`, `6.1 s`, `3 h 12 min`.
    static func time(milliseconds: Int) -> String {
        let seconds = milliseconds / 1000
        switch milliseconds {
        case ..<1000: return "\(milliseconds) ms"
        case ..<60_000: return "\(seconds).\(milliseconds % 1000 / 100) s"
        case ..<3_600_000: return "\(seconds / 60) min \(seconds % 60) s"
        case ..<86_400_000: return "\(seconds / 3600) h \(seconds / 60 % 60) min"
        default: return "\(seconds / 86_400) d \(seconds / 3600 % 24) h"
        }
    }
}

extension HTTPAnswer {
    /// The body, where it is JSON.
    var json: JSON? { try? JSON(parsing: body) }
}
