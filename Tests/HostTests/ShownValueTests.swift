import Testing

@testable import Host

@Suite struct ShownValueTests {
    @Test(arguments: [
        ("", ""), ("plain", "plain"), ("/srv/goleapai.db", "/srv/goleapai.db"), ("https://host/path?a=b", "https://host/path?a=b"),
        ("https://user:secret@host/", "https://…@host/"), ("https://secret@host", "https://…@host"), ("https://a:b@c:d@host", "https://…@host"),
        (#"["https://user:secret@a", https://b, "http://x:y@c"]"#, #"["https://…@a", https://b, "http://…@c"]"#),
        ("file:x.db?_journal_mode=WAL", "file:x.db?_journal_mode=WAL"), ("file:x.db?mode=memory&_auth_pass=secret", "file:x.db?mode=memory&_auth_pass=…"),
        ("\"file:x.db?_auth_user=a&_KEY=b&c\"", "\"file:x.db?_auth_user=…&_KEY=…&c\""), ("file:x.db?", "file:x.db?"), ("user@host", "user@host"),
    ]) func passwords(_ text: String, _ shown: String) {
        #expect(withoutPasswords(text) == shown)
    }

    @Test func ofChanges() {
        var before = Settings()
        before.database.connection = "file:x.db?_auth_pass=secret"
        var after = before
        after.database.connection = "file:x.db?_auth_pass=other"
        #expect(before.changes(to: after).map(\.text) == ["database.connection"])
        after.database.connection = "file:y.db?_auth_pass=secret"
        #expect(before.changes(to: after).map(\.text) == ["database.connection: \"file:x.db?_auth_pass=…\" -> \"file:y.db?_auth_pass=…\""])
    }

    /// A secret that was put where its path belongs.
    @Test func aSecretInPlaceOfItsPath() {
        do throws(ConfigErrors) {
            _ = try Settings.load(text: Array("auth: {jwt_secret_file: 0123456789abcdef}".utf8), named: "c")
            Issue.record("it was read")
        } catch {
            #expect("\(error)" == "c:1: auth.jwt_secret_file: the path, which has neither a slash nor a point in it, cannot be read: No such file or directory")
        }
    }
}
