// Blocks that other threads leave for a shard: none is lost, and the queue is asked for only where nobody looks.

import Base
import Dispatch
import Glibc
import TestSupport
import Testing

@testable import Fanout

@Suite struct MailboxTests {
    /// What a shard does between two rests, one step at a time.
    @Test func whoIsWoken() throws {
        let mailbox = try Mailbox()
        // Nobody looks: the first caller has the queue run the shard, the second finds that done.
        #expect(mailbox.call())
        #expect(!mailbox.call())
        // It was called, once.
        #expect(mailbox.wake())
        #expect(!mailbox.wake())
        // At work it is not woken, but does not rest before it has looked.
        #expect(!mailbox.call())
        #expect(!mailbox.rest())
        #expect(!mailbox.idle())
        #expect(mailbox.wake())
        // At rest it is woken by the descriptor, once.
        #expect(mailbox.rest())
        #expect(!mailbox.call())
        #expect(!mailbox.call())
        var rings: UInt64 = 0
        #expect(read(mailbox.descriptor, &rings, 8) == 8 && rings == 1)
        #expect(mailbox.wake())
        // From idleness it is the queue again.
        #expect(mailbox.idle())
        #expect(mailbox.call())
    }

    @Test func blocksComeInOrder() throws {
        let mailbox = try Mailbox()
        let rig = try Rig()
        let seen = Locked<[Int]>([])
        for number in 0..<5 { mailbox.leave { _ in seen.withLock { $0.append(number) } } }
        var taken: [Mailbox.Block] = []
        mailbox.takeAll(&taken)
        for block in taken { block(rig.shards[0]) }
        #expect(seen.withLock { $0 } == Array(0..<5))
        taken.removeAll()
        mailbox.takeAll(&taken)
        #expect(taken.isEmpty)
    }

    /// Posters with pauses of all lengths, so that they find the shard at work, at rest and idle, and at every step between.
    @Test func everyBlockIsRun() throws {
        let rig = try Rig()
        let shard = rig.shards[0]
        let posters = 4
        let blocks = 2000
        let seen = Locked([[Int]](repeating: [], count: posters))
        let group = DispatchGroup()
        for poster in 0..<posters {
            DispatchQueue.global().async(group: group) {
                var random = SeededRandom(seed: UInt64(poster))
                for number in 0..<blocks {
                    shard.post { shard in
                        seen.withLock { $0[poster].append(number) }
                        // One that is left by the shard itself counts as well.
                        if number % 7 == 0 { shard.post { _ in seen.withLock { $0[poster].append(-1) } } }
                    }
                    switch random.next() % 64 {
                    case 0: usleep(3000)
                    case 1...8: usleep(UInt32(random.next() % 200))
                    default: break
                    }
                }
            }
        }
        group.wait()
        let mine = (blocks + 6) / 7
        try waitUntil("all blocks were run") { seen.withLock { $0.allSatisfy { $0.count == blocks + mine } } }
        for numbers in seen.withLock({ $0 }) { #expect(numbers.filter { $0 >= 0 } == Array(0..<blocks)) }
    }
}
