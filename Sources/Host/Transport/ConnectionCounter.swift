// How many connections each of many has: addresses have a table of their own, this is for users and other names.

import Base

/// Counts connections per key, exactly; as large as there are keys with a connection. Any thread.
public final class ConnectionCounter<Key: Hashable & Sendable>: Sendable {
    /// One counted connection: it counts until it is let go of.
    public final class Place: Sendable {
        public let key: Key
        private let counter: ConnectionCounter

        fileprivate init(_ key: Key, _ counter: ConnectionCounter) {
            self.key = key
            self.counter = counter
        }

        deinit { counter.leave(key) }
    }

    private let counts = Locked<[Key: Int]>([:])

    public init() {}

    /// Counts one more.
    /// - Returns: nil where there are `max` already.
    public func enter(_ key: Key, max: Int) -> Place? {
        let isFree = counts.withLock { counts in
            let count = counts[key] ?? 0
            if count < max { counts[key] = count + 1 }
            return count < max
        }
        return isFree ? Place(key, self) : nil
    }

    public func count(of key: Key) -> Int { counts.withLock { $0[key] ?? 0 } }

    /// Keys that have a connection.
    public var keys: Int { counts.withLock { $0.count } }

    private func leave(_ key: Key) {
        counts.withLock { counts in
            let count = counts[key] ?? 0
            counts[key] = count > 1 ? count - 1 : nil
        }
    }
}
