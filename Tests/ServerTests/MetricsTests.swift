// The metrics page: its format, its table, and what it says of a daemon that has just begun.

import Base
import Dispatch
import Host
import Protocol
import TestSupport
import Testing

@testable import Fanout
@testable import Server

/// A metric outside the table.
private func metric(_ name: String = "m", _ kind: Metric.Kind = .gauge, labels: [String] = [], help: String = "Help.") -> Metric {
    Metric(
        name: name, kind: kind, unit: "", labels: labels.map { MetricLabel(name: $0, values: []) }, help: help, reading: "",
        samples: { _ in [] })
}

private func text(_ metric: Metric, _ samples: [Sample]) -> String {
    var text = MetricsText()
    text.write(metric, samples)
    return String(decoding: text.bytes, as: UTF8.self)
}

@Suite struct MetricsTextTests {
    @Test(arguments: [
        ("plain", "plain"), ("", ""), (#"a"b"#, #"a\"b"#), (#"a\b"#, #"a\\b"#), ("a\nb", #"a\nb"#), (#"\n"#, #"\\n"#),
        ("é…", "é…"), ("{},=", "{},="),
        ("\r\n", "\r\\n"),
    ])
    func labelsAreEscaped(value: String, written: String) {
        let line = text(metric(labels: ["l"]), [Sample(labels: [value], value: .level(1))]).split(separator: "\n").dropFirst(2)
        #expect(line.map(String.init) == ["m{l=\"\(written)\"} 1"])
    }

    @Test func helpIsEscapedWithoutQuotes() {
        #expect(text(metric(help: "a \"b\" \\ c\nd"), []) == "# HELP m a \"b\" \\\\ c\\nd\n# TYPE m gauge\n")
    }

    @Test(arguments: [
        (Sample.Value.count(.max), "18446744073709551615"), (.level(-3), "-3"), (.real(0), "0"), (.real(1.5), "1.5"),
        (.real(-2), "-2"), (.real(.infinity), "+Inf"),
        (.real(-.infinity), "-Inf"), (.real(.nan), "NaN"), (.real(1e21), "1e+21"), (.real(0.00005), "5e-05"),
        (.real(1_770_287_400.25), "1770287400.25"),
    ])
    func numbers(value: Sample.Value, written: String) {
        #expect(text(metric(), [Sample(labels: [], value: value)]).hasSuffix("\nm \(written)\n"))
    }

    @Test func bucketsHoldThoseBefore() {
        let reading = HistogramReading(bounds: [1_000_000, 2_500_000], counts: [3, 0, 4], sum: 50_000_000)
        let written = text(
            metric("h", .histogram, labels: ["l"]), [Sample(labels: ["x"], value: .histogram(reading, perUnit: 1e9))])
        #expect(
            written == """
                # HELP h Help.
                # TYPE h histogram
                h_bucket{l="x",le="0.001"} 3
                h_bucket{l="x",le="0.0025"} 3
                h_bucket{l="x",le="+Inf"} 7
                h_sum{l="x"} 0.05
                h_count{l="x"} 7

                """)
    }

    @Test func histogramsAreAdded() {
        let one = HistogramReading(bounds: [1], counts: [1, 2], sum: 5)
        #expect(one + one == HistogramReading(bounds: [1], counts: [2, 4], sum: 10))
    }
}

@Suite struct MetricTableTests {
    private let names = Metric.all.map(\.name)

    /// goleapai_ws_<noun>[_unit][_total], and the names that every process has.
    @Test func namesConform() {
        #expect(Set(names).count == names.count)
        for metric in Metric.all {
            let name = metric.name
            #expect(name.utf8.allSatisfy { (97...122).contains($0) || $0 == 95 || (48...57).contains($0) }, "\(name)")
            #expect(name.hasPrefix("goleapai_ws_") || name.hasPrefix("process_"), "\(name)")
            #expect(name.hasSuffix("_total") == (metric.kind == .counter), "\(name)")
            #expect(!name.contains("__") && !name.hasSuffix("_"), "\(name)")
            for reserved in ["_bucket", "_sum", "_count"] { #expect(!name.hasSuffix(reserved), "\(name)") }
            let unit = metric.unit.isEmpty ? "" : "_\(metric.unit)"
            #expect(name.replacing("_total", with: "").hasSuffix(unit), "\(name) is in \(metric.unit)")
        }
    }

    @Test func everyLineSaysSomething() {
        for metric in Metric.all {
            #expect(metric.help.hasSuffix(".") && !metric.help.contains("\n"), "\(metric.name)")
            #expect(metric.reading.hasSuffix("."), "\(metric.name)")
            #expect(Set(metric.labels.map(\.name)).count == metric.labels.count)
            for label in metric.labels {
                #expect(
                    label.name != "le" && !label.name.hasPrefix("__")
                        && label.name.utf8.allSatisfy { (97...122).contains($0) || $0 == 95 }, "\(label.name)")
                #expect(label.values.isEmpty == !label.note.isEmpty, "\(metric.name), \(label.name)")
                #expect(
                    Set(label.values).count == label.values.count && label.values.count <= 40, "\(metric.name), \(label.name)")
            }
        }
    }

    /// Each counter that the table of limits names is one, with a value of its label.
    @Test func limitsNameCountersThatAreThere() throws {
        for line in LimitLine.all {
            let name = String(line.metric.prefix { $0 != "{" })
            let metric = try #require(Metric.all.first { $0.name == name }, "\(line.metric)")
            let rest = line.metric.dropFirst(name.count)
            guard !rest.isEmpty else { continue }
            let pairs = rest.dropFirst().dropLast().split(separator: ",").map { $0.split(separator: "=") }
            for pair in pairs {
                let label = try #require(metric.labels.first { $0.name == pair[0] }, "\(line.metric)")
                #expect(label.values.contains(String(pair[1].dropFirst().dropLast())), "\(line.metric)")
            }
            #expect(pairs.count == metric.labels.count, "\(line.metric)")
        }
    }

    @Test func limitsNameSettingsThatAreThere() {
        for line in LimitLine.all {
            if case .setting(let key) = line.number { #expect(Setting.named(key) != nil, "\(key)") }
        }
    }

    @Test func documentHasEveryMetricOnce() {
        let document = MetricsDocument.text
        for name in names {
            #expect(document.split(separator: "\n| `\(name)` |", omittingEmptySubsequences: false).count == 2, "\(name)")
        }
    }
}

@Suite struct MetricsPageTests {
    private func router(_ change: (inout RouterRules) -> Void = { _ in }) throws -> Router {
        let hub = Hub(limits: Limits(), clock: ManualClock())
        let router = Router(hub: hub, options: .forTests(), rules: .forTests(change))
        hub.attach(try (0..<2).map { try Shard(number: $0, hub: hub, delegate: router) })
        return router
    }

    /// Every series whose labels are known is there before anything has happened, with 0 where it counts.
    @Test func everySeriesIsThereFromTheStart() throws {
        let observed = try router().observe()
        for metric in Metric.all {
            let samples = metric.samples(observed)
            let wanted = metric.labels.reduce([[]]) { sets, label in sets.flatMap { set in label.values.map { set + [$0] } } }
            #expect(Set(samples.map(\.labels)).count == samples.count, "\(metric.name)")
            if metric.labels.allSatisfy({ !$0.values.isEmpty }),
                metric.name != "goleapai_ws_tls_certificate_expiry_timestamp_seconds"
            {
                #expect(Set(samples.map(\.labels)) == Set(wanted), "\(metric.name)")
            }
            for sample in samples {
                // What the process and its log have done before is no matter of this hub.
                if case .count(let count) = sample.value, metric.kind == .counter, !metric.name.hasPrefix("goleapai_ws_log_") {
                    #expect(count == 0, "\(metric.name) \(sample.labels)")
                }
            }
        }
    }

    @Test func answer() throws {
        let answer = try #require(try router().answer(to: head("GET", "/metrics")))
        #expect(answer.status == 200)
        #expect(answer.fields.contains { $0 == ("Content-Type", "text/plain; version=0.0.4; charset=utf-8") })
        let text = String(decoding: answer.body, as: UTF8.self)
        #expect(text.hasSuffix("\n"))
        for metric in Metric.all { #expect(text.contains("# TYPE \(metric.name) \(metric.kind.rawValue)\n")) }
    }

    @Test func whoMayAsk() throws {
        let router = try router()
        func status(
            _ fields: [(String, String)] = [], from peer: PeerAddress = .local, version: String = "1.1", method: String = "GET"
        ) throws -> Int? {
            try router.answer(to: head(method, "/metrics", fields, version: version), from: peer)?.status
        }
        #expect(try status() == 200)
        #expect(try status(method: "HEAD") == 200)
        #expect(try status(method: "POST") == 405)
        #expect(try status(from: .stranger) == 403)
        for name in ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-Proto"] {
            #expect(try status([(name, "1.2.3.4")]) == 403, "\(name)")
        }
        #expect(try status(version: "1.0") == 403, "proxies of old")
        #expect(try status([("Origin", "https://elsewhere.example")]) == 403)
        #expect(try status([("Host", "elsewhere.example")]) == 403)
        #expect(try status([("Origin", "http://localhost")]) == 200, "its own pages")
    }

    /// Not even a listed origin's page gets to read it.
    @Test func noCrossOriginFields() throws {
        let router = try router { $0.allowedOrigins = ["https://dash.example"] }
        let answer = try #require(try router.answer(to: head("GET", "/metrics", [("Origin", "https://dash.example")])))
        #expect(!answer.fields.contains { $0.0.lowercased().hasPrefix("access-control") })
        let preflight = try #require(try router.answer(to: head("OPTIONS", "/metrics", [("Origin", "https://dash.example")])))
        #expect(answer.status == 403 && preflight.status == 403)
        #expect(!preflight.fields.contains { $0.0.lowercased().hasPrefix("access-control") })
    }

    @Test func canBeTurnedOff() throws {
        let router = try router { $0.servesMetrics = false }
        #expect(try router.answer(to: head("GET", "/metrics"))?.status == 404)
        router.apply(.forTests())
        #expect(try router.answer(to: head("GET", "/metrics"))?.status == 200)
    }

    @Test func notForPublishers() throws {
        let peer = PeerAddress.local(LocalPeer(process: 1, user: 0, group: 0, isTrusted: true))
        #expect(try router().answer(to: head("GET", "/metrics"), from: peer)?.status == 403)
    }
}
