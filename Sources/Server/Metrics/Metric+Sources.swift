// The table of metrics: where events come from, whose credentials count, TLS.

import Base
import Fanout
import Host
import Protocol

extension Metric {
    static let sources: [Metric] = [
        gauge("source_enabled", labels: [.source], "1 where a source is turned on.", reading: "The configuration.") { observed in
            MetricLabel.source.values.map { name in Sample(labels: [name], value: .level(observed.source(name) == nil ? 0 : 1)) }
        },
        gauge(
            "source_up", labels: [.source], "1 while a source works; 0 where it fails, has not begun, or is turned off.",
            reading: "0 where source_enabled is 1: /ready says why."
        ) { observed in
            MetricLabel.source.values.map { name in
                Sample(labels: [name], value: .level(observed.source(name)?.isWorking == true ? 1 : 0))
            }
        },
        gauge(
            "source_lag_seconds", unit: "seconds", labels: [.source],
            "Time since a source was last known to be read up to the present.",
            reading: "Some hundredths of a second; from 5 s on the channel gets a gap of source_lag. 0 where it is turned off."
        ) { observed in
            MetricLabel.source.values.map { name in
                Sample(labels: [name], value: .real(Double(observed.source(name)?.lagMilliseconds ?? 0) / 1000))
            }
        },
        Metric(
            name: prefix + "sampler_seconds_total", kind: .counter, unit: "seconds",
            labels: [MetricLabel(name: "phase", values: ["reading", "working"])],
            help:
                "Time of the sampler's thread: in reads of the gateway's database, waiting for its locks included, and with everything else.",
            reading: "A rate near 1: the disk is slow, the database is locked, or there are more requests than can be read."
        ) {
            [
                Sample(labels: ["reading"], value: .real(Double($0.numbers.samplerReadingNanoseconds) / 1e9)),
                Sample(labels: ["working"], value: .real(Double($0.numbers.samplerWorkingNanoseconds) / 1e9)),
            ]
        },
        Metric(
            name: prefix + "database_reads_total", kind: .counter, unit: "",
            labels: [MetricLabel(name: "result", values: databaseReadResults)],
            help: "Looks at the gateway's database, by how they ended.",
            reading: "busy now and then is usual, the gateway writes; failed: /ready says why."
        ) { observed in
            databaseReadResults.map { result in
                Sample(labels: [result], value: .count(observed.numbers.databaseReads.first { $0.result == result }?.count ?? 0))
            }
        },
        counter("database_rows", "New rows of request_logs that were read.", reading: "The gateway's requests.") {
            $0.numbers.databaseRows
        },
        counter(
            "journal_entries", "Entries read from the journal, those that become no event included.",
            reading: "What the gateway's unit logs."
        ) { $0.numbers.journalEntries },
        counter("journal_lines", "Lines of the journal that became events.", reading: "The rate of log events.") {
            $0.numbers.journalLines
        },
        counter(
            "journal_parts", "Entries that were one part of a line in several.",
            reading: "Lines above 48 KiB, which journald cuts."
        ) { $0.numbers.journalParts },
        counter(
            "journal_truncated", "Lines marked as truncated.",
            reading: "Longer than broadcast.max_event_bytes, or never finished."
        ) { $0.numbers.journalTruncated },
        counter(
            "journal_suppressed", "Messages that journald says it has suppressed.",
            reading: "The gateway logs more than journald takes: RateLimitBurst= in journald.conf."
        ) {
            $0.numbers.journalSuppressed
        },
        counter(
            "journal_own", "Lines of this daemon, which are not fed back to it.",
            reading: "Rising only where a unit of sources.journal.units holds this daemon, too."
        ) { $0.numbers.journalOwn },
    ]
    private static let databaseReadResults = ["ok", "busy", "interrupted", "failed"]

    static let credentials: [Metric] = [
        Metric(
            name: prefix + "credential_lookups_total", kind: .counter, unit: "",
            labels: [MetricLabel(name: "cache", values: ["hit", "miss", "stale"])],
            help:
                "Credentials that were looked at: decided by what was read a moment ago, by asking the database, or by what is older, since it cannot be asked.",
            reading: "miss is work for the database; stale means that it is away."
        ) {
            [
                Sample(labels: ["hit"], value: .count($0.credentials.hits)),
                Sample(labels: ["miss"], value: .count($0.credentials.misses)),
                Sample(labels: ["stale"], value: .count($0.credentials.fromMemory)),
            ]
        },
        Metric(
            name: prefix + "credentials_total", kind: .counter, unit: "",
            labels: [MetricLabel(name: "result", values: ["accepted", "refused", "expired", "unavailable", "busy"])],
            help: "What became of credentials, in requests and in messages.",
            reading: "refused rising: somebody tries, or a key was revoked; unavailable: the database; busy: too many at once."
        ) {
            let counters = $0.credentials
            return [
                Sample(labels: ["accepted"], value: .count(counters.accepted)),
                Sample(labels: ["refused"], value: .count(counters.refused.values.reduce(0, &+))),
                Sample(labels: ["expired"], value: .count(counters.expired)),
                Sample(labels: ["unavailable"], value: .count(counters.unavailable)),
                Sample(labels: ["busy"], value: .count(counters.busy)),
            ]
        },
        counter(
            "credentials_refused", by: "reason", RefusalReason.self, "Credentials that were refused, by reason.",
            reading: "signature and issuer for all: auth.jwt_secret or auth.jwt_issuer is not the gateway's."
        ) { $0.credentials.refused[$1.rawValue] ?? 0 },
        counter(
            "bcrypt_runs", "API keys whose bcrypt hash was computed.",
            reading: "Each takes some 64 ms of a processor, at low priority."
        ) { $0.credentials.bcryptRuns },
        gauge(
            "bcrypt_queue", "API keys that wait for bcrypt.",
            reading: "At 2048 further ones are answered 503: refusals_total{reason=\"credential_queue\"}."
        ) {
            .level(Int64($0.credentials.hashQueue))
        },
        gauge(
            "credentials_waiting", "Requests that wait for the verdict on their credential.",
            reading: "Stays up: the database is slow, or bcrypt has much to do."
        ) {
            .level(Int64($0.credentials.waiting))
        },
        gauge(
            "tickets_outstanding", "Tickets that were handed out, and neither used nor too old.",
            reading: "At 10,000, or 32 of one user, further ones are answered 429."
        ) {
            .level(Int64($0.tickets))
        },
    ]

    static let tls: [Metric] = [
        Metric(
            name: prefix + "tls_handshakes_total", kind: .counter, unit: "",
            labels: [MetricLabel(name: "kind", values: ["full", "resumed"])],
            help: "TLS handshakes that were completed.", reading: "full ones cost up to a millisecond each."
        ) {
            let resumed = $0.sum { $0.tlsCounters.resumed.load(ordering: .relaxed) }
            let done = $0.sum { $0.tlsCounters.handshakes.load(ordering: .relaxed) }
            return [
                Sample(labels: ["full"], value: .count(max(done, resumed) - resumed)),
                Sample(labels: ["resumed"], value: .count(resumed)),
            ]
        },
        counter(
            "tls_handshake_failures", by: "reason", TLSFailure.Kind.self, "TLS handshakes that failed.",
            reading: "docs/OPERATION.md says what each means."
        ) {
            observed, kind in observed.sum { $0.tlsCounters.count(kind) }
        },
        gauge("tls_handshakes_underway", "TLS handshakes that have begun.", reading: "At 128 of a shard others wait.") {
            .level(Int64($0.sum { $0.tlsCounters.underway.load(ordering: .relaxed) }))
        },
        gauge(
            "tls_handshakes_waiting", "TLS handshakes that others are before.", reading: "More of them than the processor can do."
        ) {
            .level(Int64($0.sum { $0.tlsCounters.waiting.load(ordering: .relaxed) }))
        },
        gauge(
            "tls_certificate_expiry_timestamp_seconds", unit: "seconds",
            "When the certificate in force expires, in seconds since 1970; without TLS there is none.",
            reading: "Minus time(), it is what is left."
        ) { observed in observed.certificateExpiry.map { .level($0.milliseconds / 1000) } },
    ]
}

extension Observation {
    fileprivate func source(_ name: String) -> SourceReport? { sources.first { $0.name == name } }
}
