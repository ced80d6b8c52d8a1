// How the daemon ends.

import Base
import Dispatch
import Glibc

extension Service {
    /// Stops accepting, says goodbye to everyone, and ends. A second signal ends at once.
    func stop() {
        dispatchPrecondition(condition: .onQueue(control))
        if isStopping { finish() }
        isStopping = true
        Service.draining.store(true, ordering: .relaxed)
        Log.info("stopping: \(hub.clientCount) clients are told to come back", .stopping)
        acceptors.stop()
        for shard in shards { shard.post { $0.closeAll() } }
        waitForLast(until: hub.clock.monotonic() + 5_000_000_000)
    }

    private func waitForLast(until deadline: UInt64) {
        let left = shards.reduce(0) { $0 + $1.counters.connections.load(ordering: .relaxed) }
        if left == 0 || hub.clock.monotonic() > deadline { finish() }
        control.asyncAfter(deadline: .now() + .milliseconds(20)) { [self] in waitForLast(until: deadline) }
    }

    private func finish() -> Never {
        sources.stop()
        demo?.stop()
        hub.stopReplays()
        publishing?.end()
        Log.info("stopped", .stopped)
        Log.finish()
        exit(0)
    }
}
