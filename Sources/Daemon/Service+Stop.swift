// How the daemon ends: what was published is given, every client is told when to come back, and nothing that hangs is waited for.

import Base
import Dispatch
import EventSources
import Fanout
import Glibc
import Host

extension Service {
    /// SIGTERM or SIGINT. On the main thread: the first drains on `control`, the second ends the process at once, whatever `control` does.
    func stop() {
        if Service.draining.exchange(true, ordering: .relaxed) {
            Log.info("stopped at once by a second signal", .stopped)
            Log.finish()
            _exit(0)
        }
        let drain = Drain(self)
        control.async { drain.begin() }
    }
}

/// The end of a service. Owner: its queue `control`.
private final class Drain: @unchecked Sendable {  // Sendable because mutable state is used on `control` only.
    private static let tick = DispatchTimeInterval.milliseconds(20)
    /// What systemd is asked for while there is progress, each second.
    private static let extensionTime = Duration.seconds(5)
    /// The sources end meanwhile; one that hangs is left behind after so long.
    private static let sourcesTime = DispatchTimeInterval.milliseconds(500)
    /// Shards that have not counted their clients by then are left out of the count.
    private static let countTime = DispatchTimeInterval.seconds(1)

    private let service: Service
    private let manager = ServiceManager()
    private let sources = DispatchGroup()
    private let began: UInt64
    /// WebSocket clients that are told; until they are counted, those that were there.
    private var clients: Int
    private let abandonedBefore: UInt64
    /// What was left when systemd was last told, and when that was.
    private var told: (left: Int, sent: UInt64, at: UInt64)

    init(_ service: Service) {
        self.service = service
        began = service.hub.clock.monotonic()
        clients = service.hub.clientCount
        abandonedBefore = service.shards.reduce(0) { $0 + $1.ledger.total(.abandoned) }
        told = (clients, 0, began)
    }

    private var control: DispatchQueue { service.control }
    private var hub: Hub { service.hub }
    private func sum<Number: AdditiveArithmetic>(_ count: (Shard) -> Number) -> Number { service.shards.reduce(.zero) { $0 + count($1) } }
    private var connections: Int { sum { $0.counters.connections.load(ordering: .relaxed) } }

    func begin() {
        dispatchPrecondition(condition: .onQueue(control))
        Log.info("draining: \(clients) clients are told to come back", .stopping)
        manager.stopping(status: sentence(left: clients))
        service.acceptors.stop()
        service.publishing?.end()
        stopSources()
        let goOn = hub.drain { [self] counted in control.async { [self] in clients = counted } }
        // A shard that hangs does not answer; the clients of the others are not to wait for it.
        control.asyncAfter(deadline: .now() + Drain.countTime, execute: goOn)
        wait()
    }

    /// Each on a thread of its own: a read that hangs holds the thread that waits for it.
    private func stopSources() {
        let stops: [@Sendable () -> Void] = [
            { [service] in service.sources.stop() }, { [service] in service.access.stop() }, { [service] in service.demo?.stop() },
        ]
        for stop in stops {
            sources.enter()
            let failure = Thread.start(named: "stop") { [sources] in
                stop()
                sources.leave()
            }
            if failure != nil { sources.leave() }
        }
    }

    private func sentence(left: Int) -> String { "draining: \(left) of \(clients) clients left" }

    private func wait() {
        let now = hub.clock.monotonic()
        if connections == 0 { finish(cutOff: sum { $0.counters.cutOff.load(ordering: .relaxed) }) }
        if now &- began >= UInt64(hub.limits.drainTime.components.seconds) * 1_000_000_000 { return cutOff() }
        if now &- told.at >= 1_000_000_000 { tell(now) }
        control.asyncAfter(deadline: .now() + Drain.tick) { [self] in wait() }
    }

    /// Tells systemd how far it is, and asks for time while something is going on.
    private func tell(_ now: UInt64) {
        let left = connections
        let sent = sum { $0.counters.bytesSent.load(ordering: .relaxed) }
        if left < told.left || sent > told.sent { manager.extendTimeout(by: Drain.extensionTime) }
        manager.status(sentence(left: hub.clientCount))
        told = (left, sent, now)
    }

    /// The time is over.
    private func cutOff() {
        hub.cutOff { [self] count in control.async { [self] in finish(cutOff: count) } }
        // A shard that hangs does not answer.
        control.asyncAfter(deadline: .now() + Drain.sourcesTime) { [self] in finish(cutOff: connections) }
    }

    private func finish(cutOff: Int) -> Never {
        _ = sources.wait(timeout: .now() + Drain.sourcesTime)
        let abandoned = sum { $0.ledger.total(.abandoned) } - abandonedBefore
        if cutOff > 0 {
            Log.warn("stopped: \(cutOff) connections did not take everything in time; \(abandoned) events were not given", .stopped)
        } else {
            Log.info("stopped", .stopped)
        }
        Log.finish()
        exit(0)
    }
}
