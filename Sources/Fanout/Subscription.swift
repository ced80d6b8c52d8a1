// What one client is subscribed to, and the groups of clients that want the same.

import Protocol

/// A client's channels and their filters. Equal subscriptions share a group, and with it every decision of the fan-out.
public struct Subscription: Hashable, Sendable {
    /// As the client named them; `all` is its own member, and alone where it is one.
    public var channels: ChannelSet {
        didSet { if channels.contains(ChannelSet(.all)) && channels != ChannelSet(.all) { channels = ChannelSet(.all) } }
    }
    public var filters: Filters
    /// What the client may see at all, whatever it names.
    public var rights: Rights

    public init(channels: ChannelSet = [], rights: Rights = .everything, statsInterval: Int) {
        self.channels = channels
        self.rights = rights
        filters = Filters(statsInterval: statsInterval)
    }

    /// The real channels that it takes events from.
    public var effective: ChannelSet { channels.effective.intersection(rights.channels) }

    /// The stats group that the client is in; nil when it does not take `stats`.
    var statsGroup: StatsGroup? { effective.contains(ChannelSet(.stats)) ? filters.stats : nil }

    /// The part that decides which events of history pass: two clients that differ in `stats` parameters only share a group.
    var audience: Audience {
        var key = filters
        key.stats = StatsGroup(window: "", interval: 0)
        key.requests.owner = rights.owner
        return Audience(channels: effective, filters: key)
    }
}

/// Who gets the same events.
struct Audience: Hashable {
    var channels: ChannelSet
    var filters: Filters
}

/// The key of a group: who gets the same bytes.
struct GroupKey: Hashable {
    var audience: Audience
    var encoding: Encoding
}

/// A run of neighbouring frames that a group gets.
struct Run {
    /// In the frame log of the group's encoding.
    let start: UnsafeRawPointer
    var length: UInt32
    let first: UInt64
    var last: UInt64
    var events: UInt32
    var lanes: Lanes
    /// Holds a state that a newer one can supersede.
    var hasState: Bool

    /// Of one event.
    /// - Parameters:
    ///   - start: of its frame, with the frame's length.
    ///   - sequence: of the event.
    @inline(__always)
    init(_ start: UnsafeRawPointer, _ length: UInt32, _ sequence: UInt64, _ entry: UnsafePointer<EventEntry>) {
        self.start = start
        self.length = length
        first = sequence
        last = sequence
        events = 1
        lanes = Lanes(one: entry.pointee.channel)
        hasState = entry.pointee.flags & EventEntry.isConflatable != 0
    }

    /// Takes the next event in.
    /// - Returns: false where its frame does not lie behind that of the one before.
    @inline(__always)
    mutating func extend(_ frame: UnsafeRawPointer, _ frameLength: UInt32, _ entry: UnsafePointer<EventEntry>) -> Bool {
        guard frame == start + Int(length) else { return false }
        length += frameLength
        last = last &+ 1
        events += 1
        lanes += Lanes(one: entry.pointee.channel)
        if entry.pointee.flags & EventEntry.isConflatable != 0 { hasState = true }
        return true
    }
}

/// Which events an audience gets. Any thread.
struct Evaluator: Sendable {
    let audience: Audience
    /// No event of its channels is held back.
    let isOpen: Bool

    init(_ audience: Audience) {
        self.audience = audience
        isOpen = audience.filters.isOpen(for: audience.channels)
    }

    /// Whether the event is on one of the channels, filters aside.
    @inline(__always)
    func hears(_ entry: UnsafePointer<EventEntry>) -> Bool { !entry.pointee.channels.isDisjoint(with: audience.channels) }

    @inline(__always)
    func passes(_ entry: UnsafePointer<EventEntry>, of segment: Segment) -> Bool {
        isOpen ? hears(entry) : audience.filters.pass(entry, of: segment, channels: audience.channels)
    }
}

/// Clients with equal subscriptions and the same encoding. Confined to the shard's queue.
final class Group {
    let evaluator: Evaluator
    let encoding: Encoding
    var key: GroupKey { GroupKey(audience: evaluator.audience, encoding: encoding) }
    /// Client indices; a client knows its position, so that it leaves in O(1).
    private(set) var members: [UInt32] = []
    /// Members that are behind. Where there is none, a batch of which nothing passes is counted and not handed out.
    var behind = 0
    /// What was put into the members' rings and is sent with the stretch that follows: when the oldest of it was published.
    var heldSince: UInt64?
    /// Where the next round starts, so that no client is always the last.
    var turn = 0

    init(_ audience: Audience, _ encoding: Encoding) {
        evaluator = Evaluator(audience)
        self.encoding = encoding
    }

    func add(_ client: UInt32) -> Int32 {
        members.append(client)
        return Int32(members.count - 1)
    }

    /// Removes the member at `position`; the last one moves there.
    /// - Returns: the member that moved, if one did.
    func remove(at position: Int32) -> UInt32? {
        let last = members.removeLast()
        guard Int(position) < members.count else { return nil }
        members[Int(position)] = last
        return last
    }

    /// Appends to `runs` what this group gets of the events `range` (indices into the segment).
    /// - Parameter frames: those of the group's encoding; where they are made ahead, as far as `range`.
    /// - Returns: the events of its channels, those included that its filters hold back.
    func collect(_ range: Range<Int>, of segment: Segment, _ frames: FrameLog, into runs: inout [Run]) -> Lanes {
        var heard = Lanes()
        var open = false
        for index in range {
            let entry = segment.entry(at: index)
            guard evaluator.hears(entry) else {
                open = false
                continue
            }
            heard += Lanes(one: entry.pointee.channel)
            guard evaluator.isOpen || evaluator.passes(entry, of: segment) else {
                open = false
                continue
            }
            // Before the runs are touched: a frame that nobody has needed yet is made here.
            let place = frames.place(of: index, segment)
            let start = frames.start(of: place)
            if !open || !runs[runs.count - 1].extend(start, place.length, entry) {
                runs.append(Run(start, place.length, segment.firstSequence &+ UInt64(index), entry))
                open = true
            }
        }
        return heard
    }

    /// The events `range` of this group's channels.
    func heard(_ range: Range<Int>, of segment: Segment) -> Lanes {
        range.reduce(into: Lanes()) {
            let entry = segment.entry(at: $1)
            if evaluator.hears(entry) { $0 += Lanes(one: entry.pointee.channel) }
        }
    }
}

/// Clients that share a window and an interval of `stats`. Confined to the shard's queue.
final class StatsMembers {
    let number: UInt32
    var members: Set<UInt32> = []
    init(number: UInt32) { self.number = number }
}
