// `goleapai-ws top`: from the command line to the dashboard, or to one snapshot.

import Base
import GoLeapAIWSClient
import Protocol
import Terminal

func topCommand(_ arguments: Arguments) throws(UsageError) -> Int32 {
    let isOnce = arguments.has("--once")
    if arguments.has("--json"), !isOnce { throw UsageError(message: "--json is for --once") }
    let interval = try arguments.integer("--interval", in: 1...3600)
    let variables = environment()
    if !isOnce, let obstacle = Top.obstacle(variables) { throw UsageError(message: obstacle) }
    return try DaemonAccess.use(arguments, for: "top") { (access) throws(UsageError) -> Int32 in
        var client = Options(url: access.url.description)
        if let path = arguments["--ca"] { client.trust = .file(path) }
        if arguments.has("--insecure") { client.trust = .everybody }
        client.userAgent = "\(Version.name)-top/\(Version.number)"
        if access.authorization != nil { client.credential = .provider { try token(arguments) } }
        var options = TopOptions(client: client) { daemonVersion(access) }
        if let interval { options.interval = interval }
        return isOnce ? snapshot(options, asJSON: arguments.has("--json")) : dashboard(options, variables)
    }
}

private func dashboard(_ options: TopOptions, _ variables: [String: String]) -> Int32 {
    switch Top.run(options, environment: variables) {
    case .quit: return ExitCode.fine
    case .signal(let number): Top.end(by: number)
    case .failed(let why):
        Output.error("\(Version.name) top: \(Output.harmless(why))\n")
        return ExitCode.failed
    }
}

private func snapshot(_ options: TopOptions, asJSON: Bool) -> Int32 {
    let snapshot = TopSnapshot.take(options, asJSON: asJSON)
    Output.write(snapshot.text)
    guard let complaint = snapshot.complaint else { return ExitCode.fine }
    Output.error("\(Version.name) top: \(complaint)\n")
    return ExitCode.failed
}

/// The token of the file, read again for each connection: whoever renews the file need not start us anew.
@Sendable private func token(_ arguments: Arguments) throws(UsageError) -> String {
    guard let token = try daemonToken(arguments) else { throw UsageError(message: "--token-file: no token") }
    return token
}

/// What `/version` says; nil where it cannot be asked, and only the first line of the screen is poorer.
@Sendable private func daemonVersion(_ access: DaemonAccess) -> String? {
    guard let answer = try? HTTPClient(access).request("GET", "/version"), answer.status == 200 else { return nil }
    return answer.json?["version"]?.string
}
