// A row of request_logs as the statistics keep it, and sums over such rows.

/// What a window needs to know of one row, in 24 bytes: a million rows are 24 MB.
///
/// Values that cannot be (negative, or beyond 32 bits; a cost over $281) are clamped when they come in, so that a row is
/// always taken out with exactly what it was put in with.
struct StatsRow {
    private let place: UInt32
    let latency: UInt32
    let input: UInt32
    let output: UInt32
    private let pairAndCost: UInt64

    /// - Parameters:
    ///   - microseconds: within its minute.
    ///   - pair: index in `PairTable`.
    ///   - cost: in dollars.
    init(microseconds: UInt32, success: Bool, pair: UInt16, latency: Int64, input: Int64, output: Int64, cost: Double) {
        place = microseconds & 0x7FFF_FFFF | (success ? 1 << 31 : 0)
        self.latency = UInt32(clamping: latency)
        self.input = UInt32(clamping: input)
        self.output = UInt32(clamping: output)
        // A trillionth of a dollar: prices per million tokens come out whole, and sums of integers do not drift.
        let units = cost.isFinite ? min(max(cost * 1e12, 0), Double(UInt64(1) << 48 - 1)).rounded() : 0
        pairAndCost = UInt64(pair) << 48 | UInt64(units)
    }

    var microseconds: UInt32 { place & 0x7FFF_FFFF }
    var success: Bool { place >> 31 == 1 }
    var pair: Int { Int(pairAndCost >> 48) }
    /// In trillionths of a dollar.
    var cost: Int64 { Int64(pairAndCost & (1 << 48 - 1)) }
}

/// Sums over rows; adding and subtracting the same rows in any order gives exactly what was there before.
struct RowSums: Equatable {
    var requests: Int64 = 0
    var successes: Int64 = 0
    var latency: Int64 = 0
    var input: Int64 = 0
    var output: Int64 = 0
    var cost: Int64 = 0

    mutating func add(_ row: StatsRow) {
        requests &+= 1
        successes &+= row.success ? 1 : 0
        latency &+= Int64(row.latency)
        input &+= Int64(row.input)
        output &+= Int64(row.output)
        cost &+= row.cost
    }

    mutating func subtract(_ row: StatsRow) {
        requests &-= 1
        successes &-= row.success ? 1 : 0
        latency &-= Int64(row.latency)
        input &-= Int64(row.input)
        output &-= Int64(row.output)
        cost &-= row.cost
    }

    mutating func add(_ sums: RowSums) {
        requests &+= sums.requests
        successes &+= sums.successes
        latency &+= sums.latency
        input &+= sums.input
        output &+= sums.output
        cost &+= sums.cost
    }

    var tokens: Int64 { input &+ output }
    var errors: Int64 { requests &- successes }
    /// Unrounded; 0 without requests.
    var successRate: Double { requests == 0 ? 0 : Double(successes) / Double(requests) }
    /// The mean over all rows, failures too, cut to an integer.
    var averageLatency: Int64 { requests == 0 ? 0 : latency / requests }
    /// In dollars.
    var dollars: Double { Double(cost) / 1e12 }
}
