// A value behind a lock.

import Glibc

/// A value that one thread at a time may touch. Any thread; short sections only.
///
/// Not `Synchronization.Mutex`, because its slow path lies inside the Swift runtime, where the thread sanitizer does not see
/// it and reports races that are none.
///
/// `@unchecked Sendable` because `value` is touched under the mutex only, which lives on the heap and never moves.
public final class Locked<Value>: @unchecked Sendable {
    @usableFromInline let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    @usableFromInline var value: Value

    public init(_ value: sending Value) {
        self.value = value
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Runs `body` while no other thread has the value. Not to be called from within `body`.
    @inlinable
    public func withLock<Result, Failure: Error>(_ body: (inout Value) throws(Failure) -> Result) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
