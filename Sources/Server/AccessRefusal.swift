// A Host or an Origin that is not accepted, in two voices: the stranger hears what it has said and which key decides; the operator's log
// has what is accepted, too, and the line of the configuration that would let it in.

import Base
import Host
import Protocol

/// Why a page, or the name by which it asked, is refused.
struct AccessRefusal: Sendable {
    enum Reason: Sendable {
        /// A page of another site.
        case foreign
        /// A page of another site, where only our own may come.
        case admin
        /// More than one Origin.
        case several
    }

    /// What it is counted as.
    let kind: Refusal
    /// Tells nothing of the configuration but the names of its keys, which stand in the documents.
    let response: Response
    /// For the log: one sentence, bounded.
    let message: String
    let fields: [LogField]

    /// A `Host` that is not ours.
    /// - Parameter accepted: hosts that the configuration names.
    static func host(_ head: RequestHead, accepted: [String]) -> AccessRefusal {
        let came = ForeignText.shownSite(head.host)
        let all = list(["IP addresses", "localhost"] + accepted)
        let line = site("http://\(head.host)").map { "server.public_url: \($0)" } ?? ""
        let remedy = line.isEmpty ? "no name of a machine is like that" : "if this server is to be reached by that name: \(line)"
        return AccessRefusal(
            kind: .host,
            response: .error(
                403,
                "the Host '\(came)' is not this server's; accepted are IP addresses, localhost, and the hosts of server.public_url and server.allowed_origins"
            ),
            message: "the Host '\(came)' is refused, asked for \(ForeignText.shown(head.path, to: textMax)); accepted are \(all); \(remedy)",
            fields: fields(head, accepted: all, line: line))
    }

    /// An `Origin` that is not accepted.
    /// - Parameters:
    ///   - own: `server.public_url` as an origin.
    ///   - listed: `server.allowed_origins`.
    static func origin(_ origin: String, _ head: RequestHead, own: String?, listed: [String], why: Reason) -> AccessRefusal {
        let (came, here) = (shown(origin, to: textMax), ForeignText.shownSite(head.host))
        let ours = ["http://\(here)", "https://\(here)"] + (own.map { [$0] } ?? [])
        let all = list(why == .foreign ? ours + listed : ours)
        let site = site(origin)
        // Behind a proxy the Host may be another one than browsers see, so that it may be our own page.
        let asPublic = site.map { "server.public_url: \($0)" } ?? ""
        var line = ""
        let (rule, remedy): (String, String)
        switch why {
        case .several: (rule, remedy) = ("there must be one", "no browser sends several")
        case .foreign:
            rule = "it must be this server's own (\(here)) or be listed in server.allowed_origins"
            if let site {
                let all = (listed + ["\(site)"]).joined(separator: ", ")
                if listed.count < listMax { line = "server.allowed_origins: [\(all)]" }
                let proxied = Access.isProxied(head) ? "; or, if that is this server behind its proxy: \(asPublic)" : ""
                remedy = "to let its pages connect\(line.isEmpty ? ", add it to server.allowed_origins" : ": \(line)")\(proxied)"
            } else {
                remedy = "it cannot be listed: a page without a site of its own (a file, a sandboxed frame, a redirected request) is nobody's"
            }
        case .admin:
            rule = "under /admin it must be this server's own (\(here))"
            line = asPublic
            remedy = "pages of other sites never get to /admin" + (site == nil ? "" : "; if that is this server in browsers: \(line)")
        }
        return AccessRefusal(
            kind: .origin,
            response: .error(403, "the Origin '\(came)' is not accepted; \(rule)"),
            message: "the Origin '\(came)' is refused, asked for \(ForeignText.shown(head.path, to: textMax)); accepted are \(all); \(remedy)",
            fields: fields(head, accepted: all, line: line) + [LogField("ORIGIN", shown(origin, to: fieldMax))])
    }

    /// Characters of foreign text in an answer or a sentence, and in a field; entries of a list that are named.
    private static let textMax = 80
    private static let fieldMax = 300
    private static let listMax = 16

    /// A site that can be named in the configuration; names have at most 253 characters (RFC 1035 §2.3.4).
    private static func site(_ text: String) -> WebOrigin? { text.utf8.count <= 270 ? WebOrigin(parsing: text) : nil }

    /// What came, without what may be somebody's secret.
    private static func shown(_ origin: String, to count: Int) -> String {
        origin.contains("://") ? ForeignText.shownSite(origin, to: count) : ForeignText.shown(origin, to: count)
    }

    private static func list(_ all: [String]) -> String {
        all.count > listMax ? "\(all.prefix(listMax).joined(separator: ", ")) and \(all.count - listMax) more" : all.joined(separator: ", ")
    }

    private static func fields(_ head: RequestHead, accepted: String, line: String) -> [LogField] {
        [LogField("HOST", ForeignText.shownSite(head.host, to: fieldMax)), LogField("ACCEPTED", accepted)]
            + (line.isEmpty ? [] : [LogField("REMEDY", line), .setting(String(line.prefix { $0 != ":" }))])
    }
}
