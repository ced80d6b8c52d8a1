// What a client needs to know before it begins.

import Base
import Host

/// How to reach a daemon, as whom, and what for.
public struct Options: Sendable {
    /// `ws://`, `wss://`, `http://` or `https://` with host, port and the path of a proxy, or `unix:/path` of a socket. A path that ends in `/ws` or
    /// `/ws/logs` is understood too: the channel that it names is subscribed.
    public var url: String
    public var credential = Credential.none
    public var channels: Set<Channel> = []
    public var filters = Filters()
    /// Events of before: from an id on (that one not included), from an instant (RFC 3339), or of the last so long (`5m`).
    public var since: String?
    /// The last so many events of before.
    public var history: Int?
    /// Whose certificates are taken over TLS.
    public var trust = Trust.system
    /// How messages travel; what they tell is the same.
    public var encoding = Encoding.json
    /// Whether what the daemon sends may come compressed; what it tells is the same.
    public var compression = Compression.toOthers
    /// For the daemon's list of clients.
    public var userAgent = "\(Version.name)-client/\(Version.number)"

    public init(url: String, channels: Set<Channel> = []) {
        self.url = url
        self.channels = channels
    }

    /// Who the client is.
    public enum Credential: Sendable {
        case none
        /// A token, or an API key (`gla_…`).
        case token(String)
        /// Gives a fresh token each time; called on a thread of its own, may block. Asked again before a token expires.
        case provider(@Sendable () throws -> String)
    }

    /// What messages are written in.
    public enum Encoding: Sendable {
        case json
        /// Shorter by about a seventh. `rawJSON` of an event is the JSON that says the same.
        case messagePack

        /// What is asked for; nil where nothing need be.
        var subprotocol: String? {
            switch self {
            case .json: nil
            case .messagePack: "goleapai.v1.msgpack"
            }
        }
    }

    /// To which daemons compression (permessage-deflate, RFC 7692) is offered.
    public enum Compression: Sendable {
        /// All but those on this machine, where it would cost time and save nothing.
        case toOthers
        case always
        case never

        /// - Parameter isNear: the daemon is on this machine.
        func isOffered(isNear: Bool) -> Bool {
            switch self {
            case .toOthers: !isNear
            case .always: true
            case .never: false
            }
        }
    }

    /// Whose certificates are taken. The name in the certificate must be the host's, except for `everybody`.
    public enum Trust: Sendable, Equatable {
        /// Those of the authorities that this machine trusts.
        case system
        /// Those of the authorities, or the very certificates, in a PEM file.
        case file(String)
        case everybody
    }
}

/// An `Options` that cannot be used.
public struct OptionsError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
}

/// Where the daemon is, taken apart.
enum Target: Equatable, Sendable {
    case network(ServerURL)
    case local(path: String)

    /// - Returns: with the channel that the address names, if it does.
    static func parse(_ url: String) throws(OptionsError) -> (target: Target, channel: Channel?) {
        if url.hasPrefix("unix:") {
            let path = String(url.dropFirst(5))
            guard path.hasPrefix("/"), !path.utf8.contains(0) else { throw OptionsError(description: "\(url) is not an address; write it like unix:/run/name.sock") }
            return (.local(path: path), nil)
        }
        guard ["ws://", "wss://", "http://", "https://"].contains(where: { url.lowercased().hasPrefix($0) }) else {
            throw OptionsError(description: "\(url) is not an address; write it like ws://127.0.0.1:8080")
        }
        let (text, channel) = withoutEndpoint(url)
        do throws(ServerURL.Refusal) {
            return (.network(try ServerURL(parsing: text)), channel)
        } catch {
            throw OptionsError(description: error.description)
        }
    }

    private static func withoutEndpoint(_ url: String) -> (String, Channel?) {
        if url.hasSuffix("/ws") { return (String(url.dropLast(3)), nil) }
        for channel in Channel.allCases where url.hasSuffix("/ws/\(channel.rawValue)") {
            return (String(url.dropLast(4 + channel.rawValue.utf8.count)), channel)
        }
        return (url, nil)
    }

    /// Of the request.
    var path: String {
        switch self {
        case .network(let url): "\(url.basePath)/ws?welcome=true"
        case .local: "/ws?welcome=true"
        }
    }

    /// The value of `Host`.
    var hostField: String {
        switch self {
        case .network(let url): url.hostField
        case .local: "localhost"
        }
    }

    /// As people know it.
    var name: String {
        switch self {
        case .network(let url): url.description
        case .local(let path): "unix:\(path)"
        }
    }
}
