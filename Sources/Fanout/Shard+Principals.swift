// Who a client is, while it is connected: a credential may come late, be renewed, end, or count for less than it did.

import Base
import Protocol

extension Shard {
    // MARK: the message `auth`

    /// A client says who it is, for the first time or anew.
    func authenticate(_ token: String, _ id: JSON?, _ index: UInt32) throws(MessageError) {
        let client = client(index)
        let details = client.pointee.details
        guard !details.isAuthenticating else {
            throw MessageError(code: .rateLimited, message: "one auth at a time", details: "the one before is not answered yet", id: id)
        }
        details.isAuthenticating = true
        let handle = ClientHandle(index: index, generation: client.pointee.generation)
        let present = details.awaiting == nil ? details.principal : nil
        let outcome = delegate.authenticate(token, insteadOf: present, from: details.address) { [self] outcome in
            post { shard in
                guard let index = shard.find(handle) else { return }
                shard.conclude(outcome, id, index)
            }
        }
        if let outcome { conclude(outcome, id, index) }
    }

    private func conclude(_ outcome: AuthenticationOutcome, _ id: JSON?, _ index: UInt32) {
        assertOwned()
        let client = client(index)
        let details = client.pointee.details
        details.isAuthenticating = false
        guard client.pointee.flags.isDisjoint(with: [.closing, .ended, .endAfterFlush]) else { return }
        switch outcome {
        case .refused(let why):
            refuse(MessageError(code: .unauthorized, message: why, details: "", id: id), to: index)
            if details.awaiting != nil { schedule(index, in: 1) }
        case .unavailable(let why):
            refuse(MessageError(code: .unauthorized, message: why, details: "", id: id), to: index)
            // It may be as good as ever: to be closed as revoked would keep it away for good.
            if details.awaiting != nil { close(index, .internalError) }
        case .accepted(let principal):
            if let upgrade = details.awaiting?.upgrade {
                details.awaiting = nil
                hub.awaiting.subtract(1, ordering: .relaxed)
                details.principal = principal
                begin(upgrade, id, index)
            } else {
                become(principal, index)
                if client.pointee.flags.isDisjoint(with: [.closing, .ended]) { acknowledge(id, index) }
            }
            schedule(index, in: 1)
        }
    }

    /// A connection that has said who it is gets what its address asked for.
    private func begin(_ upgrade: Upgrade, _ id: JSON?, _ index: UInt32) {
        let rights = client(index).pointee.details.principal.rights
        switch delegate.admit(client(index).pointee.details.principal) {
        case .admitted(let place): client(index).pointee.details.place = place
        case .refused(let refusal):
            client(index).pointee.details.principal = .unknown
            hub.refusals.add(.connectionsPerUser)
            refuse(MessageError(code: .rateLimited, message: refusal, details: "", id: id), to: index)
            close(index, .flood)
            return
        }
        guard upgrade.subscription.channels.channels.allSatisfy(rights.allows) else {
            close(index, .forbidden)
            return
        }
        var subscription = upgrade.subscription
        subscription.rights = rights
        acknowledge(id, index, subscription.channels)
        start(upgrade, with: subscription, index)
    }

    // MARK: changes from outside

    /// The principals of this shard's clients, and of requests whose body is still coming, each once. On the shard's queue.
    public func principals() -> [Principal] {
        assertOwned()
        var found: Set<Principal> = []
        forEachClient { _, client in
            guard client.pointee.flags.isDisjoint(with: [.http, .ended, .closing]) || Shard.isAsking(client) else { return }
            found.insert(client.pointee.details.principal)
        }
        return Array(found)
    }

    /// Whether a request's body is still coming, by TCP: who asks by the Unix socket is asked by nobody.
    private static func isAsking(_ client: UnsafeMutablePointer<Client>) -> Bool {
        client.pointee.details.exchange?.head != nil && client.pointee.flags.isDisjoint(with: [.ended, .endAfterFlush]) && !client.pointee.details.address.isLocal
    }

    /// Lets clients know what has become of their principals. On the shard's queue.
    public func apply(_ news: [Principal: PrincipalNews]) {
        assertOwned()
        var concerned: [(UInt32, PrincipalNews)] = []
        forEachClient { index, client in
            guard let mine = news[client.pointee.details.principal] else { return }
            if Shard.isAsking(client) {
                // Its answer is decided by who asks when the body is there.
                if case .changed(let principal) = mine { client.pointee.details.principal = principal } else { client.pointee.details.principal = .unknown }
            } else if client.pointee.flags.isDisjoint(with: [.http, .ended, .closing]) {
                concerned.append((index, mine))
            }
        }
        for (index, news) in concerned {
            switch news {
            case .revoked: close(index, .revoked)
            case .changed(let principal):
                become(principal, index)
                if client(index).pointee.flags.isDisjoint(with: [.closing, .ended]) { schedule(index, in: 1) }
            }
        }
    }

    /// A client is somebody else from now on, or the same with other rights. Where it may see less of what it is subscribed to, it is closed:
    /// what still waits for it was meant for the rights that it had.
    private func become(_ principal: Principal, _ index: UInt32) {
        let details = client(index).pointee.details
        let before = details.subscription
        details.principal = principal
        if principal.rights == before.rights { return }
        var subscription = before
        subscription.rights = principal.rights
        let hears = ChannelSet(.requests).isSubset(of: before.effective)
        let isOthersOwn = principal.rights.owner != nil && principal.rights.owner != before.rights.owner
        let isNarrower = !before.effective.isSubset(of: principal.rights.channels) || hears && isOthersOwn
        if isNarrower { return close(index, .forbidden) }
        subscribe(index, to: subscription, fresh: subscription.effective.subtracting(before.effective))
    }

    // MARK: time

    /// Ends a client whose time is over: its credential's, or that for saying who it is.
    /// - Returns: ticks until to look again; nil where it is ended, `.max` where there is no end.
    func timeLeft(_ index: UInt32) -> UInt32? {
        let details = client(index).pointee.details
        if let awaiting = details.awaiting {
            // It has said it; how long the looking takes is not its fault. The answer always comes.
            if details.isAuthenticating { return .max }
            let (waited, most) = (tick &- awaiting.since, Wheel.ticks(limits.authenticationTime))
            if waited >= most {
                hub.refusals.add(.authenticationTime)
                close(index, .revoked)
                return nil
            }
            return most - waited
        }
        guard let expires = details.principal.expires else { return .max }
        let left = expires.milliseconds - hub.clock.now().milliseconds
        if left <= 0 {
            close(index, .tokenExpired)
            return nil
        }
        return UInt32(clamping: left / Int64(Wheel.tickMilliseconds) + 1)
    }
}
