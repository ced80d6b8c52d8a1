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
