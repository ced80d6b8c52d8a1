// `goleapai-ws doctor`: why does it not connect? Goes the way of a browser step by step, and says what is wrong and how to mend it.

import Base
import Host
import Protocol

func doctorCommand(_ arguments: Arguments) throws(UsageError) -> Int32 {
    var arguments = arguments
    if let url = arguments.operands.first {
        guard !arguments.has("--url") else { throw UsageError(message: "the address is given twice: as --url and behind the command") }
        arguments.set("--url", to: url)
    }
    var origin: WebOrigin?
    if let text = arguments["--origin"] {
        guard let parsed = WebOrigin(parsing: text.hasSuffix("/") ? String(text.dropLast()) : text) else {
            throw UsageError(message: "--origin \(text): wanted is the site of a page, such as https://dash.example")
        }
        origin = parsed
    }
    return try DaemonAccess.use(arguments, for: "doctor") { (access) throws(UsageError) -> Int32 in
        guard access.url.socketPath == nil else {
            throw UsageError(message: "\(access.url): no browser comes by a Unix socket; doctor needs an address such as http://127.0.0.1:8080")
        }
        let findings = Doctor(access, origin: origin).examine()
        Output.write(arguments.has("--json") ? Finding.json(findings) + "\n" : Finding.text(findings))
        return findings.contains { $0.verdict == .failure } ? ExitCode.failed : ExitCode.fine
    }
}

/// What one step has shown.
struct Finding: Equatable {
    enum Verdict: String {
        case fine = "ok"
        case warning
        case failure = "failed"
    }

    /// `name`, `connection`, `tls`, `http`, …
    let step: String
    let verdict: Verdict
    let what: String
    /// How to mend it; empty where there is nothing to mend.
    var remedy = ""

    static func fine(_ step: String, _ what: String) -> Finding { Finding(step: step, verdict: .fine, what: what) }
    static func warning(_ step: String, _ what: String, _ remedy: String) -> Finding {
        Finding(step: step, verdict: .warning, what: what, remedy: remedy)
    }
    static func failure(_ step: String, _ what: String, _ remedy: String) -> Finding {
        Finding(step: step, verdict: .failure, what: what, remedy: remedy)
    }

    static func text(_ findings: [Finding]) -> String {
        let width = findings.map(\.step.count).max() ?? 0
        var text = ""
        for finding in findings {
            let mark =
                switch finding.verdict {
                case .fine: "ok   "
                case .warning: "warn "
                case .failure: "FAIL "
                }
            let step = finding.step + String(repeating: " ", count: width - finding.step.count)
            text += Output.harmless("\(mark) \(step)  \(finding.what)") + "\n"
            if !finding.remedy.isEmpty { text += Output.harmless("\(String(repeating: " ", count: width + 8))→ \(finding.remedy)") + "\n" }
        }
        let failures = findings.filter { $0.verdict == .failure }.count
        let warnings = findings.filter { $0.verdict == .warning }.count
        return text + (failures == 0 ? warnings == 0 ? "everything is fine\n" : "it works; see the warnings above\n" : "it does not work: see FAIL above\n")
    }

    static func json(_ findings: [Finding]) -> String {
        var writer = JSONWriter()
        writer.beginArray()
        for finding in findings {
            writer.beginObject()
            writer.key("step")
            writer.string(finding.step)
            writer.key("verdict")
            writer.string(finding.verdict.rawValue)
            writer.key("what")
            writer.string(finding.what)
            writer.key("remedy")
            writer.string(finding.remedy)
            writer.endObject()
        }
        writer.endArray()
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}
