// Where the commands that talk to a running daemon find it, and what they show it.

import Base
import Host

/// Where the daemon is: as said, else as the environment says, else as the configuration of this machine says.
func daemonURL(_ arguments: Arguments) throws(ConfigErrors) -> String {
    if let url = arguments["--url"] ?? environment()["GOLEAPAI_WS_URL"] { return url }
    // Who talks to it need not be able to read its key.
    let server = try loadSettings(arguments, readsCertificates: false).settings.server
    let host = server.host.first ?? "127.0.0.1"
    let isPlain = !server.tls.enabled || server.tls.port != 0
    return "\(isPlain ? "http" : "https")://\(host.contains(":") ? "[\(host)]" : host):\(server.port)"
}

/// How a command reaches a daemon, and as whom.
struct DaemonAccess: Sendable {
    let url: ServerURL
    /// The value of the field `Authorization`.
    var authorization: String?
    /// Whom to trust over TLS; nil where the address asks for none.
    var trust: TLSClientContext?

    /// What every request says of who asks.
    var fields: [(String, String)] {
        [("User-Agent", "\(Version.name)/\(Version.number)")] + (authorization.map { [("Authorization", $0)] } ?? [])
    }

    /// Reaches the daemon that the options name, which all commands of clients share, and says why where that is not possible.
    /// - Returns: the exit code.
    static func use(
        _ arguments: Arguments, for command: String, _ body: (DaemonAccess) throws(UsageError) -> Int32
    ) throws(UsageError) -> Int32 {
        let text: String
        do throws(ConfigErrors) {
            text = try daemonURL(arguments)
        } catch {
            Output.error("\(error)\n")
            return ExitCode.configuration
        }
        var access: DaemonAccess
        do throws(ServerURL.Refusal) {
            access = DaemonAccess(url: try ServerURL(parsing: text))
        } catch {
            throw UsageError(message: error.description)
        }
        access.authorization = try daemonAuthorization(arguments)
        let trust = try daemonTrust(arguments)
        do throws(TLSFailure) {
            if access.url.isSecure { access.trust = try TLSClientContext(trust) }
        } catch {
            Output.error("\(Version.name) \(command): \(error.reason)\n")
            return ExitCode.failed
        }
        return try body(access)
    }
}

/// Whose certificates are taken.
func daemonTrust(_ arguments: Arguments) throws(UsageError) -> TLSClientContext.Trust {
    if arguments.has("--ca"), arguments.has("--insecure") { throw UsageError(message: "--ca and --insecure: whom to trust is one thing only") }
    if let path = arguments["--ca"] { return .file(path) }
    return arguments.has("--insecure") ? .everybody : .system
}

/// The credential in the file that `--token-file` or the environment names; nil where none is named.
/// - Throws: a sentence; the credential is never in it.
func daemonToken(_ arguments: Arguments) throws(UsageError) -> String? {
    guard let path = arguments["--token-file"] ?? environment()["GOLEAPAI_WS_TOKEN_FILE"] else { return nil }
    let token: String
    do {
        token = try ConfigFile.readSecret(path)
    } catch {
        throw UsageError(message: "--token-file: \(error)")
    }
    guard !token.isEmpty, token.utf8.count <= 8192, token.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
        throw UsageError(message: "--token-file \(path): it holds no token")
    }
    return token
}

/// The value of the field `Authorization` with `daemonToken`.
func daemonAuthorization(_ arguments: Arguments) throws(UsageError) -> String? {
    try daemonToken(arguments).map { "\($0.hasPrefix("gla_") ? "ApiKey" : "Bearer") \($0)" }
}
