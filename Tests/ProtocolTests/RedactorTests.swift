// What is masked and what is not, case by case; cases are written as JSON strings, so that escapes stand as they are sent.

import Protocol
import Testing

/// A masked text, and the rules that masked something in it.
func redacted(_ json: String, fields: [String] = []) -> (text: String, rules: [RedactionRule]) {
    var rules: [RedactionRule] = []
    let masked = Redactor(fields: fields).masked(Array(json.utf8)) { rules.append($0) }
    return (masked.map { String(decoding: $0, as: UTF8.self) } ?? json, rules)
}

@Suite struct RedactorTests {
    private static let jwt =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX2lkIjoiMSIsImV4cCI6MTk5OTk5OTk5OX0.Uq0mJ3pZ8nQk1m7v0bJt5sD2xY4wL9aF6cR-_hG3eTo"

    @Test(arguments: [
        ("Authorization: Bearer 0123456789abcdef", "Authorization: Bearer [redacted]", RedactionRule.bearer),
        ("bearer AbCdEfGhIjKlMnOpQr", "bearer [redacted]", .bearer), ("BEARER  a1b2c3d4e5, next", "BEARER  [redacted], next", .bearer),
        ("goleapai.v1.json, bearer.a1b2c3d4e5f6", "goleapai.v1.json, bearer.[redacted]", .bearer),
        ("Bearer a1b2c3d4+/~=. The end", "Bearer [redacted]. The end", .bearer), ("x=Bearer%20a1b2c3d4e5&y=1", "x=Bearer%20[redacted]&y=1", .bearer),
        ("map[Authorization:[Bearer a1b2c3d4e5]]", "map[Authorization:[Bearer [redacted]]]", .bearer),
        ("Bearer gla_7TWWbnGj1hENebf4Hr964k0uL80CMGY9Pp9UMDLxrGY!", "Bearer [redacted]!", .bearer),
        (#"{\"a\":\"Bearer a1b2c3d4e5\"}"#, #"{\"a\":\"Bearer [redacted]\"}"#, .bearer),
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic [redacted]", .basic), ("authorization: basic YTpi;", "authorization: basic [redacted];", .basic),
        ("t \(jwt) t", "t [redacted] t", .jwt), ("?token=\(jwt)&x=1", "?token=[redacted]&x=1", .jwt),
        ("x\(jwt)", "x[redacted]", .jwt), ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0", "[redacted]", .jwt),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "[redacted].", .jwt), ("eyJhbGciOiJkaXIi.a.b.c.d.e", "[redacted].e", .jwt),
        ("ApiKey gla_7TWWbnGj1hENebf4Hr964k0uL80CMGY9Pp9UMDLxrGY,", "ApiKey gla_[redacted],", .gatewayKey),
        ("key=gla_abcdefghijklmnop", "key=gla_[redacted]", .gatewayKey), (#"\ngla_0123456789abcdef\n"#, #"\ngla_[redacted]\n"#, .gatewayKey),
        (#"\u001bgla_0123456789abcdef"#, #"\u001bgla_[redacted]"#, .gatewayKey), (#"\\gla_0123456789abcdef"#, #"\\gla_[redacted]"#, .gatewayKey),
        ("ügla_0123456789abcdefü", "ügla_[redacted]ü", .gatewayKey), ("_gla_0123456789abcdef.", "_gla_[redacted].", .gatewayKey),
        ("sk-0123456789abcdef", "sk-[redacted]", .providerKey), ("Incorrect API key: sk-ant-api03-Abc_dEf-0123456789.", "Incorrect API key: sk-[redacted].", .providerKey),
        ("sk-proj-ABCDEFGHIJKLMNOP", "sk-[redacted]", .providerKey), ("sk-abcdefghijklmnopqrstuvwxyz", "sk-[redacted]", .providerKey),
        ("(csk-abcdefghij0123456789)", "(csk-[redacted])", .providerKey), ("gsk_abcdefghij0123456789", "gsk_[redacted]", .providerKey),
        ("?key=AIzaSyA-1234567890abcdefghijklmnopqrstuv&alt", "?key=AIza[redacted]&alt", .providerKey),
        ("xai-abcdefghij0123456789", "xai-[redacted]", .providerKey), ("hf_abcdefghijABCDEFGHIJ", "hf_[redacted]", .providerKey),
        ("pplx-abcdefghij0123456789", "pplx-[redacted]", .providerKey), ("nvapi-abcdefghij0123456789", "nvapi-[redacted]", .providerKey),
        ("r8_abcdefghij0123456789", "r8_[redacted]", .providerKey), ("fw_abcdefghij0123456789", "fw_[redacted]", .providerKey),
        ("ghp_abcdefghij0123456789", "ghp_[redacted]", .serviceToken), ("gho_abcdefghij0123456789", "gho_[redacted]", .serviceToken),
        ("ghu_abcdefghij0123456789", "ghu_[redacted]", .serviceToken), ("ghs_abcdefghij0123456789", "ghs_[redacted]", .serviceToken),
        ("ghr_abcdefghij0123456789", "ghr_[redacted]", .serviceToken), ("github_pat_11AAAAAAA0abcdefghij_xyz", "github_pat_[redacted]", .serviceToken),
        ("glpat-abcdefghij0123456789", "glpat-[redacted]", .serviceToken), ("AKIAIOSFODNN7EXAMPLE", "AKIA[redacted]", .serviceToken),
        ("id=ASIAIOSFODNN7EXAMPLE;", "id=ASIA[redacted];", .serviceToken), ("xoxb-1234567890-abc", "xoxb-[redacted]", .serviceToken),
        ("ya29.a0AfH6SMBabcdefghijkl", "ya29.[redacted]", .serviceToken), ("npm_abcdefghijklmnopqrstuvwxyz0123456789", "npm_[redacted]", .serviceToken),
        ("sk_live_abcdefghij012345", "sk_live_[redacted]", .serviceToken), ("rk_live_abcdefghij012345", "rk_live_[redacted]", .serviceToken),
        ("dop_v1_0123456789abcdef0123456789abcdef", "dop_v1_[redacted]", .serviceToken),
        ("postgres://app:hunter2@db:5432/x", "postgres://app:[redacted]@db:5432/x", .urlPassword),
        ("redis://:p@localhost", "redis://:[redacted]@localhost", .urlPassword), ("http://u:p@ss@h/", "http://u:[redacted]@h/", .urlPassword),
        ("amqp://u:a/b?c@h/v", "amqp://u:[redacted]@h/v", .urlPassword), (#"http:\/\/u:p@h\/"#, #"http:\/\/u:[redacted]@h\/"#, .urlPassword),
        (#"http://u:a\u0026b@h"#, #"http://u:[redacted]@h"#, .urlPassword), ("http://u:pä@h", "http://u:[redacted]@h", .urlPassword),
    ])
    func masks(text: String, expected: String, rule: RedactionRule) {
        // At even and odd places, alone and among others.
        for (before, behind) in [("", ""), (" ", ""), ("ab ", " cd"), ("a b ", ".")] {
            let (masked, rules) = redacted("{\"m\":\"\(before)\(text)\(behind)\",\"n\":1}")
            #expect(masked == "{\"m\":\"\(before)\(expected)\(behind)\",\"n\":1}")
            #expect(rules == [rule])
        }
    }

    @Test(arguments: [
        "risk-averse-investors-2024-strategy", "disk-usage-monitor-service-prod-01", "the task-force-of-many-people-1234", "mask-0123456789abcdef0123456789",
        "sk-learn-pipeline-default-long", "sk-short1", "sk-", "gla_short", "gla_", "igla_0123456789abcdef0123", "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022",
        "text-embedding-3-small", "550e8400-e29b-41d4-a716-446655440000", "2026-02-05T10:30:00.123Z", "models/gemini-1.5-pro-latest",
        "AKIASHORT", "AKIAIOSFODNN7EXAMPLEX", "XAKIAIOSFODNN7EXAMPLE", "ASIAPACIFICNORTHEASTREGION", "hf_hub_download", "hf_hub_download_with_a_long_name",
        "Bearer", "Bearer token", "bearer of bad news 12345678", "The Bearer token is invalid", "Bearer authentication", "Bearer realm=\\\"api\\\", error=\\\"x\\\"",
        "Bearer <token>", "Bearer $TOKEN_0123456789", "Basic authentication", "basic YWJjZGVmZ2g=", "basic statistics of all providers", "eyJ", "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.x", "eyJ.eyJ", "https://api.openai.com/v1/chat/completions", "http://127.0.0.1:8080/x?y=a@b", "http://[::1]:8080/a@b",
        "ssh://git@github.com:org/repo@v1", "http://user@host/", "http://u:@h/", "see http://a.b: it is x@y", "mailto:a@b.c", "12:30:45@home", "c://x y:z@w",
        "xoxo-hugs-and-kisses", "xoxb-short", "npm_config_registry", "npm_lifecycle_event_of_the_package", "github_pat_x", "ghp_x", "a glance at ghost_writer",
        "https:\\/\\/example.com\\/a", "caf\\u00e9 \\u4e2d\\u6587 \\u003cb\\u003e a \\u0026 b", "\\ud83d\\ude00 smile", "[redacted]", "Bearer [redacted]",
        "gla_[redacted]", "http://u:[redacted]@h",
    ])
    func leaves(text: String) {
        for before in ["", " ", "x "] {
            let json = "{\"message\":\"\(before)\(text)\",\"n\":[1,true,null]}"
            let (masked, rules) = redacted(json)
            #expect(masked == json)
            #expect(rules.isEmpty)
        }
    }

    /// The mask begins at the escape that the secret begins with, and ends behind its last one.
    @Test(arguments: [
        (#"gla\u005f0123456789abcdef"#, #"gla\u005f[redacted]"#), (#"\u0067la_0123456789abcdef"#, #"\u0067la_[redacted]"#),
        (#"x gla_0123456789\u0061bcdef y"#, #"x gla_[redacted] y"#), (#"gla_0123456789abcde\u0066."#, #"gla_[redacted]."#),
        (#"Bearer\u0020a1b2c3d4e5"#, #"Bearer\u0020[redacted]"#), (#"Bearer a1b2\/c3d4e5"#, #"Bearer [redacted]"#), (#"B\u0065arer a1b2c3d4e5\n"#, #"B\u0065arer [redacted]\n"#),
        (#"\ud83d\ude00gla_\u0030123456789abcdef\ud83d"#, #"\ud83d\ude00gla_[redacted]\ud83d"#), (#"\u00e9sk\u002D0123456789abcdef"#, #"\u00e9sk\u002D[redacted]"#),
        (#"http\u003a//u:p@h"#, #"http\u003a//u:[redacted]@h"#), (#"gla_0123456789abcdef \u0041 gla_0123456789abcdef"#, #"gla_[redacted] \u0041 gla_[redacted]"#),
        (#"Basic dXNl\u0063jpwYXNz"#, "Basic [redacted]"),
    ])
    func seesThroughEscapes(text: String, expected: String) {
        for before in ["", " ", "ab ", #"\" "#, #"\\ "#] {
            let (masked, _) = redacted("{\"m\":[\"\(before)\(text)\"]}")
            #expect(masked == "{\"m\":[\"\(before)\(expected)\"]}")
        }
    }

    /// Two backslashes are one in the text, and what follows is no escape of this one.
    @Test func knowsWhatIsNoEscape() {
        #expect(redacted(#"["a\\u0067la_0123456789abcdef"]"#).text == #"["a\\u0067la_0123456789abcdef"]"#)
        #expect(redacted(#"["a\\\u0067la_0123456789abcdef"]"#).text == #"["a\\\u0067la_[redacted]"]"#)
    }

    /// JSON and addresses that are quoted in a text: what is written before the secret there ends in a letter or digit, but is none.
    @Test(arguments: [
        (#"{\"m\":\"a\\ngla_0123456789abcdef\"}"#, #"{\"m\":\"a\\ngla_[redacted]\"}"#), (#"\\\\tsk-0123456789abcdef"#, #"\\\\tsk-[redacted]"#),
        (#"key\\u003dgla_0123456789abcdef"#, #"key\\u003dgla_[redacted]"#), (#"\\u0022AKIAIOSFODNN7EXAMPLE\\u0022"#, #"\\u0022AKIA[redacted]\\u0022"#),
        ("?key%3Dgla_0123456789abcdef", "?key%3Dgla_[redacted]"), ("%22gla_0123456789abcdef%22", "%22gla_[redacted]%22"),
        (#"Bearer\ta1b2c3d4e5"#, #"Bearer\t[redacted]"#), (#"Bearer \"a1b2c3d4e5\""#, #"Bearer \"[redacted]\""#), (#"Bearer\\ta1b2c3d4e5"#, #"Bearer\\t[redacted]"#),
        (#"Bearer \\\"a1b2c3d4e5\\\""#, #"Bearer \\\"[redacted]\\\""#),
        // As much of it decoded: an escape elsewhere in the text has it looked at as what it stands for.
        (#"\u0061 \\ngla_0123456789abcdef"#, #"\u0061 \\ngla_[redacted]"#), (#"\u0061 Bearer \"a1b2c3d4e5\""#, #"\u0061 Bearer \"[redacted]\""#),
    ])
    func seesThroughQuotation(text: String, expected: String) {
        #expect(redacted("{\"m\":\"\(text)\"}").text == "{\"m\":\"\(expected)\"}")
    }

    @Test func aQuoteThatEndsTheTextIsNoSeparator() {
        for json in [#"["bearer","a1b2c3d4e5"]"#, #"["bearer\\","a1b2c3d4e5"]"#, #"{"bearer":"a1b2c3d4e5"}"#] { #expect(redacted(json).text == json) }
    }

    @Test(arguments: [
        (#"{"password":"x"}"#, #"{"password":"[redacted]"}"#), (#"{"a":{"PassWord":"x\"y","b":1}}"#, #"{"a":{"PassWord":"[redacted]","b":1}}"#),
        (#"[{"b":[{"password":{"c":[1,"}",2]}}]},3]"#, #"[{"b":[{"password":"[redacted]"}]},3]"#), (#"{"password":-1.5e3,"b":2}"#, #"{"password":"[redacted]","b":2}"#),
        (#"{"b":2,"password":[1,{"x":"]"}]}"#, #"{"b":2,"password":"[redacted]"}"#), (#"{"password":true}"#, #"{"password":"[redacted]"}"#),
        (#"{"password":null}"#, #"{"password":null}"#), (#"{"password":"[redacted]"}"#, #"{"password":"[redacted]"}"#), (#"{"password":""}"#, #"{"password":"[redacted]"}"#),
        (#"{"p\u0061ssword":"x","b":1}"#, #"{"p\u0061ssword":"[redacted]","b":1}"#), (#"{"passwords":"x"}"#, #"{"passwords":"x"}"#),
        (#"{"my password":"x"}"#, #"{"my password":"x"}"#), (#"{"a":"password","b":"\"password\":\"x\""}"#, #"{"a":"password","b":"\"password\":\"x\""}"#),
        (#"{"a\",\"password":"x"}"#, #"{"a\",\"password":"x"}"#), (#"{"a":",","password":1}"#, #"{"a":",","password":"[redacted]"}"#),
        (#"{"x":1,"X":2,"xy":3}"#, #"{"x":"[redacted]","X":"[redacted]","xy":3}"#), (#"{"password":"gla_0123456789abcdef","x":{}}"#, #"{"password":"[redacted]","x":"[redacted]"}"#),
        (#""password""#, #""password""#), (#"{"c-d.e":1}"#, #"{"c-d.e":"[redacted]"}"#),
    ])
    func masksFields(json: String, expected: String) {
        #expect(redacted(json, fields: ["Password", "x", "C-d.E", ""]).text == expected)
    }

    @Test func keysStay() {
        for json in [
            #"{"gla_0123456789abcdef":1}"#, #"{"Bearer a1b2c3d4e5 gla_0123456789abcdef":"x"}"#, #"{"gla\u005f0123456789abcdef":{"b":2}}"#,
            #"{"http://u:p@h":[1]}"#,
        ] {
            #expect(redacted(json).text == json)
        }
        #expect(redacted(#"{"gla_0123456789abcdef":"gla_0123456789abcdef"}"#).text == #"{"gla_0123456789abcdef":"gla_[redacted]"}"#)
    }

    @Test func countsEach() {
        let (text, rules) = redacted(#"{"a":"gla_0123456789abcdef,gla_0123456789abcdef","b":"sk-0123456789abcdef","c":"http://u:p@h http://u:q@h"}"#)
        #expect(text == #"{"a":"gla_[redacted],gla_[redacted]","b":"sk-[redacted]","c":"http://u:[redacted]@h http://u:[redacted]@h"}"#)
        #expect(rules == [.gatewayKey, .gatewayKey, .providerKey, .urlPassword, .urlPassword])
    }

    @Test func plainText() {
        let redactor = Redactor(fields: ["x"])
        #expect(redactor.masked(text: "order.gla_0123456789abcdef") { _ in } == "order.gla_[redacted]")
        #expect(redactor.masked(text: "order.created") { _ in } == nil)
        #expect(redactor.masked(text: "") { _ in } == nil)
    }
}
