// Threads for tests that let things happen at once, and waits that end a hanging test instead of the whole run.

import Base
import Dispatch
import Glibc

/// Why a test could not go on.
public struct TestFailure: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// Longest wait for anything; only a fault makes a test wait that long, on however busy a machine.
public let hangGuardSeconds = 120

/// Waits a moment for another thread, in a loop: mostly without giving up the core, so that threads on cores of their own meet often; then asleep, since
/// the kernel runs who wakes up sooner than who only yields where other programs want the core.
public struct Spin {
    private var turns = 0

    public init() {}

    public mutating func wait() {
        turns += 1
        // The shortest sleep there is: only to be off the core.
        if turns % 64 == 0 { usleep(1) }
    }
}

/// Runs `body` on so many threads at once; returns when all have ended.
public func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
    let done = DispatchSemaphore(value: 0)
    for number in 0..<count {
        let failure = Thread.start(named: "test-\(number)") {
            body(number)
            done.signal()
        }
        if let failure { throw failure }
    }
    for _ in 0..<count where done.wait(timeout: .now() + .seconds(hangGuardSeconds)) == .timedOut {
        throw TestFailure("a thread of the test did not end within \(hangGuardSeconds) s")
    }
}

/// Waits until something that other threads bring about is so.
public func waitUntil(_ what: String, _ condition: () -> Bool) throws {
    let deadline = SystemClock().monotonic() + UInt64(hangGuardSeconds) * 1_000_000_000
    while !condition() {
        guard SystemClock().monotonic() < deadline else {
            throw TestFailure("still waiting after \(hangGuardSeconds) s: \(what)")
        }
        usleep(500)
    }
}
