// `goleapai-ws tail`: from the command line to what is shown.

import Base
import Glibc
import GoLeapAIWSClient
import Host
import Terminal

func tailCommand(_ arguments: Arguments) throws(UsageError) -> Int32 {
    let channels = try tailChannels(arguments.operands)
    let url: String
    do throws(ConfigErrors) {
        url = try daemonURL(arguments)
    } catch {
        Output.error("\(error)\n")
        return ExitCode.configuration
    }
    let options = try tailOptions(arguments, channels: channels, url: url)
    do throws(OptionsError) {
        let tail: Tail
        do throws(SystemError) {
            tail = try Tail(options)
        } catch {
            Output.error("\(options.name): \(error)\n")
            return ExitCode.failed
        }
        return try tail.run() ? ExitCode.fine : ExitCode.failed
    } catch {
        throw UsageError(message: error.description)
    }
}

func tailChannels(_ words: [String]) throws(UsageError) -> Set<GoLeapAIWSClient.Channel> {
    var channels: Set<GoLeapAIWSClient.Channel> = []
    for word in words {
        guard let channel = GoLeapAIWSClient.Channel(rawValue: word) else {
            let known = GoLeapAIWSClient.Channel.allCases.map(\.rawValue)
            throw UsageError(message: "no channel \(word); \(Suggestion.nearest(to: word, among: known).map { "did you mean \($0)?" } ?? "known are \(known.joined(separator: ", "))")")
        }
        channels.insert(channel)
    }
    return channels.isEmpty ? [.logs] : channels
}

func tailOptions(_ arguments: Arguments, channels: Set<GoLeapAIWSClient.Channel>, url: String) throws(UsageError) -> TailOptions {
    var client = Options(url: url, channels: channels)
    client.filters = try tailFilters(arguments, channels)
    client.since = arguments["--since"]
    if let since = client.since, since.isEmpty || since.utf8.count > 64 {
        throw UsageError(message: "--since \(since): wanted is a time such as 5m, an instant such as 2026-02-05T10:30:00Z, or an event's id")
    }
    client.history = try arguments.integer("--history", in: 0...999_999_999)
    if arguments.has("--ca"), arguments.has("--insecure") { throw UsageError(message: "--ca and --insecure: whom to trust is one thing only") }
    if let path = arguments["--ca"] { client.trust = .file(path) }
    if arguments.has("--insecure") { client.trust = .everybody }
    if let token = try daemonToken(arguments) { client.credential = .token(token) }
    client.userAgent = "\(Version.name)-tail/\(Version.number)"
    var options = TailOptions(client: client)
    options.name = "\(Version.name) tail"
    options.isJSON = arguments.has("--json")
    options.follows = !arguments.has("--no-follow")
    // Without a wish for events of before there is nothing that ends.
    if !options.follows, client.since == nil, client.history == nil { options.client.history = 999_999_999 }
    switch arguments["--color"] ?? "auto" {
    case "auto": options.isColoured = isatty(1) == 1 && (environment()["NO_COLOR"] ?? "").isEmpty
    case "always": options.isColoured = true
    case "never": options.isColoured = false
    case let word: throw UsageError(message: "--color \(word): wanted is auto, always or never")
    }
    return options
}

private func tailFilters(_ arguments: Arguments, _ channels: Set<GoLeapAIWSClient.Channel>) throws(UsageError) -> Filters {
    // A filter that filters nothing is a mistake of who typed it.
    let owners: [(option: String, channels: Set<GoLeapAIWSClient.Channel>)] = [
        ("--level", [.logs]), ("--component", [.logs]), ("--grep", [.logs]), ("--q", [.logs]), ("--provider", [.logs, .requests, .providers]),
        ("--model", [.requests]), ("--only-errors", [.requests]), ("--min-latency", [.requests]), ("--window", [.stats]), ("--interval", [.stats]),
    ]
    for (option, owners) in owners where arguments.has(option) && !channels.contains(.all) && channels.isDisjoint(with: owners) {
        let names = GoLeapAIWSClient.Channel.allCases.filter { owners.contains($0) }.map(\.rawValue)
        throw UsageError(message: "\(option) is for the channel \(names.joined(separator: ", "))")
    }
    func list(_ option: String) -> [String] { arguments[option]?.split(separator: ",").map(String.init) ?? [] }
    var filters = Filters()
    if let level = arguments["--level"] {
        let known = ["debug", "info", "warn", "error", "fatal", "panic"]
        for word in level.split(separator: ",", omittingEmptySubsequences: false) where !known.contains(String(word)) {
            throw UsageError(message: "--level \(word): known are \(known.joined(separator: ", "))")
        }
        filters.logs.level = level
    }
    filters.logs.components = list("--component")
    filters.logs.text = arguments["--grep"] ?? arguments["--q"]
    filters.logs.providerIDs = list("--provider")
    filters.requests.providerIDs = list("--provider")
    filters.providers.providerIDs = list("--provider")
    filters.requests.modelIDs = list("--model")
    filters.requests.onlyErrors = arguments.has("--only-errors")
    filters.requests.minLatency = try arguments.integer("--min-latency", in: 0...Int(Int32.max))
    if let window = arguments["--window"] {
        let known = ["1m", "5m", "1h", "24h"]
        guard known.contains(window) else { throw UsageError(message: "--window \(window): known are \(known.joined(separator: ", "))") }
        filters.stats.window = window
    }
    filters.stats.interval = try arguments.integer("--interval", in: 1...3600)
    return filters
}
