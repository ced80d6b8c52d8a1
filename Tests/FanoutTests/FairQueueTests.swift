// Turns: nobody waits for more than one element of each other owner.

import TestSupport
import Testing

@testable import Fanout

@Suite struct FairQueueTests {
    @Test func eachInTurn() {
        var queue = FairQueue<String>()
        for number in 1...3 { queue.append("a\(number)", of: "a") }
        queue.append("b1", of: "b")
        queue.append("c1", of: "c")
        queue.append("c2", of: "c")
        #expect(queue.count == 6)
        var taken: [String] = []
        while let next = queue.popFirst() { taken.append(next) }
        #expect(taken == ["a1", "b1", "c1", "a2", "c2", "a3"])
        #expect(queue.isEmpty && queue.popFirst() == nil)
    }

    /// Who comes back with one at a time has every second turn beside somebody with many.
    @Test func oneAtATimeBesideMany() {
        var queue = FairQueue<String>()
        for _ in 0..<50 { queue.append("many", of: "many") }
        queue.append("one", of: "one")
        var taken: [String] = []
        for _ in 0..<10 {
            guard let next = queue.popFirst() else { break }
            taken.append(next)
            queue.append(next, of: next)
        }
        #expect(taken == ["many", "one", "many", "one", "many", "one", "many", "one", "many", "one"])
    }

    @Test func withdrawing() {
        var queue = FairQueue<Int>()
        for number in 0..<6 { queue.append(number, of: number < 4 ? "a" : "b") }
        queue.removeAll(of: "a") { $0 == 1 }
        queue.removeAll(of: "b") { _ in true }
        queue.removeAll(of: "nobody") { _ in true }
        #expect(queue.count == 3)
        #expect(queue.popFirst() == 0 && queue.popFirst() == 2 && queue.popFirst() == 3 && queue.popFirst() == nil)
        queue.append(7, of: "b")
        queue.removeAll()
        #expect(queue.isEmpty && queue.popFirst() == nil)
    }
}
