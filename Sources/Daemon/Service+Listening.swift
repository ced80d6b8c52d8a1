// Where the daemon listens.

import Fanout
import Host

extension Service {
    /// The pool that takes connections from the sockets and gives each to the shard that has the fewest.
    static func accept(from sockets: ListeningSockets, _ shards: [Shard], through gate: AddressGate) throws -> AcceptorPool {
        try AcceptorPool(listening: sockets.all, tls: sockets.tls, gate: gate) { accepted in
            let least = shards.min {
                $0.counters.connections.load(ordering: .relaxed) < $1.counters.connections.load(ordering: .relaxed)
            }
            least?.adopt(accepted)
        }
    }
}
