// The ring against an array, and between two threads.

import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Fanout

/// Where spans point that nobody reads.
private nonisolated(unsafe) let somewhere = UnsafeRawPointer(UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8))

private func span(_ number: UInt64) -> Span {
    Span(
        start: somewhere, length: UInt32(truncatingIfNeeded: number), events: 1, lanes: .none, last: number,
        owner: somewhere, kind: .log)
}

/// A ring with slots of its own.
private final class OwnRing: @unchecked Sendable {  // Sendable because the ring is made for a producer and a consumer at once.
    private(set) var ring: Ring
    let capacity: Int

    init(capacity: Int, startIndex: UInt32 = 0) {
        self.capacity = capacity
        ring = Ring(startIndex: startIndex)
        ring.lend(.allocate(capacity: capacity))
    }
    deinit {
        while !ring.isEmpty { ring.pop() }
        ring.takeBack()?.deallocate()
    }

    // The ring itself cannot be copied, which the expectation macros would do.
    var depth: Int { ring.depth }
    var isEmpty: Bool { ring.isEmpty }
    var newest: UInt64? { ring.newest(capacity: capacity)?.pointee.last }
    func push(_ number: UInt64, limit: Int) -> Bool { ring.push(span(number), limit: limit, capacity: capacity) }
    func putBefore(_ number: UInt64) -> Bool { ring.putBefore(span(number), capacity: capacity) }
    func peek(_ index: Int) -> UInt64? { ring.peek(index, capacity: capacity)?.pointee.last }
    var contents: [UInt64] { (0..<ring.depth).compactMap { ring.peek($0, capacity: capacity)?.pointee.last } }
}

@Suite struct RingTests {
    static let shapes: [(capacity: Int, limit: Int)] = [1, 2, 4, 8, 16].flatMap { capacity in
        (1...capacity + 1).map { (capacity, $0) }
    }

    /// Fills and empties from every start index, those before the index overflows among them.
    @Test(arguments: shapes)
    func fillsAndEmpties(capacity: Int, limit: Int) {
        let starts = (0..<UInt32(capacity)).map { $0 } + (0...UInt32(capacity)).map { UInt32.max - $0 }
        for start in starts {
            let own = OwnRing(capacity: capacity, startIndex: start)
            let room = min(capacity, limit)
            for count in 0...room {
                for number in 0..<count { #expect(own.push(UInt64(number), limit: limit)) }
                #expect(own.depth == count)
                if count == room { #expect(!own.push(99, limit: limit)) }
                #expect(own.contents == (0..<UInt64(count)).map { $0 }, "capacity \(capacity), limit \(limit), start \(start)")
                #expect(own.newest == (count > 0 ? UInt64(count - 1) : nil))
                #expect(own.peek(count) == nil)
                for _ in 0..<count { own.ring.pop() }
                #expect(own.isEmpty)
            }
        }
    }

    /// Random operations against an array.
    @Test(arguments: testSeeds(4))
    func behavesAsAnArray(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for (capacity, limit) in RingTests.shapes {
            let own = OwnRing(
                capacity: capacity, startIndex: generator.chance(50) ? UInt32.max - UInt32(generator.int(0...40)) : 0)
            var model: [UInt64] = []
            for number in 0..<UInt64(100) {
                if generator.chance(55) {
                    let hasRoom = model.count < min(capacity, limit)
                    #expect(own.push(number, limit: limit) == hasRoom, "seed \(seed)")
                    if hasRoom { model.append(number) }
                } else if generator.chance(20) {
                    let hasRoom = model.count < capacity
                    #expect(own.putBefore(number) == hasRoom, "seed \(seed)")
                    if hasRoom { model.insert(number, at: 0) }
                } else if !model.isEmpty {
                    #expect(own.peek(0) == model.removeFirst(), "seed \(seed)")
                    own.ring.pop()
                }
                guard own.contents == model else {
                    Issue.record("seed \(seed), capacity \(capacity), limit \(limit): \(own.contents) is not \(model)")
                    return
                }
            }
        }
    }

    @Test func withoutSlotsNothingGoesIn() {
        var ring = Ring()
        let answers = [
            ring.hasSlots, ring.push(span(1), limit: 4, capacity: 4), ring.peek(0, capacity: 4) != nil,
            ring.newest(capacity: 4) != nil, ring.takeBack() != nil,
        ]
        #expect(answers == [false, false, false, false, false])
    }

    /// A producer and a consumer on threads of their own; the thread sanitizer watches.
    @Test(arguments: [1, 2, 8, 64])
    func twoThreads(capacity: Int) throws {
        let count: UInt64 = 20_000
        let own = OwnRing(capacity: capacity, startIndex: UInt32.max - 100)
        let wrong = Atomic<UInt64>(0)
        // What a span points to must be visible with it. Unsafe only to the compiler: a cell is written before the ring hands it over, and read after.
        nonisolated(unsafe) let cells = UnsafeMutablePointer<UInt64>.allocate(capacity: Int(count))
        try onThreads(2) { role in
            var number: UInt64 = 0
            var spin = Spin()
            while number < count {
                if role == 0 {
                    (cells + Int(number)).initialize(to: number &* 7)
                    let next = Span(
                        start: UnsafeRawPointer(cells + Int(number)), length: 8, events: 1, lanes: .none, last: number,
                        owner: UnsafeRawPointer(cells),
                        kind: .log)
                    if own.ring.push(next, limit: capacity, capacity: capacity) { number += 1 } else { spin.wait() }
                } else if let next = own.ring.peek(0, capacity: capacity) {
                    if next.pointee.last != number || next.pointee.start.load(as: UInt64.self) != number &* 7 {
                        wrong.add(1, ordering: .relaxed)
                    }
                    own.ring.pop()
                    number += 1
                } else {
                    spin.wait()
                }
            }
        }
        // Not where it failed: a thread that hangs may still write there.
        cells.deallocate()
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(own.isEmpty)
    }

    @Test(arguments: [(1, 1), (2, 2), (3, 4), (288, 512), (512, 512), (513, 1024)])
    func poolRoundsUp(spans: Int, capacity: Int) {
        let pool = SlotPool(spans: spans)
        #expect(pool.capacity == capacity)
        let first = pool.borrow()
        pool.giveBack(first)
        #expect(pool.borrow() == first)
        first.deallocate()
    }
}
