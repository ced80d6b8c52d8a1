// The address of a running daemon, as people give it to the commands.

/// `http://host[:port][/path]`, the same with `https`, `ws` or `wss`; or `unix:/path`, the socket for producers on the same machine.
public struct ServerURL: Equatable, Sendable, CustomStringConvertible {
    /// With scheme `http` or `https`.
    public let origin: WebOrigin
    /// Put before the paths of requests; empty, or begins with a slash and does not end with one.
    public let basePath: String
    /// Of a Unix socket; then host and port mean nothing.
    public let socketPath: String?

    public var isSecure: Bool { origin.scheme == "https" }
    public var host: String { origin.host }
    public var port: Int { origin.port }
    /// For the field `Host`.
    public var hostField: String { socketPath != nil ? "localhost" : String(origin.description.dropFirst(origin.scheme.count + 3)) }

    /// Why a text is no such address.
    public struct Refusal: Error, Equatable, CustomStringConvertible {
        public let description: String
    }

    public init(parsing url: String) throws(Refusal) {
        if url.hasPrefix("unix:") {
            let path = String(url.dropFirst(5))
            // unix(7): sun_path has 108 bytes, with the zero at the end.
            guard path.hasPrefix("/"), path.utf8.count < 108, !path.utf8.contains(0), let origin = WebOrigin(parsing: "http://localhost") else {
                throw Refusal(description: "\(url) is not the path of a socket; write it like unix:/run/goleapai-ws/publish.sock")
            }
            (self.origin, basePath, socketPath) = (origin, "", path)
            return
        }
        let text = url.hasPrefix("ws") ? "http" + url.dropFirst(2) : url
        let scheme = text.hasPrefix("https://") ? "https://" : "http://"
        let authorityEnd = text.dropFirst(scheme.count).firstIndex(of: "/") ?? text.endIndex
        guard let origin = WebOrigin(parsing: text[..<authorityEnd]) else {
            throw Refusal(description: "\(url) is not an address; write it like http://127.0.0.1:8080")
        }
        let path = text[authorityEnd...]
        // What goes into a request line must not be able to end it.
        guard path.utf8.allSatisfy({ $0 > 32 && $0 < 127 }), !path.contains("?"), !path.contains("#") else {
            throw Refusal(description: "\(url) is not the address of a daemon; it may have a path, and nothing behind that")
        }
        self.origin = origin
        socketPath = nil
        basePath = path.hasSuffix("/") ? String(path.dropLast()) : String(path)
    }

    public var description: String { socketPath.map { "unix:\($0)" } ?? origin.description + basePath }
}
