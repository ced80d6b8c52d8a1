// Which hosts and origins are welcome where whoever reaches the port is served.

import Host
import Protocol
import TestSupport
import Testing

@testable import Server

@Suite struct AccessTests {
    static let normalised: [(String, String)] = [
        ("http://example.com", "http://example.com"), ("HTTP://Example.COM", "http://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("http://example.com:8080", "http://example.com:8080"), ("http://example.com:443", "http://example.com:443"),
        ("https://example.com:443", "https://example.com"), ("https://example.com:80", "https://example.com:80"),
        ("https://example.com:4430", "https://example.com:4430"), ("http://example.com:080", "http://example.com:080"),
        ("http://example.com/", "http://example.com"), ("https://example.com/path?query#part", "https://example.com"),
        ("https://example.com:443/path", "https://example.com"), ("http://[::1]:80", "http://[::1]"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://[2001:DB8::80]", "https://[2001:db8::80]"), ("ws://example.com:80", "ws://example.com"), ("null", "null"),
        ("", ""),
    ]

    @Test(arguments: normalised)
    func normalising(url: String, wanted: String) { #expect(Access.normalise(url) == wanted) }

    @Test(arguments: [
        ("example.com", "example.com", ""), ("example.com:8080", "example.com", "8080"), ("[::1]", "::1", ""),
        ("[::1]:8080", "::1", "8080"),
        ("127.0.0.1:80", "127.0.0.1", "80"), ("", "", ""),
    ])
    func authorities(authority: String, host: String, port: String) {
        #expect(Access.host(ofAuthority: authority) == host)
        #expect(Access.port(ofAuthority: authority) == port)
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("0.0.0.0", true), ("255.255.255.255", true), ("::1", true), ("2001:db8::7", true),
        ("::ffff:192.0.2.1", true),
        ("256.0.0.1", false), ("1.2.3", false), ("1.2.3.4.5", false), ("1.2.3.4.", false), (".1.2.3", false), ("1.2.3.a", false),
        ("+1.2.3.4", false),
        ("0x7f.0.0.1", false), ("2130706433", false), ("", false), ("localhost", false), ("evil:com", false), ("1.2.3.４", false),
        ("1..2.3", false),
    ])
    func literals(host: String, wanted: Bool) { #expect((IPLiteral.normalised(host) != nil) == wanted) }

    static let hosts: [(String, Bool)] = [
        ("127.0.0.1", true), ("127.0.0.1:8080", true), ("[::1]:8080", true), ("192.168.1.5", true), ("localhost", true),
        ("LocalHost:8080", true),
        ("monitor.example.com", true), ("MONITOR.example.com:9000", true), ("page.example.org", true), ("evil.example", false),
        ("evil.example:8080", false),
        ("localhost.evil.example", false), ("localhost.", false), ("127.0.0.1.evil.example", false), ("example.com", false),
        ("2130706433", false),
    ]

    /// DNS rebinding: a stranger's name for this machine is refused, whatever the origin.
    @Test(arguments: hosts)
    func hostNames(host: String, isWelcome: Bool) throws {
        let access = Access(publicURL: "https://Monitor.example.com/ws", allowedOrigins: ["http://page.example.org:8000", "*"])
        let refusal = access.refusal(of: try head("GET", "/", [("Host", host)]))
        #expect((refusal == nil) == isWelcome)
        if let refusal {
            #expect(refusal.kind == .host && refusal.response.status == 403)
            #expect(refusal.response.text.contains("'\(host)'") && refusal.response.text.contains("server.public_url"))
        }
        #expect((access.refusal(of: try head("GET", "http://\(host)/", [("Host", host)])) == nil) == isWelcome)
    }

    @Test func hostMayBeLeftOutInHTTP10() throws {
        let access = Access(publicURL: "", allowedOrigins: [])
        #expect(access.refusal(of: try head("GET", "/", version: "1.0")) == nil)
        #expect(access.refusal(of: try head("GET", "/", [("Host", "evil.example")], version: "1.0"))?.response.status == 403)
    }

    static let origins: [(String, String, Bool)] = [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", true), ("127.0.0.1:8080", "HTTP://127.0.0.1:8080", true),
        ("127.0.0.1:8080", "https://127.0.0.1:8080", true),
        ("127.0.0.1:8080", "http://127.0.0.1:8081", false), ("127.0.0.1:8080", "http://127.0.0.1", false),
        ("127.0.0.1", "http://127.0.0.1", true),
        ("127.0.0.1:80", "http://127.0.0.1", true), ("127.0.0.1", "http://127.0.0.1:80", true),
        ("192.168.1.5:8080", "http://192.168.1.5:8080", true),
        ("192.168.1.5:8080", "http://192.168.1.6:8080", false), ("127.0.0.1:8080", "http://evil.example", false),
        ("127.0.0.1:8080", "http://evil.example:8080", false), ("127.0.0.1:8080", "null", false), ("127.0.0.1:8080", "", false),
        ("127.0.0.1:8080", "http://127.0.0.1:8080.evil.example", false), ("127.0.0.1:8080", "file://", false),
        // Names of this machine to itself are one.
        ("127.0.0.1:8080", "http://localhost:8080", true), ("[::1]:8080", "http://localhost:8080", true),
        ("localhost:8080", "http://[::1]:8080", true),
        ("localhost:8080", "app://localhost:8080", false), ("127.0.0.1:8080", "file://127.0.0.1:8080", false), ("localhost", "app://localhost", false),
        ("localhost:8080", "http://127.0.0.1:8081", false), ("192.168.1.5:8080", "http://localhost:8080", false),
        // Listed, or the public address.
        ("127.0.0.1:8080", "https://page.example.org", true), ("127.0.0.1:8080", "https://page.example.org:443", true),
        ("127.0.0.1:8080", "https://PAGE.example.org", true), ("127.0.0.1:8080", "http://page.example.org", false),
        ("127.0.0.1:8080", "https://page.example.org:8443", false), ("127.0.0.1:8080", "https://sub.page.example.org", false),
        ("127.0.0.1:8080", "https://monitor.example.com", true), ("monitor.example.com", "https://monitor.example.com", true),
        ("monitor.example.com", "http://monitor.example.com", true), ("monitor.example.com", "https://page.example.org", true),
    ]

    @Test(arguments: origins)
    func originsOfPages(host: String, origin: String, isWelcome: Bool) throws {
        let access = Access(publicURL: "https://monitor.example.com/live", allowedOrigins: ["https://page.example.org"])
        let refusal = access.refusal(of: try head("GET", "/", [("Host", host), ("Origin", origin)]))
        #expect((refusal == nil) == isWelcome)
        if let refusal { #expect(refusal.response.status == 403 && refusal.response.text.contains("server.allowed_origins")) }
        let anyone = Access(publicURL: "https://monitor.example.com", allowedOrigins: ["*"])
        #expect(anyone.refusal(of: try head("GET", "/", [("Host", host), ("Origin", origin)])) == nil)
    }

    @Test func oneOriginOrNone() throws {
        let access = Access(publicURL: "", allowedOrigins: ["*"])
        #expect(access.refusal(of: try head("GET", "/")) == nil)
        #expect(
            access.refusal(of: try head("GET", "/", [("Origin", "http://localhost"), ("Origin", "http://localhost")]))?.response.status
                == 403)
        let long = "http://" + String(repeating: "x", count: 1000) + ".example"
        let refusal = Access(publicURL: "", allowedOrigins: []).refusal(of: try head("GET", "/", [("Origin", long)]))
        #expect((refusal?.response.body.count ?? 9999) < 400)
        #expect((refusal?.message.count ?? 9999) < 600)
    }

    /// Pages of listed sites may see, not do: a POST without preflight needs no permission to be sent.
    @Test func listedOriginsDoNotGetToAdmin() throws {
        let access = Access(publicURL: "https://monitor.example.com/live", allowedOrigins: ["https://page.example.org", "*"])
        for (origin, isWelcome) in [
            ("https://page.example.org", false), ("https://evil.example", false), ("null", false), ("http://localhost:8081", false),
            ("http://localhost:8080", true), ("http://127.0.0.1:8080", true), ("https://monitor.example.com", true),
        ] {
            let refusal = access.refusal(of: try head("POST", "/", [("Host", "localhost:8080"), ("Origin", origin)]), isForAdmins: true)
            #expect((refusal == nil) == isWelcome, "\(origin)")
            #expect(refusal == nil || refusal?.kind == .origin && refusal?.message.contains("/admin") == true)
        }
    }

    /// What the operator reads, and what the stranger does not.
    @Test func theOperatorIsToldMoreThanTheStranger() throws {
        let access = Access(publicURL: "https://monitor.example.com/live", allowedOrigins: ["https://page.example.org"])
        func refused(_ fields: [(String, String)], isForAdmins: Bool = false) throws -> (message: String, answer: String, fields: [String: String]) {
            let refusal = try #require(access.refusal(of: try head("GET", "/ws/logs", fields), isForAdmins: isForAdmins))
            return (refusal.message, refusal.response.text, Dictionary(uniqueKeysWithValues: refusal.fields.map { ($0.name, $0.value) }))
        }
        let page = try refused([("Host", "localhost:8080"), ("Origin", "HTTP://evil.example:80")])
        #expect(
            page.message
                == "the Origin 'HTTP://evil.example:80' is refused, asked for /ws/logs; accepted are http://localhost:8080, https://localhost:8080, https://monitor.example.com, https://page.example.org; to let its pages connect: server.allowed_origins: [https://page.example.org, http://evil.example]"
        )
        #expect(page.fields["REMEDY"] == "server.allowed_origins: [https://page.example.org, http://evil.example]")
        #expect(page.fields["SETTING"] == "server.allowed_origins" && page.fields["ORIGIN"] == "HTTP://evil.example:80")
        let name = try refused([("Host", "dash.internal:8080")])
        #expect(
            name.message
                == "the Host 'dash.internal:8080' is refused, asked for /ws/logs; accepted are IP addresses, localhost, monitor.example.com, page.example.org; if this server is to be reached by that name: server.public_url: http://dash.internal:8080"
        )
        #expect(name.fields["HOST"] == "dash.internal:8080" && name.fields["SETTING"] == "server.public_url")
        let proxied = try refused([("Host", "localhost:8080"), ("Origin", "https://here.example"), ("X-Forwarded-For", "192.0.2.1")])
        #expect(proxied.message.hasSuffix("or, if that is this server behind its proxy: server.public_url: https://here.example"))
        let nobody = try refused([("Host", "localhost:8080"), ("Origin", "null")])
        #expect(nobody.message.contains("cannot be listed") && nobody.fields["REMEDY"] == nil)
        let admin = try refused([("Host", "localhost:8080"), ("Origin", "https://page.example.org")], isForAdmins: true)
        #expect(admin.message.contains("never get to /admin") && !admin.message.contains("server.allowed_origins"))
        for one in [page, name, proxied, nobody, admin] {
            for word in ["monitor.example.com", one.fields["ORIGIN"] == "https://page.example.org" ? "monitor" : "page.example.org"] {
                #expect(!one.answer.contains(word), "\(one.answer) names what is configured")
            }
        }
    }

    @Test func longListsAreCut() throws {
        let many = (0..<400).map { "https://page\($0).example.org" }
        let refusal = try #require(
            Access(publicURL: "", allowedOrigins: many).refusal(of: try head("GET", "/", [("Origin", "https://evil.example")])))
        #expect(refusal.message.count < 1200 && refusal.message.contains("and 386 more") && refusal.message.hasSuffix("add it to server.allowed_origins"))
    }

    @Test func crossOriginFields() throws {
        let access = Access(publicURL: "", allowedOrigins: ["https://page.example.org"])
        func allowed(_ origin: String) throws -> String? {
            access.crossOriginFields(for: try head("GET", "/", [("Origin", origin)])).first {
                $0.0 == "Access-Control-Allow-Origin"
            }?.1
        }
        #expect(try allowed("https://page.example.org") == "https://page.example.org")
        #expect(try allowed("https://page.example.org:443") == "https://page.example.org:443")
        #expect(try allowed("http://localhost") == nil)
        #expect(access.crossOriginFields(for: try head("GET", "/")).isEmpty)
    }

    @Test(
        arguments: [
            ([("Forwarded", "for=1")], "1.1", true), ([("X-Forwarded-For", "1")], "1.1", true),
            ([("x-forwarded-anything", "1")], "1.1", true),
            ([("X-Real-IP", "1")], "1.1", true), ([("Via", "1.1 x")], "1.1", true), ([("X-Forward", "1")], "1.1", false),
            ([], "1.1", false), ([], "1.0", true),
        ] as [([(String, String)], String, Bool)])
    func proxied(fields: [(String, String)], version: String, wanted: Bool) throws {
        #expect(Access.isProxied(try head("GET", "/", fields, version: version)) == wanted)
    }
}
