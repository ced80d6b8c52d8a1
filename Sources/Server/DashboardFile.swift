// The web dashboard's files, and the protocol for machines (asyncapi.yaml), as they are in the program.

import CDashboard
import Crypto
import Protocol

/// One file, and how it is answered.
struct DashboardFile: Sendable {
    let bytes: [UInt8]
    let contentType: String
    /// A strong validator (RFC 9110 §8.8.3): another for each content. Empty for none.
    let entityTag: String

    /// All of them by path. Any thread.
    static let all: [String: DashboardFile] = {
        var found: [String: DashboardFile] = [:]
        var number = 0
        while let name = cdashboard_file(number).name {
            let file = cdashboard_file(number)
            number += 1
            let name = String(cString: name)
            found[name == "index.html" ? "/" : "/\(name)"] = DashboardFile(
                name: name, bytes: Array(UnsafeBufferPointer(start: file.bytes, count: file.count)))
        }
        return found
    }()

    init(name: String, bytes: [UInt8]) {
        self.bytes = bytes
        contentType =
            switch name.split(separator: ".").last {
            case "html": "text/html; charset=utf-8"
            case "css": "text/css; charset=utf-8"
            case "svg": "image/svg+xml"
            case "yaml": "application/yaml"  // RFC 9512
            default: "text/javascript; charset=utf-8"
            }
        // Without libcrypto's digest there is no telling whether a browser's copy is still right: it gets the file anew.
        entityTag = Digest.sha256(bytes).map { "\"\($0.hex.prefix(32))\"" } ?? ""
    }

    /// What it may do: load what is here, connect to here. Nothing in it is inline, nothing of it can be framed, and nothing leads elsewhere.
    private static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    /// The answer to GET and HEAD. Browsers keep the file and ask each time whether it is still the same: after an upgrade, page and daemon fit.
    func answer(to head: RequestHead) -> Response {
        let fields =
            (entityTag.isEmpty ? [] : [("ETag", entityTag)]) + [
                ("Cache-Control", "no-cache"), ("Content-Security-Policy", DashboardFile.policy),
                ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"), ("Cross-Origin-Opener-Policy", "same-origin"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
            ]
        if isKnown(to: head) { return Response(status: 304, fields: fields) }
        return Response(status: 200, body: bytes, contentType: contentType, fields: fields)
    }

    /// RFC 9110 §13.1.2: compared weakly, `*` stands for any.
    private func isKnown(to head: RequestHead) -> Bool {
        !entityTag.isEmpty && head.list("if-none-match").contains { $0 == "*" || $0 == entityTag || $0 == "W/\(entityTag)" }
    }
}
