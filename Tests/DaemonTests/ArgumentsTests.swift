import Testing

@testable import Daemon

private func parse(_ command: String, _ words: [String]) throws -> Arguments {
    try Arguments(parsing: words, for: try #require(Command.named(command)))
}

struct ArgumentsTests {
    @Test func optionsAndOperands() throws {
        let arguments = try parse("publish", ["logs", "--type", "log", "--data={\"a\":\"b=c\"}", "--url="])
        #expect(arguments.operands == ["logs"])
        #expect(arguments.values == ["--type": "log", "--data": "{\"a\":\"b=c\"}", "--url": ""])
        // A value may look like an option, and behind `--` nothing is one.
        #expect(try parse("publish", ["--type", "--demo"]).values == ["--type": "--demo"])
        #expect(try parse("publish", ["--", "--type"]).operands == ["--type"])
        #expect(try parse("serve", ["--port", "1", "--port=2", "--demo"]).values == ["--port": "2", "--demo": ""])
    }

    @Test(arguments: [
        ("serve", ["--prot", "1"], "unknown option --prot; did you mean --port?"),
        ("serve", ["--zzzzzzzz"], "unknown option --zzzzzzzz"),
        ("serve", ["-x"], "unknown option -x"),
        ("serve", ["--port"], "--port wants a value: --port N"),
        ("serve", ["--demo=yes"], "--demo takes no value"),
        ("serve", ["now"], "what is now? serve takes no operands"),
        ("publish", ["logs", "stats"], "what is stats? publish takes CHANNEL only"),
    ])
    func refused(command: String, words: [String], message: String) {
        #expect(throws: UsageError(message: message)) { try parse(command, words) }
    }

    @Test(arguments: [("0", 0), ("65535", 65_535)])
    func numbers(text: String, number: Int) throws {
        #expect(try parse("serve", ["--port", text]).integer("--port", in: 0...65_535) == number)
        #expect(try parse("serve", []).integer("--port", in: 0...65_535) == nil)
    }

    @Test(arguments: ["65536", "-1", "x", "", "1 ", "99999999999999999999"])
    func noNumbers(text: String) throws {
        let arguments = try parse("serve", ["--port", text])
        #expect(throws: UsageError(message: "--port \(text): wanted is a whole number, 0 to 65535")) {
            try arguments.integer("--port", in: 0...65_535)
        }
    }
}

struct HelpTests {
    @Test func everyCommandIsExplained() {
        let overview = Help.overview()
        for command in Command.all {
            #expect(overview.contains("  \(command.name) "))
            let text = Help.text(of: command)
            #expect(text.hasPrefix("goleapai-ws \(command.name): "))
            for option in command.options + [.init(name: "--help", help: "")] { #expect(text.contains("  \(option.name)")) }
            #expect(text.split(separator: "\n").allSatisfy { $0.count <= 120 })
            #expect(execute([command.name, "--help"]) == 0)
            #expect(execute(["help", command.name]) == 0)
        }
    }

    // With its type, which the compiler takes too long to find.
    static let cases: [([String], Int32)] = [
        (["help"], 0), (["--help"], 0), (["version"], 0), (["--version"], 0), ([], 2), (["srve"], 2), (["help", "srve"], 2), (["--prot"], 2),
        (["serve", "--demo-rate", "5"], 2), (["serve", "--demo", "--demo-rate", "x"], 2), (["publish", "logs"], 2),
        (["publish", "--type", "log"], 2), (["publish", "logs", "--type", "log", "--data", "{"], 2),
        (["check-config", "--config", "/nonexistent"], 78), (["serve", "--config", "/nonexistent"], 78),
        (["check-config", "--print-default"], 0),
        (["publish", "logs", "--type", "log", "--data", "1", "--url", "ftp://x"], 2),
        (["publish", "logs", "--type", "log", "--data", "1", "--url", "https://127.0.0.1"], 1),
    ]

    @Test(arguments: cases)
    func exitCodes(arguments: [String], code: Int32) {
        #expect(execute(arguments) == code)
    }

    @Test func banner() {
        #expect(demoBanner(port: 8080).contains("websocat ws://localhost:8080/ws/stats "))
        #expect(!demoBanner(port: 8080).contains("--url"))
        #expect(demoBanner(port: 81).contains("publish --url http://localhost:81 logs"))
    }
}
