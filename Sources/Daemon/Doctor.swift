// The steps from an address to events in a browser, each tried in turn. What a step needs of those before it ends the examination
// where it is missing.

import Base
import Glibc
import Host
import Protocol

/// Examines one daemon. Owner: one thread; blocks.
final class Doctor {
    /// For each step of the network: whoever looks for a fault has no patience for ten.
    private static let seconds = 5
    /// Tokens of the gateway are good for a day or so; two clocks that differ by this much are a fault of their own.
    private static let skewSecondsMax = 60
    private static let certificateDaysMin = 21

    private let access: DaemonAccess
    /// The page that is to connect; nil for one that the daemon's own address serves.
    private let origin: WebOrigin?
    private var findings: [Finding] = []
    /// Channels that the credential opens.
    private var sees: [String] = []
    private var url: ServerURL { access.url }

    init(_ access: DaemonAccess, origin: WebOrigin?) {
        self.access = access
        self.origin = origin
    }

    func examine() -> [Finding] {
        guard let addresses = resolve(), connect(addresses), shakeHands(), ask() else { return findings }
        examineSources()
        guard upgrade() else { return findings }
        examineStream()
        examineOrigin()
        return findings
    }

    private func report(_ finding: Finding) { findings.append(finding) }

    // MARK: the network

    private func resolve() -> [ServerAddress]? {
        do throws(ConnectionFailure) {
            let addresses = try ServerConnection.addresses(of: url)
            report(.fine("name", "\(url.host) is \(addresses.map(\.text).joined(separator: ", "))"))
            return addresses
        } catch {
            report(.failure("name", "\(url.host): \(error)", "look for a misspelling; \"getent hosts \(url.host)\" asks the resolver of this machine"))
            return nil
        }
    }

    private func connect(_ addresses: [ServerAddress]) -> Bool {
        var failures: [(ServerAddress, ConnectionFailure)] = []
        var reached: [String] = []
        for address in addresses {
            do throws(SystemError) {
                _ = try address.connect(within: Int32(Doctor.seconds) * 1000)
                reached.append(address.text)
            } catch {
                failures.append((address, .connect(error.code)))
            }
        }
        let told = failures.map { "\($0.text) port \(url.port): \($1)" }.joined(separator: "; ")
        if reached.isEmpty {
            report(.failure("connection", told, failures.first.map { remedy(for: $0.1) } ?? ""))
            return false
        }
        report(.fine("connection", "port \(url.port) of \(reached.joined(separator: ", ")) takes connections"))
        if !failures.isEmpty {
            report(.warning("connection", told, "clients try every address in turn: list this one in server.host as well, or take it out of the name's addresses"))
        }
        return true
    }

    private func remedy(for failure: ConnectionFailure) -> String {
        guard case .connect(let code) = failure else { return "" }
        switch code {
        case ECONNREFUSED:
            let isLocal = IPAddress(url.host)?.isLoopback ?? (url.host == "localhost")
            return "nothing listens there: \"systemctl status goleapai-ws\" tells whether it runs, server.port on which port"
                + (isLocal ? "" : "; by default it listens on this machine only (server.host)")
        case ETIMEDOUT, EHOSTUNREACH, ENETUNREACH: return "a firewall or a route stands between; try from the daemon's own machine"
        default: return ""
        }
    }

    private func shakeHands() -> Bool {
        guard url.isSecure else { return true }
        do throws(ConnectionFailure) {
            let connection = try ServerConnection.open(url, trusting: access.trust, seconds: Doctor.seconds)
            guard let certificate = connection.certificate else {
                report(.fine("tls", connection.tlsVersion ?? "TLS"))
                return true
            }
            let days = certificate.daysLeft(at: SystemClock().now())
            let what = "\(connection.tlsVersion ?? "TLS"), the certificate of '\(certificate.name)' is good until \(certificate.notAfter.rfc3339)"
            if let fault = certificate.fault(at: SystemClock().now()) {
                report(.failure("tls", "the certificate of '\(certificate.name)' \(fault)", "renew it; the daemon takes the new files by itself (server.tls.cert, server.tls.key)"))
            } else if days < Doctor.certificateDaysMin {
                report(.warning("tls", "\(what) (\(days) days)", "renew it soon; the daemon takes the new files by itself"))
            } else {
                report(.fine("tls", what))
            }
            return true
        } catch {
            report(.failure("tls", "\(error)", tlsRemedy(error)))
            return false
        }
    }

    private func tlsRemedy(_ failure: ConnectionFailure) -> String {
        let text = "\(failure)"
        if text.contains("expired") || text.contains("not yet valid") { return "renew the certificate (server.tls.cert), or set the clock of this machine right" }
        if text.contains("mismatch") { return "the certificate is of another name: use the name that it was made for, or have one made for \(url.host)" }
        if text.contains("self-signed") || text.contains("self signed") || text.contains("local issuer") || text.contains("unable to verify") {
            return "its authority is not trusted here: put the whole chain into server.tls.cert, or name the authority by --ca"
        }
        if text.contains("wrong version number") || text.contains("packet length") || text.contains("http request") {
            return "something there speaks without TLS: try \(plainAddress), or server.tls.enabled: true"
        }
        return "\"openssl s_client -connect \(url.host):\(url.port)\" shows more"
    }

    private var plainAddress: String { "http" + url.description.dropFirst(5) }

    // MARK: HTTP

    private func ask() -> Bool {
        let answer: HTTPAnswer
        do throws(HTTPClientError) {
            answer = try HTTPClient(access).request("GET", "/version")
        } catch {
            report(.failure("http", "\(error)", url.isSecure ? "" : "where only TLS is served, the address begins with https://"))
            return false
        }
        let via = answer.head.first("via") ?? answer.head.first("server")
        let name = answer.json?["name"]?.string
        if answer.status == 200, name == Version.name {
            report(.fine("http", "\(Version.name) \(answer.json?["version"]?.string ?? "?") answers" + (via.map { ", through \($0)" } ?? "")))
            return true
        }
        let what = "GET \(url.basePath)/version gave status \(answer.status)" + (via.map { " from \($0)" } ?? "")
        switch answer.status {
        case 400 where !url.isSecure: report(.failure("http", what, "if the port speaks TLS, the address begins with https://"))
        case 403: report(.failure("http", "\(what): \(answer.json?["error"]?.string ?? "")", "the name is not one of the daemon's: set server.public_url to the address that browsers use"))
        case 502, 503, 504: report(.failure("http", what, "the proxy is there, the daemon behind it is not: does it run, and is its address right in the proxy's configuration?"))
        default: report(.failure("http", "\(what): this is not \(Version.name)", "look at the port, and at the path that the proxy passes on"))
        }
        return false
    }

    private func examineSources() {
        guard let answer = try? HTTPClient(access).request("GET", "/ready"), let ready = answer.json else {
            // The step before has just been answered; the next one will say what is wrong.
            return
        }
        if ready["draining"]?.bool == true { report(.warning("sources", "the daemon is stopping", "try again when it has started")) }
        let sources = ready["sources"]?.array ?? []
        if sources.isEmpty { return report(.warning("sources", "none is enabled", "sources.…enabled in the configuration; events come from publishers only")) }
        for source in sources {
            let (name, why) = (source["name"]?.string ?? "?", source["why"]?.string ?? "")
            switch source["state"]?.string {
            case "working": report(.fine("sources", "\(name) works"))
            case "starting": report(.warning("sources", "\(name) is starting", "wait some seconds"))
            default: report(.failure("sources", "\(name): \(why)", sourceRemedy(name, why)))
            }
        }
    }

    private func sourceRemedy(_ name: String, _ why: String) -> String {
        if name == "journal" { return "the daemon's user must be in the group systemd-journal (\"id goleapai-ws\"), and sources.journal.units must name the gateway's unit" }
        if why.contains("ermission") || why.contains("readonly") {
            return "the daemon's user must be able to read the database and to enter its directory: \"sudo -u goleapai-ws cat FILE >/dev/null\" tells"
        }
        if why.contains("No such file") || why.contains("does not exist") { return "database.connection must be that of the gateway's own configuration" }
        return "\"journalctl -u goleapai-ws\" tells more"
    }

    // MARK: WebSocket

    private func upgrade() -> Bool {
        do throws(ConnectionFailure) {
            switch try WebSocketProbe.open("/ws?welcome=true", access, fields: [], seconds: Doctor.seconds) {
            case .refused(let answer):
                explain(answer)
                return false
            case .open(var probe):
                let welcome = try probe.message(ofType: "welcome")
                report(.fine("websocket", "the upgrade works"))
                let sent = SystemClock().now()
                try probe.send(#"{"type":"ping"}"#)
                let pong = try probe.message(ofType: "pong")
                examineClock(pong["timestamp"]?.string, sent)
                examineRights(welcome["data"]?["role"]?.string)
                return true
            }
        } catch {
            let remedy = "a proxy that keeps frames back, or ends the connection after the upgrade: it must not buffer, and pass Upgrade and Connection on (docs/OPERATION.md)"
            report(.failure("websocket", "\(error)", remedy))
            return false
        }
    }

    private func explain(_ answer: HTTPAnswer) {
        let error = answer.json?["error"]?.string
        let what = "the upgrade gave status \(answer.status)" + (error.map { ": \($0)" } ?? "")
        switch answer.status {
        case 401: report(.failure("credential", what, "give a token of the gateway or an API key by --token-file; tokens end, and the clock counts"))
        case 403: report(.failure("credential", what, "roles and rights: docs/PROTOCOL.md, \"Who may connect\""))
        case 429, 503: report(.failure("limits", what, "the daemon's log names the limit and its key: \"journalctl -u goleapai-ws\""))
        case 200, 301, 302, 307, 308, 400, 404, 405, 426, 502, 504:
            let isOurs = error != nil
            report(.failure(
                "websocket", what,
                answer.status == 404 && isOurs
                    ? "websocket.enabled is false, or the path is another one"
                    : "a proxy does not pass the upgrade on: it needs HTTP/1.1 towards the daemon and the fields Upgrade and Connection"))
        default: report(.failure("websocket", what, "\"journalctl -u goleapai-ws\" may tell more"))
        }
    }

    private func examineClock(_ timestamp: String?, _ sent: Instant) {
        guard let timestamp, let theirs = Instant(parsing: Array(timestamp.utf8)) else {
            return report(.warning("clock", "the daemon did not tell its time", ""))
        }
        let seconds = (theirs.milliseconds &- sent.milliseconds) / 1000
        if seconds.magnitude <= UInt64(Doctor.skewSecondsMax) { return report(.fine("clock", "the daemon's and this machine's agree")) }
        report(.warning(
            "clock", "the daemon's is \(seconds.magnitude) s \(seconds < 0 ? "behind" : "ahead")",
            "tokens begin and end by the daemon's clock: set both by NTP (timedatectl)"))
    }

    private func examineRights(_ role: String?) {
        sees = ["logs", "stats", "providers", "requests"].filter { channel in
            guard case .open? = try? WebSocketProbe.open("/ws/\(channel)", access, fields: [], seconds: Doctor.seconds) else { return false }
            return true
        }
        let what = "role \(role ?? "none"): may see \(sees.isEmpty ? "nothing" : sees.joined(separator: ", "))"
        if sees.count == 4 { return report(.fine("rights", what)) }
        report(.warning("rights", what, "logs and the requests of others are for role admin, or for all by auth.open_channels"))
    }

    /// What a proxy may still spoil for those who do without WebSocket.
    private func examineStream() {
        guard let channel = sees.first else { return }
        let path = "/sse/\(channel)"
        let remedy = "a proxy collects the stream: it must pass on what it has at once, and not compress it (docs/PROXIES.md); for nginx, proxy_buffering off"
        do throws(ConnectionFailure) {
            switch try EventStreamProbe.open(path, access, seconds: Doctor.seconds) {
            case .flows: report(.fine("stream", "Server-Sent Events come at once"))
            case .heldBack: report(.failure("stream", "nothing of \(path) has come within \(Doctor.seconds) s", remedy))
            case .refused(let answer):
                report(.failure("stream", "\(path) gave status \(answer.status)", "the proxy must pass \(url.basePath)/sse on as it does \(url.basePath)/ws"))
            case .other(let head):
                let type = head.first("content-type") ?? "nothing known"
                report(.failure("stream", "\(path) gave \(type)", "the proxy must pass \(url.basePath)/sse on as it does \(url.basePath)/ws"))
            }
        } catch {
            report(.failure("stream", "\(error)", remedy))
        }
    }

    /// As a page would connect.
    private func examineOrigin() {
        let page = origin ?? url.origin
        do throws(ConnectionFailure) {
            switch try WebSocketProbe.open("/ws", access, fields: [("Origin", "\(page)")], seconds: Doctor.seconds) {
            case .open: report(.fine("origin", "pages of \(page) may connect"))
            case .refused(let answer):
                let error = answer.json?["error"]?.string ?? "status \(answer.status)"
                let key = origin == nil || origin == url.origin ? "server.public_url: \(page)" : "server.allowed_origins: [\(page)]"
                report(.failure("origin", "pages of \(page) are refused: \(error)", "\(key) in the configuration, then \"systemctl reload goleapai-ws\""))
            }
        } catch {
            report(.failure("origin", "\(error)", ""))
        }
    }
}
