import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout
@testable import GoLeapAIWSClient

private typealias Wishes = GoLeapAIWSClient.Filters
private typealias Name = GoLeapAIWSClient.Channel
private typealias DaemonsChannel = Fanout.Channel

/// The library judges as the daemon does: each event is put to both.
struct EventFilterTests {
    /// What the daemon makes of the filters, by the message that a client sends.
    private func daemons(_ channels: Set<Name>, _ filters: Wishes) throws -> Fanout.Subscription {
        let message = try JSON(parsing: GoLeapAIWSClient.Subscription(channels: channels, filters: filters).message(id: "1"))
        var subscription = Fanout.Subscription(statsInterval: 5)
        for channel in channels { subscription.channels.insert(ChannelSet(try #require(DaemonsChannel(name: channel.rawValue)))) }
        for (name, value) in message["data"]?["filters"]?.object ?? [] { try subscription.setFilters(of: name, to: value, statsInterval: 5) }
        return subscription
    }

    private func segment(_ drafts: [EventDraft]) -> Segment {
        let segment = Segment(firstSequence: 1, entriesMax: drafts.count, bytesMax: drafts.reduce(0) { $0 + Segment.bytesNeeded($1) }, framer: Framer())
        for (index, draft) in drafts.enumerated() { segment.add(draft, id: (Epoch(Instant(milliseconds: 0)), UInt64(index + 1)), published: 0) }
        return segment
    }

    private static let levels: [String?] = [nil, "debug", "info", "warn", "error", "fatal", "panic", "info,error", "debug,panic", "warning", "trace,warn"]
    private static let texts: [String?] = [nil, "", "time", "TIMEOUT", "ß", "Σ", "time-out at", "k"]
    private static let messages = ["timeout", "TIME-OUT at once", "Straße", "ΟΔΟΣ", "300 \u{212A}", "", "a\"b\\c", "ſtarr"]

    private func filters(_ random: inout SeededGenerator) -> Wishes {
        func some(_ values: [String]) -> [String] { Bool.random(using: &random) ? [] : (0...Int.random(in: 0...1, using: &random)).map { _ in values.randomElement(using: &random) ?? "a" } }
        return Wishes(
            logs: .init(
                level: EventFilterTests.levels.randomElement(using: &random) ?? nil, components: some(["a", "b", "é", "a,b"]), providerIDs: some(["p", "q"]),
                text: EventFilterTests.texts.randomElement(using: &random) ?? nil),
            requests: .init(
                providerIDs: some(["p", "q"]), modelIDs: some(["m", "n"]), onlyErrors: Bool.random(using: &random),
                minLatency: [nil, 0, 1, 100, 1_000_000].randomElement(using: &random) ?? nil),
            providers: .init(providerIDs: some(["p", "q"])))
    }

    private func channels(_ random: inout SeededGenerator) -> Set<Name> {
        Set((0...Int.random(in: 0...2, using: &random)).compactMap { _ in Name.allCases.randomElement(using: &random) })
    }

    /// Members in any order, some twice, some of another kind than they should be.
    private func data(_ random: inout SeededGenerator) -> String {
        if Int.random(in: 0..<20, using: &random) == 0 { return ["null", "[1]", "\"level\"", "17", "{}"].randomElement(using: &random) ?? "{}" }
        let values: [(String, [String])] = [
            ("level", [#""warn""#, #""error""#, #""info""#, #""debug""#, #""fatal""#, #""notice""#, #""WARN""#, #""trace""#, #""""#, "3", "null"]),
            ("component", [#""a""#, #""b""#, #""\u00e9""#, "\"e\u{301}\"", #""""#, "7"]), ("provider_id", [#""p""#, #""q""#, #""pq""#, "null"]), ("model_id", [#""m""#, #""o""#]),
            ("success", ["true", "false", #""false""#, "null", "0"]), ("latency_ms", ["0", "1", "99.9", "100", "100.0", "1e2", "-5", #""100""#, "null", "1e300", "0.5"]),
            (
                "message",
                EventFilterTests.messages.map {
                    var json = JSONWriter()
                    json.string($0)
                    return json.text
                } + ["17", #"{"message":"time"}"#]
            ),
        ]
        var members: [String] = []
        for (name, choices) in values {
            for _ in 0..<[0, 1, 1, 1, 2].randomElement(using: &random)! { members.append("\"\(name)\":\(choices.randomElement(using: &random) ?? "1")") }
        }
        return "{\(members.shuffled(using: &random).joined(separator: ","))}"
    }

    private func draft(_ random: inout SeededGenerator) -> EventDraft {
        let types = ["log", "request", "provider_status", "deploy"]
        return EventDraft(
            channel: DaemonsChannel.allCases.randomElement(using: &random) ?? .logs, type: types.randomElement(using: &random) ?? "log",
            timestamp: Instant(milliseconds: 0), data: Array(data(&random).utf8))
    }

    private func envelope(_ segment: Segment, _ index: Int) throws -> Envelope { try #require(Envelope(segment.text(of: segment.entry(at: index).pointee.json))) }

    @Test(arguments: testSeeds(4))
    func saysWhatTheDaemonSays(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let events = segment((0..<100).map { _ in draft(&random) })
        var passed = 0
        for _ in 0..<150 {
            let (channels, filters) = (channels(&random), filters(&random))
            let filter = try EventFilter(channels, filters)
            let daemon = try daemons(channels, filters)
            for index in 0..<100 {
                let message = try envelope(events, index)
                let wanted = daemon.filters.pass(events.entry(at: index), of: events, channels: daemon.effective)
                passed += wanted ? 1 : 0
                #expect(filter.passes(message) == wanted, "seed \(seed): \(channels) \(filters) \(message.rawJSON)")
            }
        }
        #expect(passed > 1000 && passed < 14_000)
    }

    /// Whatever passes for one of them passes for what covers them all, in the daemon's eyes.
    @Test(arguments: testSeeds(4))
    func theUnionCoversAll(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let events = segment((0..<100).map { _ in draft(&random) })
        for _ in 0..<100 {
            var subscribers = Subscribers(own: .init(channels: [], filters: Wishes()))
            for id in 1...Int.random(in: 1...4, using: &random) {
                let (channels, filters) = (channels(&random), filters(&random))
                subscribers.add(.init(id: id, wish: .init(channels: channels, filters: filters), filter: try EventFilter(channels, filters)))
            }
            let daemon = try daemons(subscribers.union.channels, subscribers.union.filters)
            for index in 0..<100 {
                let message = try envelope(events, index)
                guard subscribers.members.contains(where: { $0.filter.passes(message) }) else { continue }
                #expect(daemon.filters.pass(events.entry(at: index), of: events, channels: daemon.effective), "seed \(seed): \(subscribers.union) \(message.rawJSON)")
            }
        }
    }

    fileprivate static let unions: [([Wishes], Wishes)] = [
        ([.init(logs: .init(level: "warn")), .init(logs: .init(level: "error"))], .init(logs: .init(level: "warn"))),
        ([.init(logs: .init(level: "debug,info")), .init(logs: .init(level: "error"))], .init(logs: .init(level: "debug,info,error,fatal,panic"))),
        ([.init(logs: .init(level: "warn")), .init()], .init()),
        // The same words twice stay as they are.
        ([.init(logs: .init(level: "warning,error")), .init(logs: .init(level: "warning,error"))], .init(logs: .init(level: "warning,error"))),
        ([.init(logs: .init(components: ["b"])), .init(logs: .init(components: ["a"]))], .init(logs: .init(components: ["a", "b"]))),
        ([.init(logs: .init(text: "Time")), .init(logs: .init(text: "TIMEOUT"))], .init(logs: .init(text: "Time"))),
        ([.init(logs: .init(text: "a")), .init(logs: .init(text: "b"))], .init()),
        ([.init(requests: .init(onlyErrors: true, minLatency: 5)), .init(requests: .init(onlyErrors: true, minLatency: 3))], .init(requests: .init(onlyErrors: true, minLatency: 3))),
        ([.init(requests: .init(onlyErrors: true, minLatency: 5)), .init(requests: .init(modelIDs: ["m"]))], .init()),
        // More values than the daemon takes: all of them.
        ((0..<9).map { n in .init(providers: .init(providerIDs: (0..<8).map { "p\(n)-\($0)" })) }, .init()),
        ((0..<8).map { n in .init(providers: .init(providerIDs: (0..<8).map { "p\(n)\($0)" })) }, .init(providers: .init(providerIDs: (0..<64).map { "p\($0 / 8)\($0 % 8)" }))),
        ((0..<40).map { n in .init(providers: .init(providerIDs: ["\(n)" + String(repeating: "x", count: 250)])) }, .init()),
    ]

    @Test(arguments: unions)
    fileprivate func union(wishes: [Wishes], wanted: Wishes) {
        #expect(Wishes.union(wishes.map { GoLeapAIWSClient.Subscription(channels: [.all], filters: $0) }) == wanted)
    }

    @Test(arguments: [
        (.init(logs: .init(level: "loud")), "level 'loud' is not made of debug, info, warn, error, fatal, panic"),
        (.init(logs: .init(components: [""])), "component '' is not a list of 1 to 64 values with commas between them"),
        (.init(logs: .init(text: String(repeating: "x", count: 257))), "q is longer than 256 bytes"),
        (.init(stats: .init(window: "2h")), "window '2h' is not one of 1m, 5m, 1h, 24h"),
        (.init(stats: .init(interval: 0)), "interval '0' is not a whole number of seconds from 1 to 3600"),
        (.init(requests: .init(minLatency: -1)), "min_latency_ms '-1' is not a whole number of milliseconds"),
    ] as [(Wishes, String)])
    fileprivate func mistakes(filters: Wishes, words: String) {
        #expect(throws: SubscriptionError.invalid(words)) { try SharedSubscriber.filter(of: .init(channels: [.all], filters: filters)) }
    }

    @Test func withoutChannels() {
        #expect(throws: SubscriptionError.self) { try SharedSubscriber.filter(of: .init(channels: [], filters: Wishes())) }
    }
}
