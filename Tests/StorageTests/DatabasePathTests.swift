import Testing

@testable import Storage

@Suite struct DatabasePathTests {
    @Test(arguments: [
        ("/opt/goleapai/data/goleapai.db", "/opt/goleapai/data/goleapai.db"),
        ("data/goleapai.db", "data/goleapai.db"),
        ("/var/lib/a b%20c.db", "/var/lib/a b%20c.db"),
        ("/x/y.db?_journal_mode=WAL", "/x/y.db"),
        ("file:/x/y.db?_journal_mode=WAL&_busy_timeout=5000", "/x/y.db"),
        ("file:data/goleapai.db?cache=shared", "data/goleapai.db"),
        ("file:///x/y.db", "/x/y.db"),
        ("file://localhost/x/y.db", "/x/y.db"),
        ("file:/x/a%20b%3f.db#part", "/x/a b?.db"),
        ("file:/x/100%.db", "/x/100%.db"),
    ])
    func taken(_ connection: String, _ path: String) { #expect(DatabasePath.path(of: connection) == path) }

    @Test(arguments: ["", ":memory:", "file::memory:", "file::memory:?cache=shared", "file:x.db?mode=memory", "file://server/x.db", "file:a%00b"])
    func refused(_ connection: String) { #expect(DatabasePath.path(of: connection) == nil) }

    @Test(arguments: [
        ("/x/y.db", "file:/x/y.db?mode=ro"),
        ("/x/a?b#c%d.db", "file:/x/a%3fb%23c%25d.db?mode=ro"),
        ("/x/ü.db", "file:/x/%c3%bc.db?mode=ro"),
        ("//x/y.db", "file:////x/y.db?mode=ro"),
    ])
    func uri(_ path: String, _ uri: String) { #expect(DatabasePath.readOnlyURI(path) == uri) }
}
