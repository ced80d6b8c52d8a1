// Waking a thread that sleeps until some deadline.

/// A thread sleeps on it, others ring. A ring while nobody sleeps is kept: the next sleep ends at once.
///
/// `@unchecked Sendable` because `isRung` is touched under the condition's lock only.
public final class Bell: @unchecked Sendable {
    private let condition = Condition()
    private var isRung = false

    public init() {}

    public func ring() {
        condition.withLock {
            isRung = true
            condition.signal()
        }
    }

    /// Sleeps until the next ring, or for so many nanoseconds.
    /// - Returns: whether it was rung.
    @discardableResult
    public func sleep(nanoseconds: UInt64) -> Bool {
        let deadline = Condition.Deadline(nanoseconds: nanoseconds)
        return condition.withLock {
            while !isRung, condition.wait(until: deadline) {}
            defer { isRung = false }
            return isRung
        }
    }
}
