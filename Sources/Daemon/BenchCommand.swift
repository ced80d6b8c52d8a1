// `goleapai-ws bench`: from the command line to a plan, and from the report to the terminal.

import Base
import Bench
import Fanout
import Glibc
import Host

func benchCommand(_ arguments: Arguments) throws(UsageError) -> Int32 {
    let url: String
    do throws(ConfigErrors) {
        url = try daemonURL(arguments)
    } catch {
        Output.error("\(error)\n")
        return ExitCode.configuration
    }
    let limit = Socket.raiseDescriptorLimit()
    let plan = try benchPlan(arguments, url: url, descriptors: limit)
    let worker = try arguments.integer("--worker", in: 0...plan.processes - 1)
    do throws(BenchError) {
        if let worker { return try Worker(plan, index: worker).run() }
        let report = try measure(plan, words(for: plan, arguments, url: url))
        Output.write(arguments.has("--json") ? report.json + "\n" : report.text)
        Output.error(report.complaint)
        return report.isFine ? ExitCode.fine : ExitCode.failed
    } catch {
        Output.error("\(Version.name) bench: \(error)\n")
        return ExitCode.failed
    }
}

/// With a line of progress where standard error is a terminal; it is gone at the end.
private func measure(_ plan: BenchPlan, _ words: [String]) throws(BenchError) -> BenchReport {
    let isTerminal = isatty(2) == 1
    // To the left edge, and what was there is erased.
    let erase = "\r\u{1B}[K"
    defer { if isTerminal { Output.error(erase) } }
    return try Coordinator(plan, arguments: words, progress: isTerminal ? { Output.error(erase + $0) } : nil).measure()
}

/// - Parameter descriptors: how many a process may have.
func benchPlan(_ arguments: Arguments, url: String, descriptors: Int) throws(UsageError) -> BenchPlan {
    let target: ServerURL
    do throws(ServerURL.Refusal) {
        target = try ServerURL(parsing: url)
    } catch {
        throw UsageError(message: error.description)
    }
    guard target.socketPath == nil else { throw UsageError(message: "\(url): a Unix socket takes events only; bench needs an address") }
    var plan = BenchPlan(target: target)
    plan.clients = try arguments.integer("--clients", in: 0...BenchPlan.clientsMax) ?? plan.clients
    plan.slow = try arguments.integer("--slow", in: 0...plan.clients) ?? 0
    plan.channels = try channels(arguments["--channels"]) ?? plan.channels
    if let name = arguments["--encoding"] {
        guard let encoding = BenchPlan.Encoding(rawValue: name) else { throw UsageError(message: "--encoding \(name): wanted is json or msgpack") }
        plan.encoding = encoding
    }
    plan.filters = try patterns("--filter", arguments)
    plan.fields = try patterns("--event", arguments)
    plan.batch = try arguments.integer("--batch", in: 1...BenchPlan.batchMax) ?? plan.batch
    plan.eventBytes = try arguments.integer("--size", in: 1...BenchPlan.eventBytesMax) ?? plan.eventBytes
    plan.nanoseconds = try time("--duration", arguments) ?? plan.nanoseconds
    plan.warmUpNanoseconds = try time("--warmup", arguments, allowsZero: true) ?? plan.warmUpNanoseconds
    plan.events = try arguments.integer("--events", in: 1...Int(UInt32.max / 2))
    plan.outstanding = try arguments.integer("--outstanding", in: 1...BenchPlan.outstandingMax)
    if let rate = try arguments.integer("--rate", in: 1...10_000_000) {
        plan.pace = .perSecond(rate)
    } else if plan.outstanding != nil {
        plan.pace = .fullSpeed
    }
    plan.isIdle = arguments.has("--idle")
    plan.compresses = arguments.has("--compress")
    switch arguments["--publisher"] {
    case nil, "self"?: break
    case "none"?: plan.pace = .none
    case let who?: throw UsageError(message: "--publisher \(who): wanted is self or none")
    }
    if !plan.publishes {
        let option = ["--rate", "--outstanding", "--batch", "--size", "--events", "--event", "--warmup"].first(where: arguments.has)
        if let option { throw UsageError(message: "\(option) is for a run that publishes") }
    }
    plan.trust = try daemonTrust(arguments)
    plan.serverProcess = try arguments.integer("--pid", in: 1...Int(Int32.max))
    plan.authorization = try daemonAuthorization(arguments)
    try setProcesses(&plan, arguments, descriptors)
    do throws(BenchError) {
        try plan.check()
    } catch {
        throw UsageError(message: error.description)
    }
    return plan
}

private func setProcesses(_ plan: inout BenchPlan, _ arguments: Arguments, _ descriptors: Int) throws(UsageError) {
    let clientsPerProcess = max(1, descriptors - BenchPlan.descriptorsReserved)
    let needed = max(1, (plan.clients + clientsPerProcess - 1) / clientsPerProcess)
    plan.processes = try arguments.integer("--processes", in: 1...BenchPlan.processesMax) ?? needed
    guard plan.processes >= needed, needed <= BenchPlan.processesMax else {
        throw UsageError(message: "\(plan.clients) clients need \(needed) processes: one may have \(descriptors) descriptors")
    }
}

private func channels(_ text: String?) throws(UsageError) -> [String]? {
    guard let text else { return nil }
    let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    for name in names where Channel(name: name) == nil {
        throw UsageError(message: "--channels \(name): known are \(Channel.allCases.map(\.name).joined(separator: ", "))")
    }
    return names
}

private func patterns(_ option: String, _ arguments: Arguments) throws(UsageError) -> FieldPatterns {
    guard let text = arguments[option] else { return FieldPatterns() }
    do throws(BenchError) {
        return try FieldPatterns(parsing: text)
    } catch {
        throw UsageError(message: "\(option): \(error)")
    }
}

/// Nanoseconds.
private func time(_ option: String, _ arguments: Arguments, allowsZero: Bool = false) throws(UsageError) -> UInt64? {
    guard let text = arguments[option] else { return nil }
    guard let duration = DurationText.parse(text), (allowsZero ? .zero : .milliseconds(1)) <= duration, duration <= .seconds(86_400) else {
        throw UsageError(message: "\(option) \(text): wanted is a time such as 500ms, 5s or 2m, at most 24h")
    }
    return UInt64(duration.wholeMilliseconds) * 1_000_000
}

/// The words that make the same plan in a worker.
private func words(for plan: BenchPlan, _ arguments: Arguments, url: String) -> [String] {
    var values = arguments.values
    values["--url"] = url
    values["--processes"] = "\(plan.processes)"
    let options = Command.named("bench")?.options ?? []
    return [Version.name, "bench"]
        + values.sorted { $0.key < $1.key }.flatMap { name, value in
            options.contains { $0.name == name && $0.value == nil } ? [name] : ["\(name)=\(value)"]
        }
}
