// The report for programs: one object, in which everything has its unit in its name.

import Protocol

extension BenchReport {
    /// One JSON object. What could not be measured is left out.
    public var json: String {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("ok")
        writer.bool(isFine)
        writer.key("interrupted")
        writer.bool(isInterrupted)
        writePlan(&writer)
        writer.key("connect")
        writer.beginObject()
        writer.number("seconds", Double(connectNanoseconds) / 1e9)
        writer.number("per_second", connectNanoseconds > 0 ? Double(plan.clients) * 1e9 / Double(connectNanoseconds) : nil)
        if plan.clients > 0 { writer.number("server_cpu_us_per_client", connectCPU.map { Double($0.nanoseconds) / 1000 / Double(plan.clients) }) }
        writer.endObject()
        if plan.publishes {
            writer.key("published")
            writer.beginObject()
            writer.number("events", Double(events))
            writer.number("seconds", publishSeconds)
            writer.number("per_second", eventsPerSecond)
            if case .perSecond(let rate) = plan.pace { writer.number("rate_held", eventsPerSecond / Double(rate)) }
            writer.key("answer_ms")
            BenchReport.write(answers, to: &writer)
            writer.endObject()
        }
        writer.key("deliveries")
        writer.beginObject()
        writer.number("count", Double(counts.delivered))
        writer.number("seconds", seconds)
        writer.number("per_second", deliveriesPerSecond)
        writer.number("payload_bytes", Double(counts.payloadBytes))
        writer.number("wire_bytes", Double(counts.wireBytes))
        writer.number("told_lost", Double(counts.toldLost))
        writer.number("gaps", Double(counts.gaps))
        writer.number("lost", Double(counts.lost))
        writer.number("repeated", Double(counts.repeated))
        writer.number("wrong", Double(counts.wrong))
        writer.number("foreign", Double(counts.foreign))
        writer.endObject()
        if latency.total > 0 {
            writer.key("latency_ms")
            BenchReport.write(latency, to: &writer)
        }
        if let serverProcess { writeServer(serverProcess, to: &writer) }
        writer.key("generator")
        writer.beginObject()
        writer.key("cores")
        writer.beginArray()
        for cores in generatorCores { writer.double(cores) }
        writer.endArray()
        writer.number("cpu_us_per_delivery", perDelivery(generatorNanoseconds))
        writer.key("bottleneck")
        writer.bool(generatorIsBottleneck)
        writer.endObject()
        if plan.slow > 0 { writer.number("slow_disconnected", Double(slowEnded)) }
        writer.key("faults")
        writer.beginArray()
        for fault in faults { writer.string(fault) }
        writer.endArray()
        writer.endObject()
        return writer.text
    }

    private func writePlan(_ writer: inout JSONWriter) {
        writer.key("target")
        writer.string(plan.target.description)
        writer.key("encoding")
        writer.string(plan.encoding.rawValue)
        for (key, value) in [
            ("clients", plan.clients), ("slow", plan.slow), ("processes", plan.processes), ("event_bytes", plan.eventBytes), ("batch", plan.batch),
        ] {
            writer.number(key, Double(value))
        }
        writer.key("channels")
        writer.beginArray()
        for channel in plan.channels { writer.string(channel) }
        writer.endArray()
        if case .perSecond(let rate) = plan.pace, plan.publishes { writer.number("rate", Double(rate)) }
        writer.number("outstanding", plan.outstanding.map(Double.init))
    }

    private func writeServer(_ process: Int, to writer: inout JSONWriter) {
        writer.key("server")
        writer.beginObject()
        writer.number("pid", Double(process))
        if let cpu = serverCPU {
            writer.number("cpu_seconds", Double(cpu.nanoseconds) / 1e9)
            writer.number("user_seconds", cpu.userSeconds)
            writer.number("system_seconds", cpu.systemSeconds)
            writer.number("cores", seconds > 0 ? Double(cpu.nanoseconds) / 1e9 / seconds : nil)
            writer.number("cpu_us_per_delivery", perDelivery(cpu.nanoseconds))
            writer.number("cpu_us_per_event", events > 0 ? Double(cpu.nanoseconds) / 1000 / Double(events) : nil)
        }
        writer.number("rss_bytes", memoryAfter.map { Double($0.residentBytes) })
        writer.number("rss_bytes_per_client", perClient(memoryConnected, \.residentBytes))
        writer.number("private_dirty_bytes_per_client", perClient(memoryConnected, \.privateDirtyBytes))
        if let connected = memoryConnected, let after = memoryAfter {
            writer.number("private_dirty_bytes_grown", Double(after.privateDirtyBytes - connected.privateDirtyBytes))
        }
        writer.endObject()
    }

    private static func write(_ histogram: Histogram, to writer: inout JSONWriter) {
        writer.beginObject()
        for (name, parts) in [("p50", 50_000), ("p99", 99_000), ("p99_9", 99_900)] as [(String, UInt64)] {
            writer.number(name, Double(histogram.percentile(parts)) / 1e6)
        }
        writer.number("max", Double(histogram.largest) / 1e6)
        writer.endObject()
    }
}

extension JSONWriter {
    /// A member; none where there is no number.
    fileprivate mutating func number(_ name: String, _ value: Double?) {
        guard let value else { return }
        key(name)
        double(value)
    }
}
