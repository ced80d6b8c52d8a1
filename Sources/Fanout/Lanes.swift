// How many events of each channel, in one word: the ledger's unit on the way from history to the socket.

/// Counts per channel, packed: five lanes of 12 bits in the order of `Channel`, so that adding two is one addition.
///
/// A lane holds at most 4095. What is counted with it is a part of one segment, which has at most 1024 events.
struct Lanes: Equatable {
    private(set) var bits: UInt64 = 0

    private static let width: UInt64 = 12
    private static let mask: UInt64 = 0xFFF
    static let none = Lanes()

    @inline(__always)
    init() {}

    /// One event of a channel.
    @inline(__always)
    init(one channel: UInt8) { bits = 1 << (UInt64(channel) &* Lanes.width) }

    @inline(__always)
    init(_ channel: Channel) { self.init(one: channel.rawValue) }

    @inline(__always)
    static func += (a: inout Lanes, b: Lanes) { a.bits = a.bits &+ b.bits }

    /// - Precondition: no lane of `b` is larger.
    @inline(__always)
    static func -= (a: inout Lanes, b: Lanes) { a.bits = a.bits &- b.bits }

    @inline(__always)
    var isEmpty: Bool { bits == 0 }

    @inline(__always)
    subscript(_ channel: Channel) -> UInt64 { bits >> (UInt64(channel.rawValue) &* Lanes.width) & Lanes.mask }

    /// Calls `body` for each channel that has any.
    @inline(__always)
    func forEach(_ body: (Channel, UInt64) -> Void) {
        // Mostly one lane is in use: only those that are, are looked at.
        var rest = bits
        while rest != 0 {
            let lane = UInt64(truncatingIfNeeded: rest.trailingZeroBitCount) / Lanes.width
            let shift = lane &* Lanes.width
            if let channel = Channel(rawValue: UInt8(truncatingIfNeeded: lane)) { body(channel, rest >> shift & Lanes.mask) }
            rest &= ~(Lanes.mask << shift)
        }
    }

    var total: UInt64 { Channel.allCases.reduce(0) { $0 + self[$1] } }
}

/// The same without a bound, for what may pile up: events that a client is owed.
struct WideLanes {
    private var counts = InlineArray<5, UInt64>(repeating: 0)

    static func += (a: inout WideLanes, b: Lanes) { b.forEach { a.counts[Int($0.rawValue)] += $1 } }

    /// - Precondition: no lane of `b` is larger.
    static func -= (a: inout WideLanes, b: Lanes) { b.forEach { a.counts[Int($0.rawValue)] -= $1 } }

    mutating func add(_ other: WideLanes) { for channel in Channel.allCases { counts[Int(channel.rawValue)] += other[channel] } }

    subscript(_ channel: Channel) -> UInt64 { counts[Int(channel.rawValue)] }
    var total: UInt64 { Channel.allCases.reduce(0) { $0 + self[$1] } }
}
