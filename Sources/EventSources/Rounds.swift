// How often a source has read everything that there was: for those who must know that what was written before is published.

import Base

/// Counts a reader's complete rounds. The reader completes, others wait; any thread.
///
/// `@unchecked Sendable` because `count` is touched under the condition's lock only.
final class Rounds: @unchecked Sendable {
    private let condition = Condition()
    private var count: UInt64 = 0

    /// A round is over: nothing was left to be read, and what was read is published.
    func complete() {
        condition.withLock {
            count &+= 1
            condition.broadcast()
        }
    }

    /// Waits until a round that began after this call is over, for so many nanoseconds at most.
    /// - Parameter hurry: makes the reader begin its next round now.
    func settle(nanoseconds: UInt64, hurry: () -> Void) {
        let deadline = Condition.Deadline(nanoseconds: nanoseconds)
        let begun = condition.withLock { count }
        // The round that is under way may have read before the call.
        for target in [begun &+ 1, begun &+ 2] {
            hurry()
            let isOver = condition.withLock {
                while count < target { if !condition.wait(until: deadline) { return false } }
                return true
            }
            if !isOver { return }
        }
    }
}
