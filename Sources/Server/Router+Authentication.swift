// Which request is whose: from the credential to the principal, and from there to the route.

import Base
import Fanout
import Host
import Protocol

extension Router {
    // MARK: ConnectionDelegate

    public func route(_ head: RequestHead, from peer: PeerAddress, later: @escaping @Sendable (Route) -> Void) -> Route? {
        if case .local(let peer) = peer { return route(head, locally: peer) }
        let access = access
        let found = endpoint(head.path)
        if let refusal = access.refusal(of: head, isForAdmins: found?.isAdmin == true) {
            hub.refusals.add(refusal.kind)
            Log.warn(refusal.message, .originRefused, refusal.fields + [.remoteAddress(peer.host)])
            return .answer(refusal.response)
        }
        guard let endpoint = found else { return .answer(.error(404, "no such address: \(ForeignText.shown(head.path, to: 80))")) }
        let cors = endpoint.isAdmin ? [] : access.crossOriginFields(for: head)
        if head.method == "OPTIONS", !cors.isEmpty { return .answer(preflight(endpoint, cors)) }
        guard endpoint.methods.contains(head.method) else {
            return .answer(
                .error(405, "\(ForeignText.shown(head.method, to: 80)) is not possible here", fields: [("Allow", endpoint.methods.joined(separator: ", "))] + cors))
        }
        guard endpoint.isForUsers, !isFreeMetrics(endpoint, head, peer) else { return .request(bodyBytesMax: 0) }
        let authentication = authentication
        guard let checker = authentication.checker else {
            if endpoint.isAdmin, !peer.isLoopback || Access.isProxied(head) {
                hub.refusals.add(.admin)
                return .answer(.error(403, "without authentication /admin answers only peers on this machine that come without a proxy"))
            }
            return follow(endpoint, head, .anonymous, cors)
        }
        do throws(HTTPError) {
            let takesQueryToken = authentication.takesQueryToken || peer.isLoopback && !Access.isProxied(head)
            switch try presented(head, endpoint.credentialWays, takesQueryToken: takesQueryToken) {
            case .nothing:
                hub.refusals.add(.noCredential)
                throw HTTPError(401, "who are you? Send a token or an API key of the gateway")
            case .message: return follow(endpoint, head, nil, cors)
            case .ticket(let word):
                // One of before anybody was asked who they are counts for nothing.
                guard let principal = tickets.redeem(word), let identity = principal.identity as? Identity else {
                    hub.refusals.add(.ticket)
                    throw HTTPError(401, "the ticket does not count; it counts once, for \(Tickets.seconds) s")
                }
                confirmations.confirm(identity, by: checker) { [self] verdict in
                    switch verdict {
                    case .ended(let failure): later(.answer(refusal(for: failure, from: peer, cors)))
                    case .changed(let identity): later(follow(endpoint, head, authentication.principal(of: identity), cors))
                    // What was known half a minute ago at most still counts where the database cannot be asked.
                    case .unchanged, .unknown: later(follow(endpoint, head, authentication.principal(of: identity), cors))
                    }
                }
                return nil
            case .credential(let credential):
                let finish = { @Sendable [self] (result: Result<Identity, AuthenticationFailure>) -> Route in
                    switch result {
                    case .success(let identity): follow(endpoint, head, authentication.principal(of: identity), cors)
                    case .failure(let failure): .answer(refusal(for: failure, from: peer, cors))
                    }
                }
                let result = checker.authenticate(credential) { later(finish($0)) }
                return result.map(finish)
            }
        } catch {
            var response = error.response
            response.fields.append(contentsOf: cors)
            if error.status == 401 { response.fields.append(contentsOf: Router.challenges) }
            return .answer(response)
        }
    }

    private func presented(_ head: RequestHead, _ ways: Presented.Ways, takesQueryToken: Bool) throws(HTTPError) -> Presented {
        do throws(HTTPError) {
            return try Presented.read(head, ways, takesQueryToken: takesQueryToken)
        } catch {
            if error.status == 401 { hub.refusals.add(.credential) }
            throw error
        }
    }

    /// Where a request goes, once it is known whose it is.
    /// - Parameter principal: nil where a WebSocket says so by its first message.
    private func follow(_ endpoint: Endpoint, _ head: RequestHead, _ principal: Principal?, _ cors: [(String, String)]) -> Route {
        if endpoint.isAdmin, principal?.isAdmin != true {
            hub.refusals.add(.admin)
            return .answer(.error(403, "this is for admins", fields: cors))
        }
        switch endpoint {
        case .webSocket(let channels, let isOpen): return upgrade(head, channels, isOpen: isOpen, principal, cors)
        case .eventStream(let channels, let isOpen): return stream(head, channels, isOpen: isOpen, principal ?? .unknown, cors)
        case .broadcast:
            // Before the body is read. Who was let in a moment earlier hears the same from the hub.
            return options.isDraining()
                ? .answer(.stopping) : .request(bodyBytesMax: broadcast.limits.batchBytesMax, principal: principal ?? .unknown)
        default: return .request(bodyBytesMax: 0, principal: principal ?? .unknown)
        }
    }

    /// Looks again at who asks, now that the body is there, which may have taken its time.
    func refusal(of principal: Principal, _ endpoint: Endpoint, from peer: PeerAddress) -> Response? {
        if let expires = principal.expires, expires <= hub.clock.now() { return refusal(for: .expired, from: peer, []) }
        guard endpoint.isAdmin, !principal.isAdmin else { return nil }
        hub.refusals.add(.admin)
        return .error(403, "this is for admins")
    }

    private static let challenges = [
        ("WWW-Authenticate", #"Bearer realm="goleapai-ws""#), ("WWW-Authenticate", #"ApiKey realm="goleapai-ws""#),
    ]

    /// Counts a credential that does not count, and gives the answer to it.
    private func refusal(for failure: AuthenticationFailure, from peer: PeerAddress, _ cors: [(String, String)]) -> Response {
        note(failure, from: peer)
        return Router.answer(to: failure, cors)
    }

    /// The operator learns why, and how often.
    private func note(_ failure: AuthenticationFailure, from peer: PeerAddress) {
        hub.refusals.add(failure.refusal)
        if case .invalid(let why) = failure {
            Log.info("a credential is refused: \(why) (from \(peer.host))", .credentialRefused, [LogField("REASON", why.rawValue), .remoteAddress(peer.host)])
        }
    }

    /// A stranger learns no more than that it did not work.
    private static func answer(to failure: AuthenticationFailure, _ cors: [(String, String)]) -> Response {
        switch failure {
        case .invalid: return .error(401, "the credential is not accepted", fields: challenges + cors)
        case .expired: return .error(401, "the credential has expired", fields: challenges + cors)
        case .unavailable: return .error(503, "the gateway's database cannot be asked just now", fields: [("Retry-After", "5")] + cors)
        case .busy: return .error(503, "too many credentials are being looked at", fields: [("Retry-After", "2")] + cors)
        }
    }

    public func authenticate(
        _ token: String, insteadOf present: Principal?, from peer: PeerAddress, later: @escaping @Sendable (AuthenticationOutcome) -> Void
    ) -> AuthenticationOutcome? {
        let authentication = authentication
        guard let checker = authentication.checker else { return .accepted(present ?? .anonymous) }
        let finish = { @Sendable [self] (result: Result<Identity, AuthenticationFailure>) -> AuthenticationOutcome in
            switch result {
            case .success(let identity):
                let principal = authentication.principal(of: identity)
                if let present, present.user != principal.user { return .refused("the token is of another user; open another connection") }
                return .accepted(principal)
            case .failure(let failure):
                note(failure, from: peer)
                switch failure {
                case .expired: return .refused("the token has expired")
                case .invalid: return .refused("the token is not accepted")
                case .unavailable, .busy: return .unavailable("the token cannot be looked at just now; try again")
                }
            }
        }
        return checker.authenticate(Credential(text: token)) { later(finish($0)) }.map(finish)
    }

    // MARK: connections of a user

    public func admit(_ principal: Principal) -> PrincipalAdmission {
        if principal.user.isEmpty { return .admitted(nil) }
        let most = authentication.connectionsPerUser
        guard let place = userConnections.enter(principal.user, max: most) else { return .refused("limits.connections_per_user (\(most)) is reached") }
        return .admitted(place)
    }

    // MARK: looking again

    /// As `recheck`, every 15 s: what is taken away ends connections within a minute. Call about once a second.
    public func recheckIfDue() {
        let now = hub.clock.monotonic()
        let last = rechecked.load(ordering: .relaxed)
        guard now &- last >= Router.recheckNanoseconds else { return }
        rechecked.store(now, ordering: .relaxed)
        recheck()
    }

    private static let recheckNanoseconds: UInt64 = 15_000_000_000

    /// Looks again at everybody who is connected: a key that was revoked, a user who is gone or has another role, or who came before anybody
    /// was asked. Any thread; returns at once.
    public func recheck() {
        let authentication = authentication
        guard let checker = authentication.checker else { return }
        hub.ask({ $0.principals() }) { [hub] answers in
            let all = answers.flatMap { $0 }
            if all.contains(where: { $0 === Principal.anonymous }) {
                for shard in hub.shards { shard.post { $0.apply([.anonymous: .revoked]) } }
            }
            let known = all.compactMap { principal in (principal.identity as? Identity).map { (principal: principal, identity: $0) } }
            guard !known.isEmpty else { return }
            _ = checker.recheck(known.map(\.identity)) { verdicts in
                var told: [Principal: PrincipalNews] = [:]
                for (one, verdict) in zip(known, verdicts) {
                    switch verdict {
                    case .ended: told[one.principal] = .revoked
                    case .changed(let identity): told[one.principal] = .changed(authentication.principal(of: identity))
                    // What is not known goes on by what was, and nobody new gets in meanwhile. But the rules may be others (auth.open_channels).
                    case .unchanged, .unknown:
                        let now = authentication.principal(of: one.identity)
                        if now.rights != one.principal.rights { told[one.principal] = .changed(now) }
                    }
                }
                let news = told
                if !news.isEmpty { for shard in hub.shards { shard.post { $0.apply(news) } } }
            }
        }
    }

    // MARK: tickets

    func ticket(for principal: Principal) -> Response {
        guard let word = tickets.issue(to: principal) else {
            hub.refusals.add(.tickets)
            return .error(429, "too many tickets are outstanding", fields: [("Retry-After", String(Tickets.seconds))])
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("ticket")
        writer.string(word)
        writer.key("expires_in")
        writer.int(Int64(Tickets.seconds))
        writer.endObject()
        return Response(status: 200, json: writer.bytes, fields: [("Cache-Control", "no-store")])
    }
}
