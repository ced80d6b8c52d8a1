// Which web pages may talk to the daemon: the checks that keep the others out.

import Base
import Host
import Protocol

/// The checks of `Host` and `Origin`.
struct Access: Sendable {
    /// Hosts, lower case without port, that `Host` may name besides IP literals and `localhost`.
    private let hosts: Set<String>
    /// Origins that may connect besides our own, as `scheme://host[:port]` with default ports left out; in the configuration's order.
    private let listed: [String]
    /// `server.public_url` in the same form: ours by another name. nil without one.
    private let publicOrigin: String?
    private let allowsAnyOrigin: Bool
    /// Whether `Host` must be one of ours: where nobody is asked who they are, a page of a name that was made to lead here must get nowhere.
    private let checksHost: Bool

    init(publicURL: String, allowedOrigins: [String], checksHost: Bool = true) {
        self.checksHost = checksHost
        listed = allowedOrigins.filter { $0 != "*" }.map(Access.normalise)
        publicOrigin = publicURL.isEmpty ? nil : Access.normalise(publicURL)
        hosts = Set((listed + (publicOrigin.map { [$0] } ?? [])).map { Access.host(ofAuthority: Access.authority(of: $0)) })
        allowsAnyOrigin = allowedOrigins.contains("*")
    }

    /// Refuses what a browser was tricked into sending.
    /// - Parameter isForAdmins: then only our own pages are let in: others could not read the answer, but a POST needs none.
    /// - Returns: nil when the request may go on.
    func refusal(of head: RequestHead, isForAdmins: Bool = false) -> AccessRefusal? {
        if checksHost, !isOwnHost(head) { return .host(head, accepted: hosts.sorted()) }
        let sent = head.all("origin")
        guard let origin = sent.first else { return nil }
        let isOneOfUs = isOwn(origin, host: head.host)
        guard sent.count == 1, isOneOfUs || !isForAdmins && isListed(origin) else {
            return .origin(
                origin, head, own: publicOrigin, listed: allowsAnyOrigin ? ["*"] + listed : listed,
                why: sent.count > 1 ? .several : isForAdmins ? .admin : .foreign)
        }
        return nil
    }

    /// Whether `Host` is one by which this server is known. Where it is not, a stranger's name may have been made to resolve to this machine
    /// (DNS rebinding).
    func isOwnHost(_ head: RequestHead) -> Bool {
        // What programs on this machine say, which may be thousands a second.
        if head.host.hasPrefix("127.0.0.1:") || head.host.hasPrefix("localhost:") { return true }
        let host = Access.host(ofAuthority: head.host.lowercased())
        return head.minorVersion == 0 && head.host.isEmpty || IPLiteral.normalised(host) != nil || host == "localhost" || hosts.contains(host)
    }

    private func isListed(_ origin: String) -> Bool { allowsAnyOrigin || listed.contains(Access.normalise(origin)) }

    private func isOwn(_ origin: String, host: String) -> Bool {
        let normal = Access.normalise(origin)
        if normal == publicOrigin { return true }
        // The same authority as the request's, by either scheme, since a proxy may have ended TLS.
        if ["http", "https"].contains(where: { normal == Access.normalise("\($0)://\(host)") }) { return true }
        guard normal.hasPrefix("http://") || normal.hasPrefix("https://") else { return false }
        // The names of this machine to itself are one: a page from localhost may ask 127.0.0.1 at the same port.
        let (from, to) = (Access.authority(of: normal), Access.authority(of: Access.normalise("http://\(host)")))
        return Access.isLoopbackName(Access.host(ofAuthority: from)) && Access.isLoopbackName(Access.host(ofAuthority: to))
            && Access.port(ofAuthority: from) == Access.port(ofAuthority: to)
    }

    private static func isLoopbackName(_ host: String) -> Bool { host == "localhost" || host == "127.0.0.1" || host == "::1" }

    /// The port as it is written, empty for the default one.
    static func port(ofAuthority authority: String) -> String {
        let rest = authority.hasPrefix("[") ? authority.drop { $0 != "]" }.dropFirst() : authority.drop { $0 != ":" }
        return String(rest.dropFirst())
    }

    /// Fields of an answer to a page of a listed origin.
    func crossOriginFields(for head: RequestHead) -> [(String, String)] {
        guard let origin = head.first("origin"), isListed(origin) || Access.normalise(origin) == publicOrigin else { return [] }
        return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
    }

    /// Whether a request came through a proxy: then its peer says nothing of its origin.
    static func isProxied(_ head: RequestHead) -> Bool {
        head.minorVersion == 0
            || head.fields.contains { $0.name == "forwarded" || $0.name == "x-real-ip" || $0.name == "via" || $0.name.hasPrefix("x-forwarded-") }
    }

    // MARK: texts

    /// Scheme and authority in lower case, default ports left out.
    static func normalise(_ url: String) -> String {
        let lower = url.lowercased()
        guard let scheme = lower.firstRange(of: "://") else { return lower }
        var authority = authority(of: lower)
        let name = lower[..<scheme.lowerBound]
        if (name == "http" || name == "ws"), authority.hasSuffix(":80") { authority.removeLast(3) }
        if (name == "https" || name == "wss"), authority.hasSuffix(":443") { authority.removeLast(4) }
        return "\(name)://\(authority)"
    }

    static func authority(of url: String) -> String {
        guard let scheme = url.firstRange(of: "://") else { return url }
        return String(url[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" })
    }

    static func host(ofAuthority authority: String) -> String {
        if authority.hasPrefix("[") { return String(authority.dropFirst().prefix { $0 != "]" }) }
        return String(authority.prefix { $0 != ":" })
    }
}
