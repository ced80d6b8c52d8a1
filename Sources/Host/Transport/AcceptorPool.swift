// The threads that take connections from the listening sockets and hand them on.

import Base
import CLinux
import Glibc
import Synchronization

/// A pool of acceptor threads over the same listening sockets. Each waits for any of them, takes one connection at a time and
/// gives it to `receive`, which is called on the acceptor's thread and must not block.
public final class AcceptorPool: Sendable {
    private let descriptors: [Int32]
    private let wakeUp: Int32
    private let stopping = Atomic<Bool>(false)
    private let hasClosed = Atomic<Bool>(false)
    private let running = Atomic<Int>(0)
    private let receive: @Sendable (consuming AcceptedSocket) -> Void

    /// Takes over the listening sockets; `start` begins accepting.
    public init(
        listening descriptors: [Int32],
        receive: @escaping @Sendable (consuming AcceptedSocket) -> Void
    ) throws(SystemError) {
        self.descriptors = descriptors
        self.receive = receive
        wakeUp = clinux_eventfd()
        guard wakeUp >= 0 else { throw SystemError("eventfd") }
    }

    deinit {
        closeListening()
        close(wakeUp)
    }

    /// Closes the listening sockets, once; only while no thread waits for them.
    private func closeListening() {
        if hasClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
        for descriptor in descriptors { close(descriptor) }
    }

    /// Starts the threads. Two are enough to keep a queue of handshakes moving: the kernel does the work.
    public func start(threads: Int) throws(SystemError) {
        for number in 0..<threads {
            running.add(1, ordering: .relaxed)
            let failure = Thread.start(named: "acceptor-\(number)") { [self] in
                run()
                running.subtract(1, ordering: .releasing)
            }
            if let failure {
                running.subtract(1, ordering: .releasing)
                throw failure
            }
        }
    }

    /// Ends the threads and closes the listening sockets; returns when no connection will be handed on any more.
    public func stop() {
        stopping.store(true, ordering: .releasing)
        var one: UInt64 = 1
        _ = write(wakeUp, &one, 8)
        // The threads end at once, woken by the eventfd; a condition for the one wait in the life of the daemon would be more to
        // get wrong than a millisecond of sleep.
        while running.load(ordering: .acquiring) > 0 { usleep(1000) }
        closeListening()
    }

    private func run() {
        var waiting = (descriptors + [wakeUp]).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var exhausted = false
        while !stopping.load(ordering: .acquiring) {
            // Out of descriptors, poll would return at once for ever: wait a little instead, and say so once.
            if exhausted { usleep(50_000) }
            guard poll(&waiting, nfds_t(waiting.count), -1) > 0 else { continue }
            for entry in waiting.dropLast() where entry.revents != 0 {
                do throws(SystemError) {
                    guard let accepted = try Socket.accept(entry.fd) else { continue }
                    if exhausted { Log.info("accepting connections again", .acceptingAgain) }
                    exhausted = false
                    receive(accepted)
                } catch {
                    if !exhausted { Log.error("cannot accept connections: \(error); going on as soon as that is over", .descriptorsExhausted) }
                    exhausted = true
                }
            }
        }
    }
}
