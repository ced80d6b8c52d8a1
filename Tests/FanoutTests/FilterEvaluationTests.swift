// Which events pass which filters.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

/// A segment that holds these events, from sequence 1 on.
func segment(of drafts: [EventDraft]) -> Segment {
    let bytes = drafts.reduce(0) { $0 + Segment.bytesNeeded($1) }
    let segment = Segment(firstSequence: 1, entriesMax: max(1, drafts.count), bytesMax: max(1, bytes), framer: Framer())
    let epoch = Epoch(Instant(milliseconds: 1_770_287_400_000))
    for (index, draft) in drafts.enumerated() {
        segment.add(draft, id: (epoch, UInt64(index + 1)), published: UInt64(index))
    }
    for encoding in Encoding.allCases { segment.fillFrames(encoding) }
    return segment
}

func draft(_ channel: Channel, _ data: String, type: String = "note") -> EventDraft {
    EventDraft(channel: channel, type: type, timestamp: Instant(milliseconds: 0), data: Array(data.utf8))
}

@Suite struct FilterEvaluationTests {
    private func passes(
        _ channel: Channel, _ data: String, subscribed: ChannelSet? = nil, _ parameters: [(String, String)]
    ) throws -> Bool {
        let subscribed = subscribed ?? (channel == .all ? .everyChannel : ChannelSet(channel))
        var filters = Filters(statsInterval: 5)
        for (name, text) in parameters {
            for wanted in subscribed.effective.channels where Filters.parameters[wanted]?.contains(name) == true {
                try filters.set(name, to: text, on: wanted)
            }
        }
        let segment = segment(of: [draft(channel, data)])
        let passes = filters.pass(segment.entry(at: 0), of: segment, channels: subscribed.effective)
        // The short way for filters that hold nothing back must say the same.
        if filters.isOpen(for: subscribed.effective) {
            #expect(passes == !segment.entry(at: 0).pointee.channels.isDisjoint(with: subscribed.effective))
        }
        return passes
    }

    static let levels: [(String, String, Bool)] = [
        (#"{"level":"warn"}"#, "warn", true), (#"{"level":"error"}"#, "warn", true), (#"{"level":"info"}"#, "warn", false),
        (#"{"level":"fatal"}"#, "error", true), (#"{"level":"panic"}"#, "error", true), (#"{"level":"panic"}"#, "fatal", true),
        (#"{"level":"fatal"}"#, "panic", false), (#"{"level":"error"}"#, "fatal", false),
        (#"{"level":"error"}"#, "warn,error", true), (#"{"level":"fatal"}"#, "warn,error", false),
        (#"{"level":"warn"}"#, "error,debug", false),
        (#"{"level":"debug"}"#, "error,debug", true), (#"{"level":"trace"}"#, "debug", true),
        (#"{"level":"warning"}"#, "warn,error", true),
        // No level is info.
        (#"{"message":"x"}"#, "info", true), (#"{"message":"x"}"#, "warn", false), (#"{"message":"x"}"#, "info,error", true),
        (#"{"message":"x"}"#, "debug,error", false), (#"{}"#, "info", true), (#"[1]"#, "info", true),
        (#""level""#, "warn", false),
        (#"{"level":3}"#, "info", true), (#"{"level":null}"#, "info", true), (#"{"level":null}"#, "warn", false),
        // A level that is none of ours passes no filter that names some.
        (#"{"level":"notice"}"#, "debug", false), (#"{"level":""}"#, "debug", false), (#"{"level":"ERROR"}"#, "error", false),
        (#"{"level":"error"}"#, "error", true), (#"{"level":"info","level":"error"}"#, "error", false),
        (#"{"nested":{"level":"error"}}"#, "error", false),
    ]

    @Test(arguments: levels)
    func level(data: String, text: String, wanted: Bool) throws { #expect(try passes(.logs, data, [("level", text)]) == wanted) }

    static let searches: [(String, String, Bool)] = [
        ("Timeout at provider", "timeout", true), ("Timeout at provider", "TIMEOUT AT", true), ("Timeout", "timeouts", false),
        ("abcabcabd", "abcabd", true), ("aab", "ab", true), ("x", "x", true), ("", "x", false), ("ends with Z", "z", true),
        ("[bracket]", "{", false), ("a@b", "A`B", false),
        // Beyond ASCII, in both directions, and letters whose length changes with their case.
        ("ZÜRICH", "zürich", true), ("zürich", "ZÜRICH", true), ("Zürich", "zurich", false), ("ÉCOLE", "école", true),
        ("İstanbul", "i̇stanbul", true), ("ΩMEGA", "ωmega", true), ("Привет", "ПРИВЕТ", true), ("Ⱥ", "ⱥ", true), ("ⱥ", "Ⱥ", true),
        ("ascii only", "ü", false), ("mixed ü and ASCII", "AND ascii", true), ("300 K", "300 \u{212A}", true),
        ("300 \u{212A}", "300 k", true),
        ("STRASSE", "straße", true), ("straße", "STRASSE", true), ("Straße", "ße", true), ("ΟΔΟΣ", "οδος", true),
        ("οδος", "ΟΔΟΣ", true),
        ("ſtarr", "STARR", true), ("µs", "ΜS", true), ("ﬃx", "FFI", true), ("strase", "straße", false),
        ("日本語のログ", "語の", true), ("emoji 🚀 launch", "🚀 LAUNCH", true),
    ]

    @Test(arguments: searches)
    func search(message: String, wanted: String, found: Bool) throws {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("message")
        writer.string(message)
        writer.endObject()
        #expect(try passes(.logs, writer.text, [("q", wanted)]) == found)
    }

    /// Escapes in the JSON are not what the message says.
    @Test(arguments: [
        (#"{"message":"a\"b"}"#, #"a"b"#, true), (#"{"message":"a\nb"}"#, "a\nb", true), (#"{"message":"a\nb"}"#, "\\n", false),
        (#"{"message":"\u00fcber"}"#, "ÜBER", true), (#"{"message":"\ud83d\ude80"}"#, "🚀", true),
        (#"{"message":17}"#, "17", false),
        (#"{"text":"abc"}"#, "abc", false), (#"{"message":{"message":"abc"}}"#, "abc", false),
        (#"{"message":"no","message":"yes"}"#, "yes", false),
    ])
    func searchSeesTheTextAndNotItsEscapes(data: String, wanted: String, found: Bool) throws {
        #expect(try passes(.logs, data, [("q", wanted)]) == found)
    }

    static let others: [(Channel, String, [(String, String)], Bool)] = [
        (.logs, #"{"component":"router"}"#, [("component", "router")], true),
        (.logs, #"{"component":"Router"}"#, [("component", "router")], false),
        (.logs, #"{"component":"router"}"#, [("component", "rout")], false),
        (.logs, #"{"component":"b"}"#, [("component", "a,b")], true),
        (.logs, #"{}"#, [("component", "router")], false), (.logs, #"{"component":"a\"b"}"#, [("component", "a\"b")], true),
        (.logs, #"{"component":"a","provider_id":"p"}"#, [("component", "a"), ("provider_id", "q")], false),
        (
            .logs, #"{"component":"a","provider_id":"p","level":"error","message":"Hi"}"#,
            [("component", "a"), ("provider_id", "p"), ("level", "warn"), ("q", "hi")], true
        ),
        (.logs, #"{"provider":"p"}"#, [("provider_id", "p")], false),
        (.requests, #"{"provider_id":"p"}"#, [("provider_id", "p")], true),
        (.requests, #"{"model_id":"m"}"#, [("provider_id", "m")], false),
        (.requests, #"{"model_id":"m"}"#, [("model_id", "m")], true),
        (.requests, #"{"success":false}"#, [("only_errors", "true")], true),
        (.requests, #"{"success":true}"#, [("only_errors", "true")], false),
        (.requests, #"{}"#, [("only_errors", "true")], false),
        (.requests, #"{"success":"false"}"#, [("only_errors", "true")], false),
        (.requests, #"{"success":null}"#, [("only_errors", "true")], false),
        (.requests, #"{"success":true,"success":false}"#, [("only_errors", "true")], false),
        (.requests, #"{}"#, [("only_errors", "false")], true),
        (.requests, #"{"latency_ms":100}"#, [("min_latency_ms", "100")], true),
        (.requests, #"{"latency_ms":99}"#, [("min_latency_ms", "100")], false),
        (.requests, #"{"latency_ms":101}"#, [("min_latency_ms", "100")], true),
        (.requests, #"{"latency_ms":99.99}"#, [("min_latency_ms", "100")], false),
        (.requests, #"{"latency_ms":1.5e2}"#, [("min_latency_ms", "150")], true),
        (.requests, #"{"latency_ms":1e300}"#, [("min_latency_ms", "100")], true),
        (.requests, #"{"latency_ms":1e999}"#, [("min_latency_ms", "100")], true),
        (.requests, #"{"latency_ms":-1}"#, [("min_latency_ms", "0")], false),
        (.requests, #"{"latency_ms":-1e300}"#, [("min_latency_ms", "0")], false),
        (.requests, #"{"latency_ms":"500"}"#, [("min_latency_ms", "100")], false),
        (.requests, #"{"latency_ms":null}"#, [("min_latency_ms", "0")], false),
        (.requests, #"{}"#, [("min_latency_ms", "0")], false),
        (.requests, #"{"latency_ms":0}"#, [("min_latency_ms", "0")], true),
        (.providers, #"{"provider_id":"p"}"#, [("provider_id", "p")], true),
        (.providers, #"{"provider_id":"q"}"#, [("provider_id", "p")], false),
        (.providers, #"{}"#, [("provider_id", "p")], false), (.stats, #"{}"#, [("window", "1h")], true),
    ]

    @Test(arguments: others)
    func fields(channel: Channel, data: String, parameters: [(String, String)], wanted: Bool) throws {
        #expect(try passes(channel, data, parameters) == wanted)
    }

    /// An event published to `all` passes every filter of whoever is subscribed to anything.
    @Test(arguments: Channel.allCases)
    func allPassesEveryFilter(subscribed: Channel) throws {
        let tight = [
            ("level", "panic"), ("component", "x"), ("q", "nowhere"), ("provider_id", "x"), ("model_id", "x"),
            ("only_errors", "true"),
            ("min_latency_ms", "99999"),
        ]
        #expect(try passes(.all, "{}", subscribed: ChannelSet(subscribed), tight))
        #expect(try !passes(.all, "{}", subscribed: [], []))
    }

    @Test(arguments: Channel.allCases, Channel.allCases)
    func channelsAreKeptApart(published: Channel, subscribed: Channel) throws {
        let wanted = published == subscribed || published == .all || subscribed == .all
        #expect(try passes(published, "{}", subscribed: ChannelSet(subscribed), []) == wanted)
    }

    /// Random filters against random events, by the rules as the test support has them.
    @Test(arguments: testSeeds(6))
    func agreesWithTheModel(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let events = (0..<150).map { ModelEvent.random(number: $0, using: &generator) }
        let segment = segment(of: events.map(\.draft))
        for _ in 0..<60 {
            let model = ModelFilter.random(using: &generator)
            let subscription = try model.subscription()
            let channels = subscription.channels.effective
            for (index, event) in events.enumerated() {
                let entry = segment.entry(at: index)
                let isPassed = subscription.filters.pass(entry, of: segment, channels: channels)
                if isPassed != model.passes(event) {
                    Issue.record("seed \(seed): \(model) and \(event): \(isPassed)")
                    return
                }
                if subscription.filters.isOpen(for: channels), isPassed != !entry.pointee.channels.isDisjoint(with: channels) {
                    Issue.record("seed \(seed): \(model) is said to be open")
                    return
                }
            }
        }
    }
}
