import Testing

@testable import Protocol

@Suite struct ForeignTextTests {
    private static let token = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiMSJ9.c2lnbmF0dXJlLW9mLW5vYm9keQ"
    private static let key = "gla_7TWWbnGj1hENebf4Hr964k0uL80CMGY9Pp9UMDLxrGY"
    private static let ticket = "2fk3n0s9q8r7t6u5v4w3x2y1z0a9b8c7d6e5f4g3h2i1j0"

    @Test(arguments: [
        ("", ""), ("logs", "logs"), ("héllo wörld", "héllo wörld"), ("/ws/nothing-of-this-name", "/ws/nothing-of-this-name"),
        (token, "[redacted]"), ("/ws/\(token)", "/ws/[redacted]"), ("x=\(token)&y", "x=[redacted]&y"),
        ("\(key)!", "gla_[redacted]!"), ("Bearer \(ticket)", "Bearer [redacted]"), ("/ws/\(ticket)", "/ws/[redacted]"), (ticket, "[redacted]"),
        ("a \(ticket) b \(ticket)", "a [redacted] b [redacted]"), ("https://user:password@host/", "https://user:[redacted]@host/"),
        // One byte less is no word, nor is one without a digit, nor an id of the gateway, nor an instant.
        ("1234567890123456789", "1234567890123456789"), ("12345678901234567890", "[redacted]"), ("some-very-long-name_of-a-thing", "some-very-long-name_of-a-thing"),
        ("f8c7547a-d7e1-4627-8c9f-7c872f840f9d", "f8c7547a-d7e1-4627-8c9f-7c872f840f9d"),
        (String(repeating: "x", count: 39), String(repeating: "x", count: 39)), (String(repeating: "x", count: 40), "[redacted]"),
        ("f8c7547a-d7e1-4627-8c9f-7c872f840f9d7", "[redacted]"), ("f8c7547a-d7e1-4627-8c9f-7c872f840f9g", "[redacted]"),
        ("2026-02-05T10:30:00.123456789Z", "2026-02-05T10:30:00.123456789Z"), ("é12345678901234567890é", "é[redacted]é"),
    ]) func shown(_ text: String, _ shown: String) {
        #expect(ForeignText.shown(text) == shown)
    }

    /// A secret that would be cut is masked before, and what is shown is never longer than asked for.
    @Test func cuts() {
        for count in [0, 1, 10, 64, 80] {
            for start in [0, 1, count / 2, count] {
                for secret in [ForeignTextTests.token, ForeignTextTests.key, ForeignTextTests.ticket] {
                    let shown = ForeignText.shown(String(repeating: " ", count: start) + secret, to: count)
                    #expect(shown.count <= count + 1)
                    #expect(!shown.contains(secret.suffix(8)) && !shown.contains(secret.dropFirst(4).prefix(8)))
                }
            }
        }
        #expect(ForeignText.shown(String(repeating: "a ", count: 100_000), to: 5) == "a a a…")
        #expect(!ForeignText.shown(String(repeating: "aB3", count: 100_000), to: 80).contains("aB3"))
    }

    @Test(arguments: [
        ("https://dash.example:8443", "https://dash.example:8443"), ("null", "null"), ("dash.example", "dash.example"),
        ("https://dash-7d4b9c6f5d-abcde.namespace.example", "https://dash-7d4b9c6f5d-abcde.namespace.example"),
        ("https://user:secret@dash.example", "https://dash.example"), ("https://\(ticket)@dash.example/?token=\(ticket)", "https://dash.example"),
        ("https://a@b@dash.example#\(ticket)", "https://dash.example"), ("user@dash.example/x", "dash.example"), ("[::1]:8080", "[::1]:8080"),
        ("https://\(key).example", "https://gla_[redacted].example"),
    ]) func sites(_ text: String, _ shown: String) {
        #expect(ForeignText.shownSite(text) == shown)
    }

    @Test func masked() {
        #expect(ForeignText.masked("curl/8 \(ForeignTextTests.key)") == "curl/8 gla_[redacted]")
        #expect(ForeignText.masked("curl/8 (\(ForeignTextTests.ticket))") == "curl/8 (\(ForeignTextTests.ticket))", "words stay")
        let long = String(repeating: "a ", count: 1000)
        #expect(ForeignText.masked(long) == long)
    }
}
