// The table of metrics: the daemon itself and its process.

import Base
import Fanout
import Host

extension Metric {
    static let daemon: [Metric] = [
        gauge(
            "build_info",
            labels: ["version", "commit", "swift"].map {
                MetricLabel(name: $0, values: [], note: "as `goleapai-ws version` tells")
            },
            "Always 1; the labels are this build.", reading: "To see which version runs where."
        ) { [Sample(labels: [$0.build.version, $0.build.commit, $0.build.swift], value: .level(1))] },
        gauge(
            "uptime_seconds", unit: "seconds", "Time since the start.", reading: "Begins anew: a restart; the journal says why."
        ) {
            .real(Double($0.now.milliseconds - $0.started.milliseconds) / 1000)
        },
        gauge("draining", "1 while the daemon stops, and tells its clients to come back.", reading: "For 15 s at most.") {
            .level($0.isDraining ? 1 : 0)
        },
        gauge("shards", "Queues that share the clients.", reading: "server.shards.") { .level(Int64($0.shards.count)) },
        Metric(
            name: prefix + "log_entries_total", kind: .counter, unit: "",
            labels: [MetricLabel(name: "level", values: LogLevel.allCases.map(\.name))],
            help: "Entries of the daemon's own log.", reading: "warn and error rising: read them."
        ) { _ in LogLevel.allCases.map { Sample(labels: [$0.name], value: .count(Log.written($0))) } },
        Metric(
            name: prefix + "log_entries_left_out_total", kind: .counter, unit: "",
            labels: [MetricLabel(name: "reason", values: ["flood", "overflow"])],
            help:
                "Entries of the daemon's own log that were not written: too many of the same place, or the log did not take them.",
            reading: "flood is told in the log afterwards; overflow: the journal or the terminal stands still."
        ) { _ in
            [Sample(labels: ["flood"], value: .count(Log.suppressed)), Sample(labels: ["overflow"], value: .count(Log.lost))]
        },
    ]

    /// As every Prometheus client names them: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
    static let process: [Metric] = [
        standard(
            "process_cpu_seconds_total", .counter, unit: "seconds", "Time of the processor that all threads have used.",
            reading: "A rate of 1 is one processor."
        ) {
            .real(Double($0.cpuMicroseconds) / 1e6)
        },
        standard(
            "process_resident_memory_bytes", .gauge, unit: "bytes", "Memory in use.",
            reading: "Some 10 MB, history and its frames, and what TLS keeps per connection."
        ) {
            $0.residentBytes.map { .count($0) }
        },
        standard(
            "process_virtual_memory_bytes", .gauge, unit: "bytes", "Memory that is reserved.",
            reading: "Much more than is in use; of no concern."
        ) {
            $0.virtualBytes.map { .count($0) }
        },
        standard("process_open_fds", .gauge, unit: "", "Open descriptors.", reading: "One per connection, and some twenty.") {
            $0.openDescriptors.map { .level(Int64($0)) }
        },
        standard(
            "process_max_fds", .gauge, unit: "", "The limit of open descriptors.",
            reading: "websocket.max_clients is lowered where it does not fit."
        ) {
            $0.descriptorsMax.map { $0 == .max ? .real(.infinity) : .count($0) }
        },
        standard(
            "process_start_time_seconds", .gauge, unit: "seconds", "When the process was started, in seconds since 1970.",
            reading: "Changes with each restart."
        ) {
            $0.started.map { .real(Double($0.milliseconds) / 1000) }
        },
        standard("process_threads", .gauge, unit: "", "Threads.", reading: "Some twenty, and those that read for replays.") {
            $0.threads.map { .level(Int64($0)) }
        },
    ]

    private static func standard(
        _ name: String, _ kind: Kind, unit: String, _ help: String, reading: String,
        _ value: @escaping @Sendable (ProcessUsage) -> Sample.Value?
    ) -> Metric {
        Metric(name: name, kind: kind, unit: unit, labels: [], help: help, reading: reading) { observed in
            value(observed.process).map { [Sample(labels: [], value: $0)] } ?? []
        }
    }
}
