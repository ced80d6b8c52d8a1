// What is served on the Unix socket for publishers.

import Base
import Fanout
import Host
import Protocol

extension Router {
    /// Routes a request that came by the Unix socket. No Host and no Origin is looked at: no browser gets there, and the kernel says
    /// who the peer is.
    func route(_ head: RequestHead, locally peer: LocalPeer) -> Route {
        guard peer.isTrusted else {
            return .answer(
                .error(
                    403,
                    "this socket serves root, the daemon's own user and members of its group; you are user \(peer.user) with group \(peer.group)"))
        }
        guard let endpoint = endpoint(head.path) else { return .answer(.error(404, "no such address: \(ForeignText.shown(head.path, to: 80))")) }
        switch endpoint {
        case .broadcast, .health, .ready, .version: break
        case .webSocket, .eventStream, .page, .ticket, .adminStats, .clients, .client, .metrics:
            return .answer(.error(403, "this socket is for publishing; besides, it serves /health, /ready and /version"))
        }
        guard endpoint.methods.contains(head.method) else {
            return .answer(
                .error(405, "\(ForeignText.shown(head.method, to: 80)) is not possible here", fields: [("Allow", endpoint.methods.joined(separator: ", "))]))
        }
        if case .broadcast = endpoint {
            return options.isDraining() ? .answer(.stopping) : .request(bodyBytesMax: broadcast.limits.batchBytesMax, principal: Router.principal(of: peer))
        }
        return .request(bodyBytesMax: 0)
    }

    /// Each user of this machine has a rate and retries of its own.
    private static func principal(of peer: LocalPeer) -> Principal {
        Principal(user: "unix:\(peer.user)", role: "publisher", rights: .nothing, isAdmin: true)
    }
}
