// One thread at a time.

import TestSupport
import Testing

@testable import Base

@Suite struct LockedTests {
    private struct Refused: Error {}

    @Test func nothingIsLostBetweenThreads() throws {
        let sum = Locked((count: 0, order: [Int]()))
        try onThreads(4) { thread in
            for number in 0..<5000 {
                sum.withLock {
                    $0.count += 1
                    if number % 1000 == 0 { $0.order.append(thread) }
                }
            }
        }
        #expect(sum.withLock { $0.count } == 20_000)
        #expect(sum.withLock { $0.order.count } == 20)
    }

    @Test func resultsAndErrorsComeOut() {
        let value = Locked(1)
        #expect(throws: Refused.self) {
            try value.withLock {
                $0 = 2
                throw Refused()
            }
        }
        // What was done before the error stays, and the lock is free again.
        #expect(value.withLock { $0 * 10 } == 20)
    }
}
