// Which parameters are taken, and which are refused with which words.

import Protocol
import Testing

@testable import Fanout

@Suite struct FilterParsingTests {
    private func set(_ name: String, _ text: String, _ channel: Channel) throws -> Filters {
        var filters = Filters(statsInterval: 7)
        try filters.set(name, to: text, on: channel)
        return filters
    }

    static let levels: [(String, Set<Severity>)] = [
        ("debug", [.debug, .info, .warn, .error, .fatal, .panic]), ("info", [.info, .warn, .error, .fatal, .panic]),
        ("warn", [.warn, .error, .fatal, .panic]), ("error", [.error, .fatal, .panic]), ("fatal", [.fatal, .panic]),
        ("panic", [.panic]),
        ("trace", [.debug, .info, .warn, .error, .fatal, .panic]), ("warning", [.warn, .error, .fatal, .panic]),
        ("info,error", [.info, .error]), ("debug,panic", [.debug, .panic]), ("warn,warn", [.warn]), ("warn,warning", [.warn]),
        ("panic,fatal,error,warn,info,debug", Set(Severity.allCases)),
    ]

    /// One level means that one and worse, several mean exactly these.
    @Test(arguments: levels)
    func level(text: String, wanted: Set<Severity>) throws {
        let bits = try #require(try set("level", text, .logs).logs.severities)
        #expect(Set(Severity.allCases.filter { bits & $0.bit != 0 }) == wanted)
        #expect(bits & 0b1100_0000 == 0)
    }

    static let accepted: [(Channel, String, String)] = [
        (.logs, "component", "router"), (.logs, "component", "a,b,c"), (.logs, "component", "with blank"),
        (.logs, "component", "größe"),
        (.logs, "component", String(repeating: "x", count: 256)),
        (.logs, "component", (1...64).map(String.init).joined(separator: ",")),
        (.logs, "provider_id", "openai"), (.logs, "q", "x"), (.logs, "q", String(repeating: "q", count: 256)),
        (.requests, "provider_id", "a,b"), (.requests, "model_id", "gpt-4"), (.requests, "only_errors", "true"),
        (.requests, "only_errors", "false"), (.requests, "min_latency_ms", "0"),
        (.requests, "min_latency_ms", "9223372036854775807"),
        (.providers, "provider_id", "x"), (.stats, "window", "1m"), (.stats, "window", "5m"), (.stats, "window", "1h"),
        (.stats, "window", "24h"), (.stats, "interval", "1"), (.stats, "interval", "3600"), (.stats, "interval", "0060"),
    ]

    @Test(arguments: accepted)
    func accepts(channel: Channel, name: String, text: String) throws {
        _ = try set(name, text, channel)
        #expect(Filters.parameters[channel]?.contains(name) == true)
    }

    static let refused: [(Channel, String, String, String)] = [
        (.logs, "level", "", "level '' is not made of"), (.logs, "level", "warn,", "level 'warn,' is not made of"),
        (.logs, "level", ",warn", "level ',warn'"), (.logs, "level", "WARN", "level 'WARN'"),
        (.logs, "level", "warn, error", "level"),
        (.logs, "level", "notice", "level 'notice'"), (.logs, "level", "3", "level '3'"),
        (.logs, "component", "", "component '' is not a list"), (.logs, "component", "a,,b", "component 'a,,b' is not a list"),
        (.logs, "component", "a,", "component"), (.logs, "component", String(repeating: "x", count: 257), "component"),
        (.logs, "component", (1...65).map(String.init).joined(separator: ","), "component"),
        (.logs, "q", String(repeating: "q", count: 257), "q is longer than 256 bytes"),
        (.logs, "model_id", "x", "logs has no filter 'model_id'; it has level, component, provider_id, q"),
        (.logs, "window", "5m", "logs has no filter 'window'"),
        (.requests, "only_errors", "1", "only_errors '1' is not true or false"),
        (.requests, "only_errors", "True", "only_errors 'True'"), (.requests, "only_errors", "", "only_errors ''"),
        (.requests, "min_latency_ms", "-1", "min_latency_ms '-1' is not a whole number"),
        (.requests, "min_latency_ms", "1.5", "min_latency_ms"),
        (.requests, "min_latency_ms", "", "min_latency_ms"),
        (.requests, "min_latency_ms", "9223372036854775808", "min_latency_ms"),
        (.requests, "min_latency_ms", "+5", "min_latency_ms"), (.requests, "min_latency_ms", "٣", "min_latency_ms"),
        (.requests, "level", "warn", "requests has no filter 'level'"), (.providers, "model_id", "x", "providers has no filter"),
        (.stats, "window", "2m", "window '2m' is not one of 1m, 5m, 1h, 24h"), (.stats, "window", "", "window ''"),
        (.stats, "window", "5M", "window '5M'"),
        (.stats, "interval", "0", "interval '0' is not a whole number of seconds from 1 to 3600"),
        (.stats, "interval", "3601", "interval '3601'"), (.stats, "interval", "5s", "interval '5s'"),
        (.stats, "interval", "-5", "interval"),
        (.stats, "interval", "99999999999999999999", "interval"), (.stats, "provider_id", "x", "stats has no filter"),
        (.all, "level", "warn", "all has no filter 'level'; it has none"),
    ]

    @Test(arguments: refused)
    func refuses(channel: Channel, name: String, text: String, beginning: String) {
        #expect {
            try set(name, text, channel)
        } throws: {
            let words = ($0 as? FilterError)?.description ?? ""
            // An answer never is much larger than what caused it.
            return words.hasPrefix(beginning) && words.count < 200
        }
    }

    /// The table of names and what `set` knows are the same.
    @Test func tableIsComplete() {
        let names = Set(Filters.parameters.values.flatMap { $0 })
        for channel in Channel.allCases {
            for name in names {
                let isKnown: Bool
                do {
                    _ = try set(name, "\u{0}", channel)
                    isKnown = true
                } catch {
                    isKnown = !"\(error)".contains("has no filter")
                }
                #expect(isKnown == (Filters.parameters[channel]?.contains(name) == true), "\(channel.name) \(name)")
            }
        }
    }

    /// Equal wishes in other words are equal, so that their clients share a group.
    @Test func wishesAreNormalised() throws {
        #expect(try set("component", "b,a,b", .logs) == set("component", "a,b", .logs))
        #expect(try set("level", "error,warn", .logs) == set("level", "warn,error", .logs))
        #expect(try set("q", "ZÜRICH", .logs) == set("q", "zürich", .logs))
        #expect(try set("only_errors", "false", .requests) == Filters(statsInterval: 7))
        #expect(try set("level", "warn", .logs) != set("level", "error", .logs))
    }

    @Test func clearingGoesBackToTheDefaults() throws {
        var filters = Filters(statsInterval: 7)
        try filters.set("level", to: "warn", on: .logs)
        try filters.set("provider_id", to: "x", on: .requests)
        try filters.set("provider_id", to: "x", on: .providers)
        try filters.set("window", to: "1h", on: .stats)
        try filters.set("interval", to: "9", on: .stats)
        #expect(filters.stats == StatsGroup(window: "1h", interval: 9))
        var one = filters
        one.clear(.logs, statsInterval: 7)
        #expect(one.logs == LogFilter() && one.requests == filters.requests && one.providers == filters.providers)
        filters.clear(.all, statsInterval: 7)
        #expect(filters == Filters(statsInterval: 7))
    }

    /// What operators are shown sets the same filters again.
    @Test func writtenFiltersAreTheWordsThatSetThem() throws {
        var filters = Filters(statsInterval: 5)
        try filters.set("level", to: "error", on: .logs)
        try filters.set("component", to: "b,a", on: .logs)
        try filters.set("q", to: "Time", on: .logs)
        try filters.set("only_errors", to: "true", on: .requests)
        try filters.set("min_latency_ms", to: "100", on: .requests)
        try filters.set("provider_id", to: "openai", on: .providers)
        var writer = JSONWriter()
        filters.write(for: .everyChannel, to: &writer)
        let json = try JSON(parsing: writer.bytes)
        #expect(json["logs"]?["level"]?.string == "error,fatal,panic")
        #expect(json["stats"]?["window"]?.string == "5m")
        var again = Filters(statsInterval: 1)
        for (name, parameters) in try #require(json.object) {
            for (parameter, value) in try #require(parameters.object) {
                try again.set(parameter, to: try #require(value.string), on: try #require(Channel(name: name)))
            }
        }
        #expect(again == filters)
    }

    @Test(arguments: [
        ("logs", true), ("stats", true), ("providers", true), ("requests", true), ("all", true), ("Logs", false), ("", false),
        ("log", false), ("logs ", false),
    ])
    func channelNames(name: String, exists: Bool) {
        #expect((Channel(name: name) != nil) == exists)
        if let channel = Channel(name: name) { #expect(channel.name == name) }
    }

    @Test func everyChannelAndAll() {
        #expect(ChannelSet.everyChannel.channels == [.logs, .stats, .providers, .requests])
        #expect(ChannelSet(.all).effective == .everyChannel)
        #expect(ChannelSet([ChannelSet(.all), ChannelSet(.logs)]).channels == [.logs, .all])
        #expect(ChannelSet(.logs).effective == ChannelSet(.logs))
    }

    @Test(arguments: [
        ("debug", Severity.debug), ("trace", .debug), ("info", .info), ("warn", .warn), ("warning", .warn), ("error", .error),
        ("fatal", .fatal),
        ("panic", .panic), ("ERROR", nil), ("", nil), ("err", nil),
    ])
    func severityNames(name: String, severity: Severity?) { #expect(Array(name.utf8).withUnsafeBytes { Severity(name: $0) } == severity) }
}
