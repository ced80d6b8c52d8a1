import Base
import Fanout
import Glibc
import Host
import Server
import Testing

@testable import Daemon

/// A file of the project, by its path from the top.
private func project(_ path: String) throws -> String {
    let top = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
    let file = try #require(fopen("\(top)/\(path)", "r"))
    defer { fclose(file) }
    var bytes: [UInt8] = []
    while case let byte = getc(file), byte != EOF { bytes.append(UInt8(byte)) }
    return String(decoding: bytes, as: UTF8.self)
}

/// Every page, by its name.
private let pages: [(name: String, text: String)] =
    [
        ("goleapai-ws(1)", ManPage.overview()), ("goleapai-ws.yaml(5)", ManPage.configuration()),
        ("goleapai-ws(8)", ManPage.daemon()),
    ]
    + Command.all.map { ("goleapai-ws-\($0.name)(1)", ManPage.text(of: $0)) }

struct MetricsDocumentTests {
    /// The file in docs/ is the table's text, word for word.
    @Test func theShippedDocument() throws {
        #expect(try project("docs/METRICS.md") == MetricsDocument.text, "make it anew: goleapai-ws help --generate metrics > docs/METRICS.md")
    }
}

struct ManPageTests {
    @Test(arguments: pages.map(\.name))
    func isInOrder(name: String) throws {
        let text = try #require(pages.first { $0.name == name }).text
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(text.hasPrefix(".TH \"GOLEAPAI\\-WS") && text.hasSuffix("\n"))
        #expect(text.allSatisfy { $0.isASCII })
        #expect(lines.dropLast().allSatisfy { !$0.isEmpty && !$0.hasSuffix(" ") })
        let macros = Set(lines.filter { $0.hasPrefix(".") }.map { String($0.prefix { $0 != " " }) })
        #expect(
            macros.isSubset(of: [
                ".TH", ".nh", ".ad", ".SH", ".SS", ".PP", ".TP", ".IP", ".RS", ".RE", ".nf", ".fi", ".br", ".BR",
            ]), "\(macros)")
        for heading in ["NAME", "SYNOPSIS", "SEE ALSO"] { #expect(lines.contains(".SH \"\(heading)\"")) }
        // What is bold ends, on the line where it begins or a later one, before the next begins.
        #expect(text.split(separator: "\\fB").dropFirst().allSatisfy { $0.contains("\\fR") })
        // Pages that are referred to exist, or are of systemd.
        for line in lines where line.hasPrefix(".BR ") {
            let words = line.split(separator: " ")
            let page = String(words[1]).replacing("\\-", with: "-") + words[2].prefix(3)
            #expect(pages.contains { $0.name == page } || ["journalctl", "systemd"].contains { page.hasPrefix($0) }, "\(page)")
        }
    }

    @Test func everythingIsThere() {
        for command in Command.all {
            let text = ManPage.text(of: command)
            for option in Completion.options(of: command) {
                #expect(text.contains("\n\\fB\(Roff.escaped(option.name))\\fR"), "\(option.name)")
            }
        }
        let configuration = ManPage.configuration()
        for setting in Setting.all {
            #expect(configuration.contains("\n.TP\n\\fB\(Roff.escaped(setting.key))\\fR\n"), "\(setting.key)")
            #expect(configuration.contains(Roff.escaped(setting.environmentName)), "\(setting.key)")
        }
        for event in LogEvent.all { #expect(ManPage.daemon().contains("\n.TP\n\\fB\(event.id)\\fR"), "\(event.name)") }
        // Backquotes are markup in pages; a text with an odd one would lose it.
        for sentence in Setting.all.map(\.explanation)
            + Command.all.flatMap({ [$0.summary, $0.details] + $0.options.map(\.help) })
        {
            #expect(!sentence.contains("`"))
        }
    }

    @Test(arguments: [
        ("a-b", "a\\-b"), ("it's \"so\"", "it\\(aqs \\(dqso\\(dq"), ("back\\slash", "back\\eslash"), ("more…", "more..."),
        ("ä", "\\[u00E4]"),
        ("~^`", "\\(ti\\(ha\\(ga"),
    ])
    func escapes(words: String, roff: String) {
        #expect(Roff.escaped(words) == roff)
    }

    @Test func linesThatBeginLikeMacros() {
        var page = Roff("x", section: 1, summary: "y")
        page.line(".hidden")
        page.paragraphs("`.a` b")
        page.example([".c"])
        #expect(page.text.hasSuffix("\\&.hidden\n.PP\n\\fB.a\\fR b\n.PP\n.RS 4\n.nf\n\\&.c\n.fi\n.RE\n"))
    }
}

struct CompletionTests {
    @Test func everyWordIsThere() {
        for text in [BashCompletion.text(), ZshCompletion.text(), FishCompletion.text()] {
            #expect(text.allSatisfy { $0.isASCII })
            for command in Command.all {
                #expect(text.contains(command.name))
                for option in Completion.options(of: command) {
                    #expect(text.contains(option.name) || text.contains("-l \(option.name.dropFirst(2)) "), "\(option.name)")
                }
            }
            for channel in Channel.allCases { #expect(text.contains(channel.name)) }
        }
    }

    /// Each word that stands for a value is either known to have values or known to have none.
    @Test func placeholders() {
        let known = Set(["FILE", "CHANNEL", "COMMAND", "KIND", "N", "T", "JSON", "URL", "K=V", "TIME", "WHO", "LEVEL", "NAME", "TEXT", "ID", "WINDOW", "WHEN", "COLOR"])
        #expect(Set(Command.all.flatMap { $0.options.compactMap(\.value) + $0.operands }).subtracting(known).isEmpty)
        // The script for bash offers the words of one operand.
        #expect(Command.all.allSatisfy { $0.operands.count <= 1 })
    }
}

struct GenerateTests {
    static let cases: [([String], Int32)] = [
        (["help", "--generate", "man"], 0), (["help", "--generate", "man", "serve"], 0), (["help", "--generate=man-config"], 0),
        (["help", "--generate", "men"], 2), (["help", "--generate", "man", "srve"], 2),
        (["help", "--generate", "complete-bash", "serve"], 2),
        (["help", "--generate"], 2), (["help", "--generate", "man", "serve", "x"], 2),
    ]

    @Test(arguments: cases)
    func exitCodes(arguments: [String], code: Int32) {
        #expect(execute(arguments) == code)
    }

    @Test func everyKindIsExplained() throws {
        let help = Help.text(of: try #require(Command.named("help")))
        for kind in Generated.allCases { #expect(help.contains("  \(kind.rawValue) ")) }
    }
}

struct UnitTests {
    /// What the units say twice agrees with what the daemon has by default.
    @Test func unitsAgreeWithTheDefaults() throws {
        let defaults = Settings()
        let socket = try project("systemd/goleapai-ws.socket").split(separator: "\n").map(String.init)
        let addresses = socket.filter { $0.hasPrefix("ListenStream=") }
        #expect(
            addresses
                == defaults.server.host.map { host in
                    "ListenStream=\(host.contains(":") ? "[\(host)]" : host):\(defaults.server.port)"
                })
        let service = try project("systemd/goleapai-ws.service").split(separator: "\n").map(String.init)
        #expect(service.contains("RestartPreventExitStatus=\(ExitCode.configuration)"))
        #expect(defaults.websocket.maxClients + 64 <= 65_536 && service.contains("LimitNOFILE=65536"))
    }
}

struct VersionTests {
    /// One version in the program, the package and the list of changes.
    @Test func versionsAgree() throws {
        let package = try project("packaging/debian/changelog").split(separator: "\n")[0]
        #expect(package.hasPrefix("goleapai-ws (\(Version.number)) "))
        let changes = try project("CHANGELOG.md").split(separator: "\n").first { $0.hasPrefix("## ") }
        #expect(changes?.hasPrefix("## \(Version.number)") == true)
    }
}
