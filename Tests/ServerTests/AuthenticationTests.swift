// From the credential to the answer: every way to present one, every endpoint, every outcome.

import Base
import Dispatch
import Fanout
import Host
import Protocol
import TestSupport
import Testing

@testable import Server

/// Knows a handful of credentials; answers at once, or only when told.
private final class Book: IdentityChecker {
    static let end = Instant(milliseconds: 4_000_000_000_000)
    static func identity(_ user: String, _ role: Role, key: String? = nil) -> Identity {
        Identity(
            userID: user, role: role, kind: key.map { .apiKey(id: $0, expires: end) } ?? .token(expires: end), ceiling: role, checkedAgainst: 0)
    }
    static let known: [String: Identity] = [
        "admin": identity("a-1", .admin), "user": identity("u-1", .user), "viewer": identity("v-1", .viewer),
        "gla_user": identity("u-1", .user, key: "k-1"),
        // Its owner is an admin; even if somebody took it for one, it would be none.
        "gla_admin": identity("a-1", .admin, key: "k-2"),
    ]
    static let failures: [String: AuthenticationFailure] = ["old": .expired, "away": .unavailable("no such file"), "busy": .busy]

    let answersLater: Bool
    let waiting = Locked<[@Sendable () -> Void]>([])
    init(later: Bool = false) { answersLater = later }

    func authenticate(
        _ credential: Credential, later: @escaping @Sendable (Result<Identity, AuthenticationFailure>) -> Void
    ) -> Result<Identity, AuthenticationFailure>? {
        let word: String
        switch credential {
        case .token(let text): word = text.hasPrefix("gla_") ? "wrong" : text
        case .apiKey(let text): word = text.hasPrefix("gla_") ? text : "wrong"
        }
        let result: Result<Identity, AuthenticationFailure> =
            Book.known[word].map { .success($0) } ?? .failure(Book.failures[word] ?? .invalid(.unknownUser))
        if !answersLater { return result }
        waiting.withLock { $0.append { later(result) } }
        return nil
    }

    /// Nil: rechecks cannot be begun.
    let verdict = Locked<Recheck?>(nil)
    let rounds = Locked<[Int]>([])

    func recheck(_ identities: [Identity], later: @escaping @Sendable ([Recheck]) -> Void) -> Bool {
        guard let verdict = verdict.withLock({ $0 }) else { return false }
        rounds.withLock { $0.append(identities.count) }
        let answer = { @Sendable in later(identities.map { _ in verdict }) }
        if answersLater { waiting.withLock { $0.append(answer) } } else { answer() }
        return true
    }

    func answerAll() { for answer in waiting.withLock({ waiting in defer { waiting = [] }; return waiting }) { answer() } }
}

@Suite struct AuthenticationTests {
    private func router(_ change: (inout AuthenticationRules) -> Void = { _ in }, checker: any IdentityChecker = Book()) -> Router {
        var authentication = AuthenticationRules()
        authentication.checker = checker
        change(&authentication)
        return Router(
            hub: Hub(limits: Limits(), clock: ManualClock()), options: .forTests(), rules: .forTests { $0.authentication = authentication })
    }

    private static let endpoints: [(method: String, path: String, isWebSocket: Bool)] = [
        ("GET", "/ws/stats", true), ("GET", "/ws/requests", true), ("GET", "/ws/logs", true), ("GET", "/ws/all", true), ("GET", "/ws", true),
        ("POST", "/ws/ticket", false), ("POST", "/admin/ws/broadcast", false), ("GET", "/admin/ws/stats", false),
        ("GET", "/admin/ws/clients", false), ("DELETE", "/admin/ws/clients/1", false), ("GET", "/health", false), ("GET", "/version", false),
    ]

    /// Who gets what: in the order of `endpoints`; 0 stands for an upgrade, 1 for a request that goes on.
    static let answers: [(authorization: String?, statuses: [Int])] = [
        (nil, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("Bearer admin", [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]),
        // The gateway takes these words in its own spelling only.
        ("bearer admin", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("Bearer  admin", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("Bearer\tadmin", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("Bearer user", [0, 0, 403, 0, 0, 1, 403, 403, 403, 403, 1, 1]),
        ("Bearer viewer", [0, 0, 403, 0, 0, 1, 403, 403, 403, 403, 1, 1]),
        ("ApiKey gla_user", [0, 0, 403, 0, 0, 1, 403, 403, 403, 403, 1, 1]),
        ("APIKEY gla_user", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        // A key never is an admin.
        ("ApiKey gla_admin", [0, 0, 403, 0, 0, 1, 403, 403, 403, 403, 1, 1]),
        ("Bearer gla_user", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("ApiKey user", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("Basic dXNlcjp1c2Vy", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("Bearer", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("user", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("Bearer nobody", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("Bearer old", [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 1, 1]),
        ("Bearer away", [503, 503, 503, 503, 503, 503, 503, 503, 503, 503, 1, 1]),
        ("Bearer busy", [503, 503, 503, 503, 503, 503, 503, 503, 503, 503, 1, 1]),
    ]

    private func status(_ route: Route?) -> Int {
        switch route {
        case .answer(let response): response.status
        case .upgrade: 0
        case .request: 1
        case nil: -1
        }
    }

    @Test(arguments: answers) func whoGetsWhat(authorization: String?, statuses: [Int]) throws {
        let router = router()
        for (endpoint, wanted) in zip(Self.endpoints, statuses) {
            var fields = endpoint.isWebSocket ? upgradeFields : []
            if let authorization { fields.append(("Authorization", authorization)) }
            let route = router.route(try head(endpoint.method, endpoint.path, fields), from: .stranger)
            #expect(status(route) == wanted, "\(endpoint.path)")
            // A stream has the rights of its WebSocket; it needs a channel from the start.
            if endpoint.isWebSocket, endpoint.path != "/ws" {
                let path = "/sse" + endpoint.path.dropFirst(3)
                #expect(status(router.route(try head("GET", path, Array(fields.dropFirst(upgradeFields.count))), from: .stranger)) == wanted, "\(path)")
            }
            guard case .answer(let response) = route else { continue }
            if wanted == 401 { #expect(response["www-authenticate"] != nil) }
            if wanted == 503 { #expect(response["retry-after"] != nil) }
            // Little is said to a stranger, and never the credential.
            let text = String(decoding: response.body, as: UTF8.self)
            for word in ["nobody", "gla_user", "dXNl", "does not know"] { #expect(!text.contains(word), "\(text)") }
        }
    }

    @Test func everyWayOfAWebSocketLeadsToTheSamePrincipal() throws {
        let router = router { $0.takesQueryToken = true }
        let ways: [(String, [(String, String)])] = [
            ("/ws/stats", [("Authorization", "Bearer user")]), ("/ws/stats?token=user", []),
            ("/ws/stats", [("Sec-WebSocket-Protocol", "goleapai.v1.json, bearer.user")]), ("/ws/stats", [("Sec-WebSocket-Protocol", "bearer.user,goleapai.v1.json")]),
            ("/ws/stats?token=gla_user", []), ("/ws/stats", [("Sec-WebSocket-Protocol", "bearer.gla_user, goleapai.v1.json")]),
        ]
        for (target, fields) in ways {
            guard case .upgrade(let upgrade) = router.route(try head("GET", target, upgradeFields + fields), from: .stranger) else {
                Issue.record("\(target) \(fields)")
                continue
            }
            #expect(upgrade.principal.user == "u-1" && !upgrade.principal.isAdmin && !upgrade.awaitsAuthentication)
            #expect(upgrade.subscription.rights.owner == Array("u-1".utf8))
            // The credential never comes back in the answer.
            #expect(upgrade.subprotocol == (fields.contains { $0.1.contains("goleapai") } ? "goleapai.v1.json" : nil))
        }
    }

    @Test func oneCredentialAtATime() throws {
        let router = router { $0.takesQueryToken = true }
        let both = try head("GET", "/ws/stats?token=user", upgradeFields + [("Authorization", "Bearer admin")])
        #expect(status(router.route(both, from: .stranger)) == 400)
        let twice = try head("GET", "/ws/stats", upgradeFields + [("Authorization", "Bearer admin"), ("Authorization", "Bearer user")])
        #expect([400, 401].contains(status(router.route(twice, from: .stranger))))
    }

    @Test func aTokenInTheAddressIsTakenWhereItIsAllowedOrFromThisMachine() throws {
        let target = try head("GET", "/ws/stats?token=user", upgradeFields)
        #expect(status(router().route(target, from: .stranger)) == 400)
        #expect(status(router().route(target, from: .local)) == 0)
        let proxied = try head("GET", "/ws/stats?token=user", upgradeFields + [("X-Forwarded-For", "192.0.2.1")])
        #expect(status(router().route(proxied, from: .local)) == 400)
        #expect(status(router { $0.takesQueryToken = true }.route(proxied, from: .local)) == 0)
        // Never for anything but a WebSocket.
        #expect(status(router { $0.takesQueryToken = true }.route(try head("GET", "/admin/ws/stats?token=admin"), from: .local)) == 401)
    }

    @Test func aTicketCountsOnceAndForWhoAskedForIt() throws {
        let router = router()
        let answer = try #require(try router.answer(to: head("POST", "/ws/ticket", [("Authorization", "Bearer user")]), from: .stranger))
        #expect(answer.status == 200 && answer["cache-control"] == "no-store")
        #expect(answer.json?["expires_in"]?.int == 30)
        let word = try #require(answer.json?["ticket"]?.string)
        let target = try head("GET", "/ws/stats?ticket=\(word)", upgradeFields)
        guard case .upgrade(let upgrade) = redeemed(router, target) else { throw TestFailure("no upgrade") }
        #expect(upgrade.principal.user == "u-1")
        #expect(status(router.route(target, from: .stranger)) == 401)
        #expect(status(router.route(try head("GET", "/ws/stats?ticket=made-up", upgradeFields), from: .stranger)) == 401)
    }

    /// What becomes of a request with a ticket, which is looked at again first.
    private func redeemed(_ router: Router, _ target: RequestHead) -> Route? {
        let found = Locked<Route?>(nil)
        let route = router.route(target, from: .stranger) { route in found.withLock { $0 = route } }
        return route ?? found.withLock { $0 }
    }

    /// Whoever has lost the credential, or its rights, meanwhile has lost the ticket's as well.
    @Test(arguments: [
        (Recheck.unchanged, 0), (.unknown("no such file"), 0), (.ended(.expired), 401), (.ended(.invalid(.unknownUser)), 401),
        (.changed(Book.identity("u-1", .viewer)), 403),
    ])
    func aTicketIsLookedAtAgain(verdict: Recheck, wanted: Int) throws {
        let book = Book()
        let router = router(checker: book)
        let answer = try #require(try router.answer(to: head("POST", "/ws/ticket", [("Authorization", "Bearer admin")]), from: .stranger))
        let word = try #require(answer.json?["ticket"]?.string)
        book.verdict.withLock { $0 = verdict }
        #expect(status(redeemed(router, try head("GET", "/ws/logs?ticket=\(word)", upgradeFields))) == wanted)
        #expect(book.rounds.withLock { $0 } == [1])
    }

    @Test func ticketsOfNobodyCountForNothingOnceSomebodyIsAsked() throws {
        let router = router()
        let word = try #require(router.tickets.issue(to: .anonymous))
        #expect(status(redeemed(router, try head("GET", "/ws/stats?ticket=\(word)", upgradeFields))) == 401)
    }

    /// However many come at once, one question is under way, and the rest is in the next.
    @Test func manyAreLookedAtTogether() {
        let book = Book(later: true)
        book.verdict.withLock { $0 = .unchanged }
        let confirmations = Confirmations()
        let told = Locked(0)
        for _ in 0..<100 { confirmations.confirm(Book.identity("u", .user), by: book) { _ in told.withLock { $0 += 1 } } }
        #expect(book.rounds.withLock { $0 } == [1])
        book.answerAll()
        #expect(told.withLock { $0 } == 1 && book.rounds.withLock { $0 } == [1, 99])
        book.answerAll()
        #expect(told.withLock { $0 } == 100)
        confirmations.confirm(Book.identity("u", .user), by: book) { _ in told.withLock { $0 += 1 } }
        book.answerAll()
        #expect(told.withLock { $0 } == 101 && book.rounds.withLock { $0 } == [1, 99, 1])
    }

    @Test func aTicketEnds() throws {
        let clock = ManualClock()
        let tickets = Tickets(clock: clock)
        let word = try #require(tickets.issue(to: .anonymous))
        clock.advance(.seconds(Tickets.seconds))
        #expect(tickets.redeem(word) == nil)
    }

    @Test func ticketsAreBounded() throws {
        let clock = ManualClock()
        let tickets = Tickets(clock: clock)
        let words = (0..<Tickets.perUserMax).compactMap { _ in tickets.issue(to: .anonymous) }
        #expect(Set(words).count == Tickets.perUserMax && tickets.issue(to: .anonymous) == nil)
        #expect(tickets.issue(to: Principal(user: "other", role: "user", rights: .nothing, isAdmin: false)) != nil)
        #expect(tickets.redeem(words[0]) != nil && tickets.issue(to: .anonymous) != nil)
        clock.advance(.seconds(Tickets.seconds))
        #expect(tickets.issue(to: .anonymous) != nil)
    }

    @Test func theFirstMessageMaySayIt() throws {
        let router = router()
        guard case .upgrade(let upgrade) = router.route(try head("GET", "/ws/logs?auth=message", upgradeFields), from: .stranger) else {
            throw TestFailure("no upgrade")
        }
        #expect(upgrade.awaitsAuthentication && upgrade.principal === Principal.unknown && upgrade.subscription.rights == .nothing)
        #expect(status(router.route(try head("GET", "/ws/logs?auth=later", upgradeFields), from: .stranger)) == 400)
    }

    @Test func channelsCanBeOpenedToEveryUser() throws {
        let router = router { $0.openChannels = [ChannelSet(.logs), ChannelSet(.requests)] }
        guard case .upgrade(let upgrade) = router.route(try head("GET", "/ws/logs", upgradeFields + [("Authorization", "Bearer user")]), from: .stranger)
        else { throw TestFailure("no upgrade") }
        #expect(upgrade.principal.rights == .everything && !upgrade.principal.isAdmin)
    }

    @Test func anAnswerThatComesLaterIsTheSame() throws {
        let book = Book(later: true)
        let router = router(checker: book)
        let routes = Locked<[Route]>([])
        let wanted = [("admin", 0), ("user", 403), ("nobody", 401), ("away", 503)]
        for (word, _) in wanted {
            let head = try head("GET", "/ws/logs", upgradeFields + [("Authorization", "Bearer \(word)")])
            #expect(status(router.route(head, from: .stranger, later: { route in routes.withLock { $0.append(route) } })) == -1)
        }
        for answer in book.waiting.withLock({ $0 }) { answer() }
        #expect(routes.withLock { $0 }.map(status) == wanted.map(\.1))
    }

    @Test func aRenewedTokenMustBeOfTheSameUser() {
        let router = router()
        let present = router.authentication.principal(of: Book.identity("u-1", .user))
        func outcome(_ token: String) -> String {
            switch router.authenticate(token, insteadOf: present, from: .stranger, later: { _ in }) {
            case .accepted(let principal): principal.user
            case .refused(let why), .unavailable(let why): why
            case nil: "later"
            }
        }
        #expect(outcome("user") == "u-1" && outcome("gla_user") == "u-1")
        #expect(outcome("admin").contains("another user"))
        #expect(outcome("nobody") == "the token is not accepted" && outcome("old") == "the token has expired")
        #expect(outcome("away").contains("try again"))
    }

    @Test func originsAreCheckedAndHostsAreNot() throws {
        let router = router()
        let fields = upgradeFields + [("Authorization", "Bearer user")]
        // With a credential that no page has by itself, another name for this server is no danger.
        #expect(status(router.route(try head("GET", "/ws/stats", fields + [("Host", "gateway.example")]), from: .stranger)) == 0)
        let foreign = try head("GET", "/ws/stats", fields + [("Origin", "https://evil.example"), ("Host", "gateway.example")])
        #expect(status(router.route(foreign, from: .stranger)) == 403)
    }
}
