import Base
import Crypto
import TestSupport
import Testing

@testable import Server

/// All credentials of the fixture beside what the gateway answered to each. Where we differ, we are stricter, and it is said why.
@Suite struct CredentialTableTests {
    /// What we refuse and the gateway takes.
    static let stricter: [String: AuthenticationFailure] = [
        "valid_disabled_user": .invalid(.disabledUser),  // the gateway never looks the user up
        "no_exp": .invalid(.noExpiry),
        "wrong_issuer": .invalid(.issuer),
        "no_issuer": .invalid(.issuer),
        "hs384": .invalid(.algorithm),
        "hs512": .invalid(.algorithm),
        "refresh_token": .invalid(.notAnAccessToken),
        "exp_as_float": .invalid(.claims),
        "exp_as_string": .invalid(.claims),
        "of_disabled_user": .invalid(.disabledUser),
    ]
    /// What both refuse, and why we do.
    static let refused: [String: AuthenticationFailure] = [
        "expired": .expired, "not_yet_valid": .invalid(.notYetValid), "wrong_secret": .invalid(.signature),
        "upstream_default_secret": .invalid(.signature), "alg_none": .invalid(.algorithm), "alg_none_mixed_case": .invalid(.algorithm),
        "wrong_signature": .invalid(.signature), "tampered_role": .invalid(.signature), "no_signature_part": .invalid(.malformed),
        "rs256": .invalid(.algorithm), "padded_base64": .invalid(.malformed), "garbage": .invalid(.malformed), "empty": .invalid(.malformed),
        // Keys.
        "revoked": .invalid(.revokedKey), "revoked_but_active_flag": .invalid(.revokedKey), "inactive_not_revoked": .invalid(.inactiveKey),
        "zero_expires_at": .expired, "bcrypt_mismatch": .invalid(.keyHash),
    ]

    private func compare(_ entry: Keys.Entry, _ verdict: Verdict) {
        switch verdict {
        case .success(let principal):
            #expect(entry.user == 200, "\(entry.label): we let in whom the gateway refuses")
            #expect(entry.admin == (principal.role == .admin ? 200 : 403), "\(entry.label): rights differ")
            #expect(principal.userID == entry.userID)
            #expect(principal.expires.rfc3339.hasPrefix("2099-12-31T23:59:59"))
            #expect(CredentialTableTests.stricter[entry.label] == nil && CredentialTableTests.refused[entry.label] == nil)
        case .failure(let failure):
            let expected = entry.user == 200 ? CredentialTableTests.stricter[entry.label] : CredentialTableTests.refused[entry.label]
            #expect(expected == failure, "\(entry.label): \(failure)")
        }
    }

    @Test func tokens() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        #expect(Keys.all.tokens.count == 27)
        // Twice: from the database, and from memory.
        for _ in 0..<2 {
            for entry in Keys.all.tokens { compare(entry, try bench.authenticator.verdict(.token(entry.text))) }
        }
        let letIn = Keys.all.tokens.filter { (try? bench.authenticator.verdict(.token($0.text)).get()) != nil }.map(\.label)
        #expect(letIn == ["valid_admin", "valid_user", "valid_viewer", "valid_user_with_api_key_id", "unknown_role"])
        #expect(try bench.token("valid_admin").get().role == .admin)
        #expect(try bench.token("valid_viewer").get().role == .viewer)
        #expect(try bench.token("unknown_role").get().role == .other, "nobody in particular, as for the gateway")
        #expect(bench.authenticator.counters.bcryptRuns == 0)
    }

    @Test func keys() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        #expect(Keys.all.keys.count == 11)
        for _ in 0..<2 {
            for entry in Keys.all.keys {
                let verdict = try bench.authenticator.verdict(.apiKey(entry.text))
                compare(entry, verdict)
                if case .success(let principal) = verdict {
                    #expect(principal.kind == .apiKey(id: entry.id, expires: principal.expires))
                    #expect(principal.role < .admin, "\(entry.label): a key is never an admin")
                }
            }
        }
        let letIn = Keys.all.keys.filter { (try? bench.authenticator.verdict(.apiKey($0.text)).get()) != nil }.map(\.label)
        #expect(letIn == ["active_admin", "active_user", "active_viewer", "defaults"])
        #expect(try bench.key("active_viewer").get().role == .viewer && bench.key("active_admin").get().role == .user)
        // The four, and the one that does not fit; the others were refused by their row.
        #expect(bench.authenticator.counters.bcryptRuns == 5)
    }

    /// Each as the other kind.
    @Test func theWrongWay() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        for entry in Keys.all.keys {
            #expect(try bench.authenticator.verdict(.token(entry.text)) == .failure(.invalid(.keyAsToken)), "\(entry.label)")
        }
        for entry in Keys.all.tokens {
            let expected: AuthenticationFailure = entry.text.utf8.count > 256 ? .invalid(.tooLong) : .invalid(.malformed)
            #expect(try bench.authenticator.verdict(.apiKey(entry.text)) == .failure(expected), "\(entry.label)")
        }
    }

    @Test func waysIn() throws {
        func kind(_ credential: Credential?) -> String {
            switch credential {
            case nil: "none"
            case .token(let text): "token \(text)"
            case .apiKey(let text): "key \(text)"
            }
        }
        for (value, expected) in [
            ("Bearer abc", "token abc"), ("ApiKey gla_x", "key gla_x"), ("Bearer gla_x", "token gla_x"), ("ApiKey abc", "key abc"),
            ("Bearer  abc", "token  abc"), ("Bearer ", "token "), ("Bearer", "none"), ("bearer abc", "none"), ("APIKEY gla_x", "none"),
            ("Basic YTpi", "none"), ("", "none"), (" Bearer abc", "none"), ("gla_x", "none"), ("Bearer\tabc", "none"), ("Bearer abc, ApiKey x", "token abc, ApiKey x"),
        ] {
            #expect(kind(Credential(authorization: value)) == expected, "'\(value)'")
        }
        #expect(kind(Credential(text: "gla_x")) == "key gla_x" && kind(Credential(text: "abc")) == "token abc")
        #expect(kind(Credential(text: "GLA_x")) == "token GLA_x" && kind(Credential(text: "")) == "token ")
    }

    @Test func publishedSecrets() throws {
        #expect(GatewayDefaults.publishedSecrets.allSatisfy { GatewayDefaults.isPublished($0) })
        #expect(!GatewayDefaults.isPublished("") && !GatewayDefaults.isPublished(Keys.all.secret))
        // The fixture has a token that was signed with what is compiled into the gateway: it is on our list.
        let token = Keys.all.token("upstream_default_secret")
        let now = Instant(milliseconds: 1_770_287_400_000)
        #expect(
            GatewayDefaults.publishedSecrets.contains {
                (try? JSONWebToken.check(token, secret: Secret($0), issuer: Keys.all.issuer, now: now).get()) != nil
            })
    }
}
