// Verdicts over a database that changes: what was good a moment ago need not be so now.

import Base
import Crypto
import Glibc
import TestSupport
import Testing

@testable import Server

@Suite(.timeLimit(.minutes(5))) struct AuthenticatorTests {
    private static let user = "f8c7547a-d7e1-4627-8c9f-7c872f840f9d"
    private static let admin = "1fbd885b-cc67-44e8-933f-3cb2f25d52f9"

    private func isUnavailable(_ verdict: Verdict) -> Bool { if case .failure(.unavailable) = verdict { true } else { false } }

    /// Each change, and what it makes of the key once the remembered row is 5 s old.
    @Test(arguments: [
        ("UPDATE api_keys SET revoked_at = '2026-02-05 10:00:00+00:00' WHERE name = 'active user'", AuthenticationFailure.invalid(.revokedKey)),
        ("UPDATE api_keys SET revoked_at = '0001-01-01 00:00:00+00:00' WHERE name = 'active user'", .invalid(.revokedKey)),
        ("UPDATE api_keys SET active = 0 WHERE name = 'active user'", .invalid(.inactiveKey)),
        ("UPDATE api_keys SET active = NULL WHERE name = 'active user'", .invalid(.inactiveKey)),
        ("UPDATE api_keys SET active = 'true' WHERE name = 'active user'", .invalid(.inactiveKey)),
        ("UPDATE api_keys SET active = 2 WHERE name = 'active user'", .invalid(.inactiveKey)),
        ("UPDATE api_keys SET expires_at = '2026-02-05 10:30:05+00:00' WHERE name = 'active user'", .expired),
        ("UPDATE api_keys SET expires_at = '2026-02-05 12:30:04.999+02:00' WHERE name = 'active user'", .expired),
        ("UPDATE api_keys SET expires_at = NULL WHERE name = 'active user'", .expired),
        ("UPDATE api_keys SET expires_at = '' WHERE name = 'active user'", .invalid(.unusableExpiry)),
        ("UPDATE api_keys SET expires_at = 'never' WHERE name = 'active user'", .invalid(.unusableExpiry)),
        ("UPDATE api_keys SET expires_at = 4102444799 WHERE name = 'active user'", .invalid(.unusableExpiry)),
        ("UPDATE api_keys SET key_bcrypt = (SELECT key_bcrypt FROM api_keys WHERE name = 'defaults') WHERE name = 'active user'", .invalid(.keyHash)),
        ("UPDATE api_keys SET key_bcrypt = replace(key_bcrypt, '$10$', '$15$') WHERE name = 'active user'", .invalid(.unusableHash)),
        ("UPDATE api_keys SET key_bcrypt = 'garbage' WHERE name = 'active user'", .invalid(.unusableHash)),
        ("UPDATE api_keys SET user_id = 'nobody' WHERE name = 'active user'", .invalid(.unknownUser)),
        ("DELETE FROM api_keys WHERE name = 'active user'", .invalid(.unknownKey)),
        ("UPDATE users SET active = 0 WHERE email = 'user@example.test'", .invalid(.disabledUser)),
    ]) func aKeyStopsBeingGood(_ change: String, _ failure: AuthenticationFailure) throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        let principal = try bench.key("active_user").get()
        #expect(principal.role == .user && principal.userID == AuthenticatorTests.user)
        database.execute(change)
        bench.clock.advance(.milliseconds(4999))
        #expect(try bench.key("active_user").get() == principal, "remembered")
        bench.clock.advance(.milliseconds(1))
        #expect(try bench.key("active_user") == .failure(failure))
        let expected: Recheck = failure == .invalid(.keyHash) || failure == .invalid(.unusableHash) ? .ended(.invalid(.changedKey)) : .ended(failure)
        #expect(try bench.authenticator.again([principal]) == [expected])
    }

    @Test func anEndWithAnyOffset() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        database.execute("UPDATE api_keys SET expires_at = '2026-02-05 05:30:01.000001-05:00' WHERE name = 'active user'")
        let principal = try bench.key("active_user").get()
        #expect(principal.expires.microseconds == 1_770_287_401_000_001)
        bench.clock.advance(.seconds(1))
        #expect((try? bench.key("active_user").get()) != nil, "one microsecond before")
        bench.clock.advance(.milliseconds(1))
        #expect(try bench.key("active_user") == .failure(.expired), "though its row is remembered as good")
        #expect(try bench.authenticator.again([principal]) == [.ended(.expired)])
    }

    @Test func bcryptRunsOnceWhileTheRowStays() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        for round in 0..<4 {
            #expect((try? bench.key("active_user").get()) != nil)
            #expect(try bench.key("bcrypt_mismatch") == .failure(.invalid(.keyHash)))
            #expect(bench.authenticator.counters.bcryptRuns == 2, "round \(round)")
            bench.clock.advance(.seconds(6))
        }
        database.execute("UPDATE api_keys SET usage_count = 7, key_bcrypt = '\(try bcrypt(Keys.all.key("active_user")))' WHERE name = 'active user'")
        #expect((try? bench.key("active_user").get()) != nil)
        #expect(bench.authenticator.counters.bcryptRuns == 3, "another hash")
        database.execute("UPDATE api_keys SET key_bcrypt = '' WHERE name = 'active user'")
        bench.clock.advance(.seconds(6))
        #expect((try? bench.key("active_user").get()) != nil, "none to check against")
        #expect(bench.authenticator.counters.bcryptRuns == 3)
    }

    @Test func aKeyThatComesLater() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        let key = "gla_" + String(repeating: "k", count: 43)
        #expect(try bench.authenticator.verdict(.apiKey(key)) == .failure(.invalid(.unknownKey)))
        try database.addKey(key, id: "00000000-0000-4000-8000-000000000001")
        bench.clock.advance(.milliseconds(2999))
        #expect(try bench.authenticator.verdict(.apiKey(key)) == .failure(.invalid(.unknownKey)), "remembered")
        bench.clock.advance(.milliseconds(1))
        #expect((try? bench.authenticator.verdict(.apiKey(key)).get()) != nil)
    }

    @Test func rolesOfUsers() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        let (admin, user) = (try bench.token("valid_admin").get(), try bench.token("valid_user").get())
        let key = try bench.key("active_admin").get()
        #expect(admin.role == .admin && user.role == .user && key.role == .user)
        #expect(try bench.authenticator.again([admin, user, key, admin]) == [.unchanged, .unchanged, .unchanged, .unchanged])

        // The database's role is the lower one, and comes back; a token cannot become more than it says.
        database.execute("UPDATE users SET role = 'viewer' WHERE id = '\(AuthenticatorTests.admin)'")
        database.execute("UPDATE users SET role = 'admin' WHERE id = '\(AuthenticatorTests.user)'")
        let verdicts = try bench.authenticator.again([admin, user, key])
        guard case .changed(let lower) = verdicts[0], case .changed(let lowerKey) = verdicts[2] else {
            Issue.record("\(verdicts)")
            return
        }
        #expect(lower.role == .viewer && lower.kind == admin.kind && lowerKey.role == .viewer && verdicts[1] == .unchanged)
        bench.clock.advance(.seconds(5))
        #expect(try bench.token("valid_admin").get() == lower)
        #expect(try bench.token("valid_user").get().role == .user)
        #expect(try bench.key("active_admin").get() == lowerKey)
        database.execute("UPDATE users SET role = 'admin' WHERE id = '\(AuthenticatorTests.admin)'")
        #expect(try bench.authenticator.again([lower, lowerKey]) == [.changed(admin), .changed(key)])

        database.execute("UPDATE users SET active = 0 WHERE id = '\(AuthenticatorTests.admin)'")
        database.execute("PRAGMA foreign_keys = OFF; DELETE FROM users WHERE id = '\(AuthenticatorTests.user)'")
        #expect(
            try bench.authenticator.again([admin, user, key])
                == [.ended(.invalid(.disabledUser)), .ended(.invalid(.unknownUser)), .ended(.invalid(.disabledUser))])
        bench.clock.advance(.seconds(5))
        #expect(try bench.token("valid_admin") == .failure(.invalid(.disabledUser)))
        #expect(try bench.token("valid_user") == .failure(.invalid(.unknownUser)))
        #expect(try bench.key("active_user") == .failure(.invalid(.unknownUser)))
    }

    @Test func aTokenEnds() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        let end = bench.clock.now().milliseconds / 1000 + 4
        let token = sign(
            #"{"iss":"goleapai-gateway","exp":\#(end),"user_id":"\#(AuthenticatorTests.user)","email":"x","role":"user"}"#)
        let principal = try bench.authenticator.verdict(.token(token)).get()
        #expect(principal.expires == Instant(milliseconds: end * 1000))
        bench.clock.advance(.seconds(4))
        #expect(try bench.authenticator.verdict(.token(token)) == .failure(.expired))
        #expect(try bench.authenticator.again([principal]) == [.ended(.expired)])
    }

    @Test func anotherSecretOrIssuer() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        let (principal, key) = (try bench.token("valid_user").get(), try bench.key("active_user").get())
        bench.authenticator.apply(bench.options)
        #expect(try bench.authenticator.again([principal, key]) == [.unchanged, .unchanged], "a reload that changes nothing")
        var options = bench.options
        options.secret = Secret("another")
        bench.authenticator.apply(options)
        #expect(try bench.token("valid_user") == .failure(.invalid(.signature)))
        #expect(try bench.authenticator.again([principal, key]) == [.ended(.invalid(.signature)), .unchanged])
        options.secret = bench.options.secret
        options.issuer = "someone-else"
        bench.authenticator.apply(options)
        #expect(try bench.token("valid_user") == .failure(.invalid(.issuer)))
        #expect(try bench.token("wrong_issuer").get().role == .user)
        options.secret = Secret("")
        bench.authenticator.apply(options)
        #expect(try bench.token("wrong_issuer") == .failure(.invalid(.noSecret)))
        #expect((try? bench.key("active_user").get()) != nil)
    }

    @Test func anotherDatabase() throws {
        let (first, second) = (try GatewayCopy(), try GatewayCopy())
        second.execute("UPDATE api_keys SET active = 0 WHERE name = 'active user'")
        let bench = AuthBench(first.path)
        #expect((try? bench.key("active_user").get()) != nil)
        var options = bench.options
        options.databasePath = second.path
        bench.authenticator.apply(options)
        #expect(try bench.key("active_user") == .failure(.invalid(.inactiveKey)), "at once: nothing of the other one counts")
    }

    // MARK: the database away

    @Test func missing() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        let principal = try bench.key("active_user").get()
        #expect(try bench.key("revoked") == .failure(.invalid(.revokedKey)))
        #expect(bench.authenticator.trouble == nil)
        database.takeAway()
        bench.clock.advance(.milliseconds(59_999))
        #expect(try bench.key("active_user").get() == principal, "from memory")
        #expect(try bench.key("revoked") == .failure(.invalid(.revokedKey)), "the same for refusals")
        #expect(isUnavailable(try bench.key("active_viewer")), "not remembered")
        #expect(isUnavailable(try bench.token("valid_user")), "not remembered")
        #expect(try bench.token("expired") == .failure(.expired), "needs no database")
        #expect(bench.authenticator.trouble == "the database \(database.path) does not exist")
        #expect(try bench.authenticator.again([principal]) == [.unknown("the database \(database.path) does not exist")])
        #expect(bench.authenticator.counters.fromMemory == 2)
        bench.clock.advance(.milliseconds(1))
        #expect(isUnavailable(try bench.key("active_user")))
        #expect(isUnavailable(try bench.key("revoked")))
        database.bringBack()
        #expect(try bench.key("active_user").get() == principal)
        #expect(try bench.key("active_viewer").get().role == .viewer)
        #expect(try bench.authenticator.again([principal]) == [.unchanged])
        #expect(bench.authenticator.trouble == nil)
    }

    @Test func replaced() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        let principal = try bench.key("active_user").get()
        try database.replace()
        database.execute("UPDATE api_keys SET active = 0 WHERE name = 'active user'")
        #expect(try bench.authenticator.again([principal]) == [.ended(.invalid(.inactiveKey))])
        bench.clock.advance(.seconds(5))
        #expect(try bench.key("active_user") == .failure(.invalid(.inactiveKey)))
    }

    @Test func locked() throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        let principal = try bench.key("active_user").get()
        database.execute("BEGIN EXCLUSIVE")
        bench.clock.advance(.seconds(10))
        #expect(try bench.key("active_user").get() == principal, "from memory")
        #expect(try bench.key("active_viewer") == .failure(.unavailable("the database \(database.path) is locked by a writer")))
        database.execute("COMMIT")
        #expect((try? bench.key("active_viewer").get()) != nil)
    }

    @Test(arguments: ["DROP TABLE users", "ALTER TABLE api_keys RENAME COLUMN key_bcrypt TO b"]) func noGateway(_ change: String) throws {
        let database = try GatewayCopy()
        let bench = AuthBench(database.path)
        let principal = try bench.key("active_user").get()
        database.execute("PRAGMA foreign_keys = OFF; \(change)")
        bench.clock.advance(.seconds(10))
        #expect(try bench.key("active_user").get() == principal, "from memory")
        #expect(isUnavailable(try bench.key("active_viewer")))
        try database.replace()
        #expect((try? bench.key("active_viewer").get()) != nil)
    }

    @Test func hanging() throws {
        #expect(HangingDisk.installed)
        let database = try GatewayCopy(named: "hanging-auth.db")
        let bench = AuthBench(database.path)
        let principal = try bench.key("active_user").get()
        // So that the next read is one of the file, not of SQLite's pages.
        database.execute("UPDATE api_keys SET usage_count = usage_count + 1")
        bench.clock.advance(.seconds(6))
        HangingDisk.hang(database.path)
        defer { HangingDisk.release(database.path) }

        let (known, unknown, again) = (Promise<Verdict>(), Promise<Verdict>(), Promise<[Recheck]>())
        #expect(bench.authenticator.authenticate(.apiKey(Keys.all.key("active_user"))) { known.fill($0) } == nil)
        try waitUntil("the read hangs") { HangingDisk.isWaitedFor(database.path) }
        #expect(bench.authenticator.authenticate(.apiKey(Keys.all.key("active_viewer"))) { unknown.fill($0) } == nil)
        #expect(bench.authenticator.recheck([principal]) { again.fill($0) })
        bench.clock.advance(.seconds(2))
        #expect(try known.wait().get() == principal, "from memory")
        let why = "a read of the database \(database.path) does not come back"
        #expect(try unknown.wait() == .failure(.unavailable(why)))
        #expect(try again.wait() == [.unknown(why)])

        // From now on nobody waits, though the read still hangs.
        #expect(bench.authenticator.authenticate(.apiKey(Keys.all.key("active_user"))) { _ in } == .success(principal))
        #expect(bench.authenticator.authenticate(.apiKey(Keys.all.key("active_viewer"))) { _ in } == .failure(.unavailable(why)))
        bench.clock.advance(.seconds(60))
        #expect(bench.authenticator.authenticate(.apiKey(Keys.all.key("active_user"))) { _ in } == .failure(.unavailable(why)))
        #expect(bench.authenticator.counters.waiting == 0)

        HangingDisk.release(database.path)
        try waitUntil("it is read again") { (try? bench.key("active_viewer").get()) != nil }
        #expect(try bench.authenticator.again([principal]) == [.unchanged])
    }

    @Test func stoppingWhileAReadHangs() throws {
        #expect(HangingDisk.installed)
        let database = try GatewayCopy(named: "hanging-stop.db")
        let bench = AuthBench(database.path)
        let principal = try bench.key("active_user").get()
        database.execute("UPDATE api_keys SET usage_count = usage_count + 1")
        HangingDisk.hang(database.path)
        defer { HangingDisk.release(database.path) }
        let (verdict, again) = (Promise<Verdict>(), Promise<[Recheck]>())
        #expect(bench.authenticator.authenticate(.apiKey(Keys.all.key("active_viewer"))) { verdict.fill($0) } == nil)
        try waitUntil("the read hangs") { HangingDisk.isWaitedFor(database.path) }
        #expect(bench.authenticator.recheck([principal]) { again.fill($0) })
        // The clock stands still: nothing but the end itself answers.
        bench.authenticator.stop()
        #expect(try verdict.wait() == .failure(.unavailable("the daemon is stopping")))
        #expect(try again.wait() == [.unknown("the daemon is stopping")])
        #expect(bench.authenticator.authenticate(.apiKey(Keys.all.key("active_user"))) { _ in } == .failure(.unavailable("the daemon is stopping")))
        #expect(!bench.authenticator.recheck([principal]) { _ in })
    }

    // MARK: what is shown

    @Test func nothingIsShown() throws {
        let database = try GatewayCopy()
        let secret = "canary-secret-5f1d2a77"
        let key = "gla_canaryKey000000000000000000000000000000000"
        try database.addKey(key, id: "00000000-0000-4000-8000-000000000001")
        let bench = AuthBench(database.path) { $0.secret = Secret(secret) }
        let payload = #"{"iss":"goleapai-gateway","exp":4102444799,"user_id":"\#(AuthenticatorTests.user)","email":"canary@example.test","role":"user"}"#
        let token = sign(payload, secret: secret)
        let forged = sign(payload, secret: "canary-other")
        var shown = ""
        for credential in [
            Credential.token(token), .token(forged), .token(key), .apiKey(key), .apiKey(token), .apiKey("gla_canary\u{1}"), .apiKey("gla_canary"),
            .token("canary"), Credential(text: key), Credential(text: token),
        ] {
            let verdict = try bench.authenticator.verdict(credential)
            shown += "\(credential) \(String(reflecting: credential)) \([credential]) \(verdict) \(String(reflecting: verdict))"
            dump(credential, to: &shown)
            dump(["x": credential], to: &shown)
            dump(verdict, to: &shown)
            if case .failure(let failure) = verdict { shown += "\(failure) \(String(describing: failure))" }
            if case .success(let principal) = verdict { shown += "\(try bench.authenticator.again([principal]))" }
        }
        dump(bench.options, to: &shown)
        dump(bench.authenticator.counters, to: &shown)
        shown += "\(bench.options) \(bench.authenticator.counters) \(bench.authenticator.trouble ?? "")"
        let parts = [secret, key, "canary", String(token.split(separator: ".")[2]), String(token.split(separator: ".")[1])]
        for part in parts { #expect(!shown.contains(part), "\(part)") }
        #expect(shown.contains("(token)") && shown.contains("(API key)") && shown.contains("(secret)"))
        for reason in RefusalReason.allCases { #expect(!reason.description.isEmpty && reason.rawValue.allSatisfy { $0 == "_" || $0.isLowercase }) }
    }
}
