// Streams that are compressed for one client alone: how much of that a round does.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct CompressionTurnsTests {
    /// Bytes compressed so far for one client alone, whenever a round of the shard begins.
    private final class Record: Sendable {
        let counts = Locked<[UInt64]>([])
        let isOver = Locked(false)

        func begin(on shard: Shard) {
            shard.post { [self] shard in
                counts.withLock { $0.append(shard.hub.framer.count(.bytesBefore, of: nil)) }
                if !isOver.withLock({ $0 }) { begin(on: shard) }
            }
        }
    }

    private static let events = 60
    private static let clients = 10

    /// Many clients whose streams wait: in no round is more done for them than for a part of one, and in turns.
    @Test func aRoundDoesAPart() throws {
        var limits = Limits()
        limits.compression.keepsContext = true
        limits.roundBytesMax = 20_000
        limits.roundCompressionMax = 50_000
        let rig = try Rig(limits, shards: 1)
        let clients = try (0..<CompressionTurnsTests.clients).map { _ in
            try rig.subscribe(ModelFilter([.logs]), as: Encoding(.text, .deflate(window: 15)))
        }
        rig.settle()
        let text = String(repeating: "some words ", count: 1000)
        let record = Record()
        record.begin(on: rig.shards[0])
        rig.hub.publish((0..<CompressionTurnsTests.events).map { draft(.logs, #"{"n":\#($0),"t":"\#(text)"}"#) })
        let numbers = Locked([[Int]](repeating: [], count: clients.count))
        try onThreads(clients.count) { place in
            while numbers.withLock({ $0[place].count }) < CompressionTurnsTests.events, let message = try? clients[place].message() {
                numbers.withLock { $0[place].append(message["data"]?["n"]?.int ?? -1) }
            }
        }
        record.isOver.withLock { $0 = true }
        rig.settle()
        #expect(numbers.withLock { $0 }.allSatisfy { $0 == Array(0..<CompressionTurnsTests.events) })
        let counts = record.counts.withLock { $0 }
        let whole = UInt64(CompressionTurnsTests.events * CompressionTurnsTests.clients * text.utf8.count)
        #expect(counts.last ?? 0 > whole)
        // Between two looks lie the end of one round and the beginning of the next, each with its last piece.
        let most = zip(counts, counts.dropFirst()).map { $1 - $0 }.max() ?? 0
        #expect(most <= 2 * UInt64(limits.roundCompressionMax + limits.roundBytesMax + text.utf8.count))
    }

    /// Of a long run that nobody reads, only what is about to be sent is compressed.
    @Test func whatWaitsIsNotCompressed() throws {
        var limits = Limits()
        limits.compression.keepsContext = true
        limits.sendBufferBytes = 4096
        let rig = try Rig(limits, shards: 1)
        let client = try rig.subscribe(ModelFilter([.logs]), as: Encoding(.text, .deflate(window: 15)))
        rig.settle()
        var generator = SeededGenerator(seed: 1)
        let drafts = (0..<300).map { number in
            draft(.logs, #"{"n":\#(number),"t":"\#((0..<10_000).map { _ in String(generator.int(0...9)) }.joined())"}"#)
        }
        rig.hub.publish(drafts)
        for _ in 0..<20 { rig.settle() }
        let compressed = rig.hub.framer.count(.bytesBefore, of: nil)
        #expect(compressed > 0 && compressed < 1_000_000, "of 3 MB: \(compressed)")
        for number in 0..<300 { #expect(try client.message()?["data"]?["n"]?.int == number) }
        #expect(rig.imbalance() == nil)
    }
}
