// Where the daemon listens.

import Base
import Fanout
import Glibc
import Host

extension Service {
    /// Opens the addresses of the configuration, and the pool that takes connections from them.
    static func listen(_ settings: Settings, _ shards: [Shard]) throws -> (AcceptorPool, [ListenAddress]) {
        var addresses: [ListenAddress] = []
        var descriptors: [Int32] = []
        for host in settings.server.host {
            // With port 0 the addresses share the port that the first one was given.
            let port = settings.server.port == 0 ? addresses.first?.port ?? 0 : settings.server.port
            do throws(SystemError) {
                let socket = try ListeningSocket(ListenAddress(host: host, port: port))
                addresses.append(socket.address)
                descriptors.append(socket.release())
            } catch {
                // A machine without IPv6 is no reason not to serve IPv4, as long as one address works.
                if error.code == EAFNOSUPPORT || error.code == EADDRNOTAVAIL, settings.server.host.count > 1 {
                    Log.warn("cannot listen on \(error.subject): \(SystemError.text(of: error.code)); going on with the other addresses", .addressUnavailable)
                    continue
                }
                let advice =
                    error.code == EADDRINUSE
                    ? "\(PortHolder.name(port: port).map { "\($0) holds it; " } ?? "")stop it or set server.port (the gateway's own default is 8080 too)"
                    : error.code == EACCES ? "ports below 1024 need CAP_NET_BIND_SERVICE; set server.port" : "set server.host and server.port"
                throw StartError(description: "cannot listen on \(error.subject): \(SystemError.text(of: error.code)); \(advice)")
            }
        }
        if addresses.isEmpty { throw StartError(description: "none of the addresses of server.host can be listened on") }
        let acceptors = try AcceptorPool(listening: descriptors) { accepted in
            let least = shards.min {
                $0.counters.connections.load(ordering: .relaxed) < $1.counters.connections.load(ordering: .relaxed)
            }
            least?.adopt(accepted)
        }
        return (acceptors, addresses)
    }
}
