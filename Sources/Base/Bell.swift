// Waking a thread that sleeps until some deadline.

import Glibc

/// A thread sleeps on it, others ring. A ring while nobody sleeps is kept: the next sleep ends at once.
///
/// `@unchecked Sendable` because the mutex guards `isRung` and the condition never moves: both live on the heap.
public final class Bell: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var isRung = false

    public init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // A wall clock that is set must not end or stretch a sleep.
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

    public func ring() {
        pthread_mutex_lock(mutex)
        isRung = true
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Sleeps until the next ring, or for so many nanoseconds.
    /// - Returns: whether it was rung.
    @discardableResult
    public func sleep(nanoseconds: UInt64) -> Bool {
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        let fraction = UInt64(end.tv_nsec) + nanoseconds % 1_000_000_000
        end.tv_sec += Int(nanoseconds / 1_000_000_000 + fraction / 1_000_000_000)
        end.tv_nsec = Int(fraction % 1_000_000_000)
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isRung {
            if pthread_cond_timedwait(condition, mutex, &end) == ETIMEDOUT { break }
        }
        defer { isRung = false }
        return isRung
    }
}
