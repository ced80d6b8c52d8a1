// How often something had which size, cheap enough for the way from history to the socket.

import Synchronization

/// A histogram with fixed bounds. Writer: one queue, so that counting needs no locked instruction; readers: any thread.
public final class Histogram: @unchecked Sendable {  // Sendable because every cell is atomic, and the rest never changes.
    private let bounds: UnsafeMutablePointer<UInt64>
    private let count: Int
    /// One per bound, one for what is above all of them, and the sum.
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>
    private static let alignment = 128

    /// - Parameter bounds: the largest value of each bucket, ascending.
    init(bounds: [UInt64]) {
        count = bounds.count
        self.bounds = .allocate(capacity: count)
        self.bounds.initialize(from: bounds, count: count)
        let bytes = (count + 2) * MemoryLayout<Atomic<UInt64>>.stride
        let rounded = (bytes + Histogram.alignment - 1) / Histogram.alignment * Histogram.alignment
        cells = UnsafeMutableRawPointer.allocate(byteCount: rounded, alignment: Histogram.alignment)
            .bindMemory(to: Atomic<UInt64>.self, capacity: count + 2)
        for index in 0..<count + 2 { (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        cells.deinitialize(count: count + 2)
        UnsafeMutableRawPointer(cells).deallocate()
        bounds.deallocate()
    }

    /// Enters a value, so many times. The writer's queue only.
    @inline(__always)
    func observe(_ value: UInt64, times: UInt64 = 1) {
        var bucket = 0
        while bucket < count, value > bounds[bucket] { bucket &+= 1 }
        increase(bucket, by: times)
        increase(count &+ 1, by: value &* times)
    }

    @inline(__always)
    private func increase(_ index: Int, by more: UInt64) {
        let cell = cells + index
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ more, ordering: .relaxed)
    }

    /// As it is now. Any thread.
    public var reading: HistogramReading {
        HistogramReading(
            bounds: (0..<count).map { bounds[$0] }, counts: (0...count).map { cells[$0].load(ordering: .relaxed) },
            sum: cells[count + 1].load(ordering: .relaxed))
    }
}

/// What a histogram held at a moment.
public struct HistogramReading: Sendable, Equatable {
    public let bounds: [UInt64]
    /// Per bound, those above the one before; at last those above all.
    public private(set) var counts: [UInt64]
    public private(set) var sum: UInt64

    public init(bounds: [UInt64], counts: [UInt64], sum: UInt64) {
        precondition(counts.count == bounds.count + 1)
        self.bounds = bounds
        self.counts = counts
        self.sum = sum
    }

    /// - Precondition: equal bounds.
    public static func + (a: HistogramReading, b: HistogramReading) -> HistogramReading {
        precondition(a.bounds == b.bounds)
        return HistogramReading(bounds: a.bounds, counts: zip(a.counts, b.counts).map { $0 &+ $1 }, sum: a.sum &+ b.sum)
    }
}
