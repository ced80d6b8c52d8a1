// An echo server over the daemon's own connection code: what the conformance suite talks to.
// Text comes back as text, binary as binary, up to 16 MiB in up to 65,536 fragments. Everything is compressed for who asks for it: for each client by
// itself where the second argument is `context`.

import Base
import Dispatch
import Fanout
import Glibc
import Host
import Protocol

/// Upgrades every request and sends every message back.
final class Echo: ConnectionDelegate {
    let acceptsBinary = true
    let hub: Hub

    init(_ hub: Hub) { self.hub = hub }

    func route(_ head: RequestHead, from peer: PeerAddress, later: @escaping @Sendable (Route) -> Void) -> Route? {
        do throws(HTTPError) {
            try Handshake.check(head)
            var upgrade = Upgrade(subscription: Subscription(statsInterval: 5))
            if let agreed = try hub.agreeOnCompression(head) { upgrade.compress(agreed) }
            return .upgrade(upgrade)
        } catch {
            return .answer(error.response)
        }
    }

    func respond(to request: Request, later: @escaping @Sendable (Response) -> Void) -> Response? { .error(404, "only WebSocket here") }

    func intercept(_ opcode: Opcode, _ payload: UnsafeRawBufferPointer) -> (opcode: Opcode, payload: [UInt8])? { (opcode, Array(payload)) }
}

func run() -> Never {
    signal(SIGPIPE, SIG_IGN)
    var limits = Limits()
    limits.messageBytesMax = 16_777_216
    limits.messagesPerSecond = 0
    limits.bytesPerSecond = 0
    limits.outboxBytesMax = 67_108_864
    limits.ringSpansMax = 4096
    limits.compression.thresholdBytes = 0
    limits.compression.keepsContext = CommandLine.arguments.count > 2 && CommandLine.arguments[2] == "context"
    limits.compression.contextWindow = 15
    limits.compression.contextMemoryLevel = 8
    do {
        let hub = Hub(limits: limits, clock: SystemClock())
        Log.set(level: .warn)  // Clients come and go by the hundred.
        let shard = try Shard(number: 0, hub: hub, delegate: Echo(hub))
        hub.attach([shard])
        shard.start()
        let port = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 0 : 0
        let socket = try ListeningSocket(ListenAddress(host: "127.0.0.1", port: port))
        let address = socket.address ?? ListenAddress(host: "127.0.0.1", port: port)
        let pool = try AcceptorPool(listening: [socket]) { shard.adopt($0) }
        try pool.start(threads: 1)
        print("listening on \(address)")
        fflush(nil)
        withExtendedLifetime(pool) { dispatchMain() }
    } catch {
        Log.error("\(error)")
        exit(1)
    }
}

run()
