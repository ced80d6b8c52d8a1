// The report for people.

extension BenchReport {
    /// Some lines, each with its heading.
    public var text: String {
        var lines: [(String, String)] = []
        lines.append(("target", "\(plan.target), \(plan.clients) clients on \(plan.channels.joined(separator: ", "))\(plan.encoding == .json ? "" : " by \(plan.encoding.rawValue)")\(plan.slow > 0 ? ", \(plan.slow) of them slow" : "")"))
        lines.append(("connected", connecting))
        if plan.publishes { lines.append(("published", publishing)) }
        if !plan.isIdle, plan.clients > 0 {
            lines.append(("delivered", delivering))
            if latency.total > 0 { lines.append(("latency", BenchReport.milliseconds(latency))) }
        }
        if let server = serverLine { lines.append(("server", server)) }
        if let memory = memoryLine { lines.append(("memory", memory)) }
        lines.append(("generator", "\(BenchReport.number(generatorCores.reduce(0, +), 2)) cores\(plan.processes > 1 ? " in \(plan.processes) processes" : "")"))
        if plan.slow > 0 { lines.append(("slow", "\(slowEnded) of \(plan.slow) were disconnected")) }
        var text = lines.map { "\($0)\(String(repeating: " ", count: 11 - $0.count))\($1)\n" }.joined()
        if generatorIsBottleneck {
            text += "the generator has no time left: the server may be faster than this; give it more cores and --processes\n"
        }
        if isInterrupted { text += "interrupted\n" }
        return text
    }

    /// What is wrong, a line each; empty where nothing is.
    public var complaint: String {
        guard !isFine else { return "" }
        let rest = faultCount > UInt64(faults.count) ? ["… \(faultCount) in all"] : []
        return (faults + rest).map { $0 + "\n" }.joined()
    }

    private var connecting: String {
        let seconds = Double(connectNanoseconds) / 1e9
        var line = "in \(BenchReport.number(seconds, 2)) s"
        if seconds > 0, plan.clients > 0 { line += ", \(BenchReport.short(Double(plan.clients) / seconds))/s" }
        if let cpu = connectCPU, plan.clients > 0 { line += "; \(BenchReport.number(Double(cpu.nanoseconds) / 1000 / Double(plan.clients), 1)) µs of the server's CPU each" }
        return line
    }

    private var publishing: String {
        var line = "\(events) events in \(BenchReport.number(publishSeconds, 2)) s, \(BenchReport.short(eventsPerSecond))/s"
        if case .perSecond(let rate) = plan.pace { line += " of \(rate)" }
        if answers.total > 0 { line += "; answered: \(BenchReport.milliseconds(answers))" }
        return line
    }

    private var delivering: String {
        var line = "\(counts.delivered), \(BenchReport.short(deliveriesPerSecond))/s"
        line += faultCount == 0 ? ", all in order" : ", with \(faultCount) faults"
        if counts.toldLost > 0 { line += "; \(counts.toldLost) lost, of which \(counts.gaps) gaps have told" }
        if counts.lost > 0 { line += "; \(counts.lost) lost in silence" }
        if plan.compresses, counts.wireBytes > 0 {
            line += "; \(BenchReport.number(Double(counts.wireBytes) / Double(max(1, counts.delivered)), 0)) bytes each on the wire"
            line += ", \(BenchReport.number(Double(counts.payloadBytes) / Double(counts.wireBytes), 2)) times as many before"
        }
        if counts.foreign > 0 { line += "; \(counts.foreign) messages of others" }
        return line
    }

    private var serverLine: String? {
        guard let cpu = serverCPU, let serverProcess else { return nil }
        var line = "\(BenchReport.number(seconds > 0 ? Double(cpu.nanoseconds) / 1e9 / seconds : 0, 3)) cores"
        if let each = perDelivery(cpu.nanoseconds) { line += ", \(BenchReport.number(each, 3)) µs per delivery" }
        if events > 0 { line += ", \(BenchReport.number(Double(cpu.nanoseconds) / 1000 / Double(events), 2)) µs per event" }
        let ticks = cpu.userSeconds + cpu.systemSeconds
        if ticks > 0 { line += " (\(BenchReport.number(100 * cpu.userSeconds / ticks, 0)) % in user mode)" }
        return line + "; pid \(serverProcess)"
    }

    private var memoryLine: String? {
        guard let resident = perClient(memoryConnected, \.residentBytes), let dirty = perClient(memoryConnected, \.privateDirtyBytes),
            let connected = memoryConnected, let after = memoryAfter
        else { return nil }
        let grown = after.privateDirtyBytes - connected.privateDirtyBytes
        return "\(BenchReport.number(resident, 0)) bytes per client, \(BenchReport.number(dirty, 0)) of them private; \(grown / 1024) KiB more at the end"
    }

    // MARK: numbers

    static func milliseconds(_ histogram: Histogram) -> String {
        let parts: [(String, UInt64)] = [
            ("p50", histogram.percentile(50_000)), ("p99", histogram.percentile(99_000)), ("p99.9", histogram.percentile(99_900)), ("max", histogram.largest),
        ]
        return parts.map { "\($0) \(number(Double($1) / 1e6, 3))" }.joined(separator: ", ") + " ms"
    }

    /// With so many digits behind the point.
    static func number(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite, value.magnitude < 1e15 else { return "?" }
        let factor = [1, 10, 100, 1000][min(digits, 3)]
        let whole = Int64((value * Double(factor)).rounded())
        guard factor > 1 else { return "\(whole)" }
        let fraction = String(whole.magnitude % UInt64(factor))
        return "\(whole < 0 ? "-" : "")\(whole.magnitude / UInt64(factor)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }

    /// Three or four digits that matter: `1.25 M`.
    static func short(_ value: Double) -> String {
        switch value {
        case 1_000_000...: "\(number(value / 1_000_000, 2)) M"
        case 10_000...: "\(number(value / 1000, 1)) k"
        default: number(value, value < 100 ? 1 : 0)
        }
    }
}
