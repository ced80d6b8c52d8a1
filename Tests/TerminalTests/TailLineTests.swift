import GoLeapAIWSClient
import Testing

@testable import Terminal

struct TailLineTests {
    private let plain = TailLine(isColoured: false)
    private let time = "2026-02-05T10:30:00.123Z"

    @Test func lines() {
        let log = LogEvent(level: "warn", message: "slow", component: "router", fields: [.init(name: "a", value: "b c"), .init(name: "n", value: "1")], timestamp: time)
        #expect(plain.text(of: .log(log)) == "\(time)  WARN     router                slow a=\"b c\" n=1")
        #expect(plain.text(of: .log(LogEvent(level: "", message: "m", timestamp: time))) == "\(time)  INFO     -                     m")
        let request = RequestEvent(
            providerName: "Groq", modelName: "llama", endpoint: "/v1/chat", statusCode: 502, latency: 33, inputTokens: 1, outputTokens: 2, isSuccess: false,
            errorMessage: "bad gateway", timestamp: time)
        #expect(plain.text(of: .request(request)) == "\(time)  FAILED   Groq                  502 33 ms  llama  POST /v1/chat  1+2 tokens  bad gateway")
        let status = ProviderStatus(providerID: "p", providerName: "P", status: "degraded", latency: 5, successRate: 0.9876, message: "why", timestamp: time)
        #expect(plain.text(of: .provider(status)) == "\(time)  PROVIDER P                     degraded  5 ms  98.7% ok  why")
        let other = OtherEvent(type: "deploy", channel: "all", dataJSON: "{\"v\":1}", timestamp: time)
        #expect(plain.text(of: .other(other)) == "\(time)  deploy   all                   {\"v\":1}")
        #expect(plain.text(of: .gap(Gap(reason: "x"))) == nil && plain.text(of: .state(.connecting)) == nil)
    }

    /// Whatever somebody has put into an event: one line, and nothing that a terminal obeys.
    @Test(arguments: ["\u{1B}[2J", "a\nb", "a\rb", "\u{9B}31m", "\u{7F}", "\u{202E}gpj", "\u{2066}", "\u{2028}", "\u{0}", "\t"])
    func harmless(text: String) throws {
        let log = LogEvent(level: text, message: text, component: text, fields: [.init(name: text, value: text)], timestamp: text)
        let other = OtherEvent(type: text, channel: text, dataJSON: text, timestamp: text)
        for event in [ClientEvent.log(log), .other(other)] {
            let line = try #require(plain.text(of: event))
            #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) && !(0x2028...0x202E).contains($0.value) && $0.value != 0x2066 })
        }
        #expect(TailLine.harmless("ä 日本 👩‍💻") == "ä 日本 👩‍💻")
    }

    @Test(arguments: [("debug", "2"), ("info", "32"), ("warn", "33"), ("error", "31"), ("fatal", "1;31"), ("panic", "1;31")])
    func colours(level: String, code: String) throws {
        let line = try #require(TailLine(isColoured: true).text(of: .log(LogEvent(level: level, message: "m", timestamp: time))))
        #expect(line.contains("\u{1B}[\(code)m\(level.uppercased())"))
    }
}
