// A mutex with a condition: what sleeping threads wait on.

import Glibc

/// A lock that can be slept on until another thread says that something has changed. Any thread.
///
/// `@unchecked Sendable` because mutex and condition live on the heap and never move; what they guard is the user's.
public final class Condition: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    public init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // A wall clock that is set must not end or stretch a wait.
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

    /// A moment of the monotonic clock at which a wait ends.
    public struct Deadline {
        fileprivate var time = timespec()

        /// So many nanoseconds from now.
        public init(nanoseconds: UInt64) {
            clock_gettime(CLOCK_MONOTONIC, &time)
            let fraction = UInt64(time.tv_nsec) + nanoseconds % 1_000_000_000
            time.tv_sec += Int(nanoseconds / 1_000_000_000 + fraction / 1_000_000_000)
            time.tv_nsec = Int(fraction % 1_000_000_000)
        }
    }

    /// Runs `body` with the lock held. Within it, only `wait` may be called.
    public func withLock<Result>(_ body: () throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Sleeps, without the lock, until woken; with the lock held. May wake for nothing.
    /// - Returns: false when the deadline has passed.
    public func wait(until deadline: Deadline) -> Bool {
        var time = deadline.time
        return pthread_cond_timedwait(condition, mutex, &time) != ETIMEDOUT
    }

    /// Wakes one of the sleepers.
    public func signal() { pthread_cond_signal(condition) }
    /// Wakes all of them.
    public func broadcast() { pthread_cond_broadcast(condition) }
}
