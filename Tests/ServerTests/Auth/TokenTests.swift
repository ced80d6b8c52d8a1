import Base
import Crypto
import TestSupport
import Testing

@testable import Server

@Suite struct TokenTests {
    static let user = "f8c7547a-d7e1-4627-8c9f-7c872f840f9d"
    /// 2026-02-05T10:30:00Z.
    static let now: Int64 = 1_770_287_400

    private func check(
        _ token: String, secret: String = Keys.all.secret, issuer: String = "goleapai-gateway", at seconds: Int64 = now, microseconds: Int64 = 0
    ) -> Result<JSONWebToken, AuthenticationFailure> {
        JSONWebToken.check(
            token, secret: Secret(secret), issuer: issuer, now: Instant(microseconds: seconds * 1_000_000 + microseconds))
    }

    /// Members of a good token; `with` replaces some, or takes them out by nil.
    private func claims(_ with: [String: String?] = [:]) -> String {
        var members: [String: String] = [
            "iss": #""goleapai-gateway""#, "exp": "\(TokenTests.now + 900)", "nbf": "\(TokenTests.now)", "iat": "\(TokenTests.now)",
            "user_id": "\"\(TokenTests.user)\"", "email": #""user@example.test""#, "role": #""user""#, "sub": "\"x\"",
        ]
        for (name, value) in with { members[name] = value }
        return "{" + members.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    }

    private func refusal(_ payload: String) -> AuthenticationFailure? {
        if case .failure(let failure) = check(sign(payload)) { failure } else { nil }
    }

    @Test func goodOnes() throws {
        let token = try check(sign(claims())).get()
        #expect(token == JSONWebToken(userID: TokenTests.user, role: .user, expires: Instant(milliseconds: (TokenTests.now + 900) * 1000)))
        #expect(try check(sign(claims(), header: #"{"alg":"HS256"}"#)).get() == token, "typ is optional")
        #expect(try check(sign(claims(), header: #"{"kid":"7","typ":"JWT","alg":"HS256"}"#)).get() == token)
        #expect(try check(sign(claims(["nbf": nil, "iat": nil, "sub": nil]))).get() == token, "what the gateway need not say")
        #expect(try check(sign(claims(["user_id": "\"\(TokenTests.user.uppercased())\""]))).get() == token)
        #expect(try check(sign(claims(["extra": #"{"a":[1,2]}"#, "Extra2": "null"]))).get() == token)
        #expect(try check(sign(claims(["aud": #"["a","b"]"#, "jti": "\"x\"", "api_key_id": "\"x\""]))).get() == token)
        #expect(try check(sign(claims(["aud": "\"a\""]))).get() == token)
        for (name, role) in [("admin", Role.admin), ("viewer", .viewer), ("root", .other), ("Admin", .other), ("", .other)] {
            #expect(try check(sign(claims(["role": "\"\(name)\""]))).get().role == role)
        }
    }

    /// RFC 7519 §4.1.4 and §4.1.5, with no leeway: at one microsecond before, and at, and after.
    @Test func ends() {
        let token = sign(claims(["exp": "\(TokenTests.now + 1)"]))
        #expect((try? check(token, microseconds: 999_999).get()) != nil)
        #expect(check(token, at: TokenTests.now + 1) == .failure(.expired))
        #expect(check(token, at: TokenTests.now + 2) == .failure(.expired))
        #expect(check(token, at: TokenTests.now - 1, microseconds: 999_999) == .failure(.invalid(.notYetValid)))
        #expect((try? check(token, at: TokenTests.now).get()) != nil)
        #expect(refusal(claims(["nbf": "\(TokenTests.now + 1)"])) == .invalid(.notYetValid))
        #expect(refusal(claims(["iat": "\(TokenTests.now + 1)"])) == .invalid(.notYetValid))
    }

    @Test(arguments: [
        #"{"alg":"none"}"#, #"{"alg":"None"}"#, #"{"alg":"HS384"}"#, #"{"alg":"HS512"}"#, #"{"alg":"RS256"}"#, #"{"alg":"hs256"}"#,
        #"{"alg":"HS256 "}"#, #"{"alg":""}"#, #"{"alg":null}"#, #"{"alg":["HS256"]}"#, #"{"alg":256}"#, #"{"typ":"JWT"}"#, #"{}"#,
        #"{"Alg":"HS256"}"#,
    ]) func otherAlgorithms(_ header: String) {
        #expect(check(sign(claims(), header: header)) == .failure(.invalid(.algorithm)))
    }

    @Test(arguments: [
        (#"{"alg":"HS256","typ":"JWE"}"#, RefusalReason.tokenType), (#"{"alg":"HS256","typ":null}"#, .tokenType),
        (#"{"alg":"HS256","typ":"jwt"}"#, .tokenType), (#"{"alg":"HS256","crit":["b64"],"b64":false}"#, .tokenType),
        (#"{"alg":"none","alg":"HS256"}"#, .malformed), (#"{"alg":"HS256","alg":"HS256"}"#, .malformed),
        (#"["HS256"]"#, .malformed), ("", .malformed), (#"{"alg":"HS256"} x"#, .malformed), (#"{"alg":"HS256","a":[[[[[1]]]]]}"#, .malformed),
    ]) func otherHeaders(_ header: String, _ reason: RefusalReason) {
        #expect(check(sign(claims(), header: header)) == .failure(.invalid(reason)))
    }

    static let badClaims: [(name: String, value: String?, failure: AuthenticationFailure)] = [
        ("iss", nil, .invalid(.issuer)), ("iss", #""someone-else""#, .invalid(.issuer)), ("iss", #""""#, .invalid(.issuer)),
        ("iss", #"["goleapai-gateway"]"#, .invalid(.issuer)), ("iss", #""Goleapai-gateway""#, .invalid(.issuer)), ("iss", "null", .invalid(.issuer)),
        ("exp", nil, .invalid(.noExpiry)), ("exp", "null", .invalid(.claims)), ("exp", #""4102444799""#, .invalid(.claims)),
        ("exp", "4102444799.5", .invalid(.claims)), ("exp", "4102444799.0", .invalid(.claims)), ("exp", "4e9", .invalid(.claims)),
        ("exp", "-1", .invalid(.claims)), ("exp", "253402300800", .invalid(.claims)), ("exp", "9223372036854775807", .invalid(.claims)),
        ("exp", "99999999999999999999999", .invalid(.claims)), ("exp", "1e400", .invalid(.claims)), ("exp", "true", .invalid(.claims)),
        ("exp", "{}", .invalid(.claims)), ("exp", "0", .expired),
        ("nbf", #""0""#, .invalid(.claims)), ("nbf", "1.5", .invalid(.claims)), ("nbf", "null", .invalid(.claims)), ("nbf", "-1", .invalid(.claims)),
        ("iat", #""0""#, .invalid(.claims)), ("iat", "[]", .invalid(.claims)), ("iat", "9223372036854775808", .invalid(.claims)),
        ("user_id", nil, .invalid(.notAnAccessToken)), ("email", nil, .invalid(.notAnAccessToken)), ("role", nil, .invalid(.notAnAccessToken)),
        ("user_id", "null", .invalid(.claims)), ("user_id", "7", .invalid(.claims)), ("user_id", #""""#, .invalid(.claims)),
        ("user_id", #""f8c7547a-d7e1-4627-8c9f-7c872f840f9""#, .invalid(.claims)),
        ("user_id", #""f8c7547a-d7e1-4627-8c9f-7c872f840f9d ""#, .invalid(.claims)),
        ("user_id", #""{f8c7547ad7e146278c9f7c872f840f9dabcd}""#, .invalid(.claims)),
        ("user_id", #""f8c7547a-d7e1-4627-8c9f-7c872f840f9g""#, .invalid(.claims)),
        ("user_id", #""f8c7547a'd7e1-4627-8c9f-7c872f840f9d""#, .invalid(.claims)),
        ("user_id", #""00000000-0000-0000-0000-000000000000""#, .invalid(.claims)),
        ("email", "null", .invalid(.claims)), ("email", #""""#, .invalid(.claims)), ("role", "null", .invalid(.claims)),
        ("role", #"["admin"]"#, .invalid(.claims)), ("role", "1", .invalid(.claims)),
        // What the gateway's JSON library would stumble over, or take for a name that it knows.
        ("sub", "1", .invalid(.claims)), ("sub", "null", .invalid(.claims)), ("jti", "7", .invalid(.claims)), ("api_key_id", "[]", .invalid(.claims)),
        ("aud", "1", .invalid(.claims)), ("aud", "[1]", .invalid(.claims)), ("NBF", "1", .invalid(.malformed)), ("Role", #""user""#, .invalid(.malformed)),
        ("u\u{17F}er_id", #""x""#, .invalid(.malformed)), ("Jti", #""x""#, .invalid(.claims)), ("AUD", #""x""#, .invalid(.claims)),
        ("\\u0041ud", #""x""#, .invalid(.claims)),
        // A member of another name's place, twice the same, and deeper than the gateway ever goes.
        ("x\":1,\"role", #""admin","x":2"#, .invalid(.malformed)), ("deep", "[[[[[[1]]]]]]", .invalid(.malformed)),
        ("deep", String(repeating: "[", count: 2000), .invalid(.malformed)), ("deep", #""\uZZZZ""#, .invalid(.malformed)),
    ]

    @Test(arguments: badClaims) func badClaim(_ name: String, _ value: String?, _ failure: AuthenticationFailure) {
        #expect(refusal(claims([name: value])) == failure, "\(name): \(value ?? "left out")")
    }

    @Test func equalNames() {
        for name in ["exp", "iss", "role", "user_id"] {
            let twice = claims().dropLast() + #","\#(name)":1}"#
            #expect(refusal(String(twice)) == .invalid(.malformed), "\(name)")
        }
        #expect(refusal(#"{"r\u006fle":"admin",\#(claims().dropFirst())"#) == .invalid(.malformed), "the same name in another spelling")
        #expect(refusal("[]") == .invalid(.malformed) && refusal("") == .invalid(.malformed) && refusal("\"x\"") == .invalid(.malformed))
    }

    @Test func shapes() {
        let token = sign(claims())
        let parts = token.split(separator: ".")
        #expect(check("") == .failure(.invalid(.malformed)) && check("...") == .failure(.invalid(.malformed)))
        #expect(check("\(parts[0]).\(parts[1])") == .failure(.invalid(.malformed)))
        #expect(check("\(token).") == .failure(.invalid(.malformed)) && check(".\(token)") == .failure(.invalid(.malformed)))
        #expect(check("\(parts[0]).\(parts[1]).") == .failure(.invalid(.signature)), "no signature")
        #expect(check(" \(token)") == .failure(.invalid(.malformed)) && check("\(token)\n") == .failure(.invalid(.malformed)))
        #expect(check("\(token)=") == .failure(.invalid(.malformed)))
        #expect(check("\(parts[0])..\(parts[2])") == .failure(.invalid(.signature)))
        #expect(check("gla_\(token)") == .failure(.invalid(.keyAsToken)) && check(Keys.all.key("active_user")) == .failure(.invalid(.keyAsToken)))
        #expect(check(token, secret: "") == .failure(.invalid(.noSecret)))
        #expect(check(sign(claims(), secret: ""), secret: "") == .failure(.invalid(.noSecret)), "an empty secret is none")
        #expect(check(token, secret: "another") == .failure(.invalid(.signature)))
        #expect(check(token, issuer: "another") == .failure(.invalid(.issuer)))
    }

    /// The payload is not looked at before the signature is checked.
    @Test func signatureFirst() {
        for payload in ["", "not json", claims(["exp": "1"]), claims(["iss": nil])] {
            #expect(check(sign(payload, secret: "another")) == .failure(.invalid(.signature)))
        }
    }

    @Test func sizes() {
        let room = JSONWebToken.byteCountMax
        func padded(_ count: Int) -> String { sign(claims(["pad": "\"\(String(repeating: "x", count: count))\""])) }
        var count = room / 2
        while padded(count + 1).utf8.count <= room { count += 1 }
        #expect((try? check(padded(count)).get()) != nil)
        #expect(padded(count + 2).utf8.count > room && check(padded(count + 2)) == .failure(.invalid(.tooLong)))
        #expect(check(String(repeating: "A", count: 100_000)) == .failure(.invalid(.tooLong)))
        #expect(check(String(repeating: ".", count: room)) == .failure(.invalid(.malformed)))
        #expect(check(padded(100_000)) == .failure(.invalid(.tooLong)))
    }

    /// Flip any bit of a good token's text: it is refused.
    @Test func everyBitCounts() {
        let token = Array(sign(claims()).utf8)
        for index in token.indices {
            for bit in 0..<7 {
                var other = token
                other[index] ^= 1 << bit
                #expect((try? check(String(decoding: other, as: UTF8.self)).get()) == nil, "byte \(index), bit \(bit)")
            }
        }
    }

    @Test func fuzzedTexts() {
        let samples = Keys.all.tokens.map { Array($0.text.utf8) } + [Array(sign(claims()).utf8)]
        let good = Set(samples.filter { (try? check(String(decoding: $0, as: UTF8.self)).get()) != nil })
        let finding = fuzz(samples) { input, _ in
            let text = String(decoding: input, as: UTF8.self)
            guard (try? check(text).get()) != nil else { return nil }
            return good.contains(input) ? nil : "a token was accepted that nobody signed"
        }
        #expect(finding == nil && good.count > 4)
    }

    /// Well signed nonsense: whatever is accepted has all that a token must have.
    @Test func fuzzedPayloads() {
        let samples = [claims(), claims(["exp": "4102444799"]), claims(["extra": #"{"a":[1,2,"\u0041"]}"#])].map { Array($0.utf8) }
        let finding = fuzz(samples) { input, _ in
            let text = String(decoding: input, as: UTF8.self)
            guard let token = try? check(sign(text)).get() else { return nil }
            let isSound = token.userID.utf8.count == 36 && token.expires > Instant(milliseconds: TokenTests.now * 1000)
                && ["exp", "user_id", "role", "email", "goleapai-gateway"].allSatisfy { text.contains($0) }
            return isSound ? nil : "accepted"
        }
        #expect(finding == nil)
    }

    @Test(arguments: testSeeds(3)) func anySecretAndAnyUser(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<100 {
            let secret = String(decoding: generator.bytes(generator.int(1...80)).map { $0 & 0x7F }, as: UTF8.self)
            let seconds = Int64(generator.int(1...2_000_000_000))
            let token = sign(claims(["exp": "\(TokenTests.now + seconds)"]), secret: secret)
            #expect(try check(token, secret: secret).get().expires.milliseconds == (TokenTests.now + seconds) * 1000, "seed \(seed)")
            #expect(check(token, secret: secret + "x") == .failure(.invalid(.signature)), "seed \(seed)")
        }
    }
}
