// How often a source has read everything that there was: for those who must know that what was written before is published.

import Glibc

/// Counts a reader's complete rounds. The reader completes, others wait; any thread.
///
/// `@unchecked Sendable` because the mutex guards `count` and the condition never moves: both live on the heap.
final class Rounds: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var count: UInt64 = 0

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // A wall clock that is set must not stretch a wait.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// A round is over: nothing was left to be read, and what was read is published.
    func complete() {
        pthread_mutex_lock(mutex)
        count &+= 1
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Waits until a round that began after this call is over, for so many nanoseconds at most.
    /// - Parameter hurry: makes the reader begin its next round now.
    func settle(nanoseconds: UInt64, hurry: () -> Void) {
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        let fraction = UInt64(end.tv_nsec) + nanoseconds % 1_000_000_000
        end.tv_sec += Int(nanoseconds / 1_000_000_000 + fraction / 1_000_000_000)
        end.tv_nsec = Int(fraction % 1_000_000_000)
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let begun = count
        // The round that is under way may have read before the call.
        for target in [begun &+ 1, begun &+ 2] {
            pthread_mutex_unlock(mutex)
            hurry()
            pthread_mutex_lock(mutex)
            while count < target {
                if pthread_cond_timedwait(condition, mutex, &end) == ETIMEDOUT { return }
            }
        }
    }
}
