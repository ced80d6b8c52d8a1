// What other threads leave for a shard, and how they wake it without asking the kernel more often than needed.

import Base
import CLinux
import Glibc
import Synchronization

/// Blocks for a shard and the word that says whether somebody will come for them. Any thread leaves and calls; the shard does the rest.
///
/// A shard that is at work is not woken: it looks again before it rests. That makes the fan-out of what its own connections publish free of
/// system calls, and lets what others leave meanwhile pile up into one round.
final class Mailbox: Sendable {
    typealias Block = @Sendable (Shard) -> Void

    private enum State {
        /// Nobody looks: the queue has to run the shard.
        static let idle: UInt8 = 0
        /// Somebody will look.
        static let called: UInt8 = 1
        /// In epoll_wait: woken by the eventfd.
        static let resting: UInt8 = 2
        /// At work, and looks here before it rests.
        static let awake: UInt8 = 3
    }

    /// Every change is a read-modify-write, so that who finds `called` sees what was left before the call.
    private let state = Atomic<UInt8>(State.idle)
    private let blocks = Locked<[Block]>([])
    /// An eventfd, watched edge-triggered: each write is an event, and nobody has to read it.
    let descriptor: Int32

    /// - Throws: `SystemError` where the kernel gives no eventfd.
    init() throws(SystemError) {
        descriptor = clinux_eventfd()
        guard descriptor >= 0 else { throw SystemError("eventfd") }
    }

    deinit { close(descriptor) }

    // MARK: any thread

    /// Leaves a block; `call` must follow.
    func leave(_ block: @escaping Block) { blocks.withLock { $0.append(block) } }

    /// Sees to it that somebody will look.
    /// - Returns: whether the caller must have the queue run the shard.
    func call() -> Bool {
        switch state.exchange(State.called, ordering: .acquiringAndReleasing) {
        case State.idle: return true
        case State.resting:
            var one: UInt64 = 1
            _ = write(descriptor, &one, 8)
            return false
        default: return false
        }
    }

    // MARK: the shard's queue

    /// The shard is at work from now on.
    /// - Returns: whether it was called, and must look what for.
    func wake() -> Bool { state.exchange(State.awake, ordering: .acquiringAndReleasing) == State.called }

    /// The shard is about to rest in epoll_wait.
    /// - Returns: false where it was called meanwhile.
    func rest() -> Bool { leaveWork(for: State.resting) }

    /// The shard is about to give up its queue.
    /// - Returns: false where it was called meanwhile.
    func idle() -> Bool { leaveWork(for: State.idle) }

    private func leaveWork(for next: UInt8) -> Bool {
        state.compareExchange(expected: State.awake, desired: next, ordering: .acquiringAndReleasing).exchanged
    }

    /// Takes everything that was left, in order, for an empty array in return.
    func takeAll(_ taken: inout [Block]) { blocks.withLock { swap(&$0, &taken) } }
}
