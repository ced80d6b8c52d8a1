// A row of counters that others do not share a cache line with.

import Synchronization

/// Totals since the start, by index. Any thread counts and reads; relaxed, since each stands for itself.
///
/// `@unchecked Sendable` because every cell is atomic and the memory never moves.
public final class CounterCells: @unchecked Sendable {
    public let count: Int
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>
    /// Two lines: processors fetch the neighbour along.
    private static let alignment = 128

    /// - Parameter count: at least 1.
    public init(_ count: Int) {
        self.count = count
        let bytes = count * MemoryLayout<Atomic<UInt64>>.stride
        let rounded = (bytes + CounterCells.alignment - 1) / CounterCells.alignment * CounterCells.alignment
        cells = UnsafeMutableRawPointer.allocate(byteCount: rounded, alignment: CounterCells.alignment)
            .bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for index in 0..<count { (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        cells.deinitialize(count: count)
        UnsafeMutableRawPointer(cells).deallocate()
    }

    /// - Parameter index: `0..<count`.
    public func add(_ index: Int, _ more: UInt64 = 1) {
        precondition(index >= 0 && index < count)
        cells[index].add(more, ordering: .relaxed)
    }

    public subscript(index: Int) -> UInt64 {
        precondition(index >= 0 && index < count)
        return cells[index].load(ordering: .relaxed)
    }
}
