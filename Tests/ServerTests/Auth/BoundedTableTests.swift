import TestSupport
import Testing

@testable import Server

@Suite struct BoundedTableTests {
    /// Against an array in the order of putting, for small capacities and random steps.
    @Test(arguments: testSeeds(5)) func likeAnArray(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for capacity in 1...8 {
            var table = BoundedTable<Int, Int>(capacity: capacity)
            var model: [(key: Int, value: Int)] = []
            var limit = capacity
            for step in 0..<500 {
                let key = generator.int(0..<12)
                switch generator.int(0..<20) {
                case 0..<12:
                    table.put(step, for: key)
                    model.removeAll { $0.key == key }
                    model.append((key, step))
                    if model.count > limit { model.removeFirst() }
                case 12..<18:
                    table.remove(key)
                    model.removeAll { $0.key == key }
                case 18:
                    limit = generator.int(1...8)
                    table.resize(limit)
                    model.removeFirst(max(0, model.count - limit))
                default:
                    if generator.chance(10) {
                        table.removeAll()
                        model = []
                    }
                }
                #expect(table.count == model.count, "seed \(seed), capacity \(capacity), step \(step)")
                for key in 0..<12 {
                    #expect(table[key] == model.first { $0.key == key }?.value, "seed \(seed), capacity \(capacity), step \(step)")
                }
            }
        }
    }

    @Test(arguments: testSeeds(3)) func fifoLikeAnArray(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var queue = Fifo<Int>()
        var model: [Int] = []
        for step in 0..<10_000 {
            if generator.chance(step < 6000 ? 60 : 30) {
                queue.append(step)
                model.append(step)
            } else {
                #expect(queue.popFirst() == (model.isEmpty ? nil : model.removeFirst()), "seed \(seed), step \(step)")
            }
            #expect(queue.count == model.count && queue.isEmpty == model.isEmpty)
        }
        queue.removeAll()
        #expect(queue.popFirst() == nil && queue.count == 0)
    }
}
