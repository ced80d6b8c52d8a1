// What one client is subscribed to, and the groups of clients that want the same.

import Protocol

/// A client's channels and their filters. Equal subscriptions share a group, and with it every decision of the fan-out.
public struct Subscription: Hashable, Sendable {
    /// As the client named them; `all` is its own member, and alone where it is one.
    public var channels: ChannelSet {
        didSet { if channels.contains(ChannelSet(.all)) && channels != ChannelSet(.all) { channels = ChannelSet(.all) } }
    }
    public var filters: Filters

    public init(channels: ChannelSet = [], statsInterval: Int) {
        self.channels = channels
        filters = Filters(statsInterval: statsInterval)
    }

    /// The stats group that the client is in; nil when it does not take `stats`.
    var statsGroup: StatsGroup? { channels.effective.contains(ChannelSet(.stats)) ? filters.stats : nil }

    /// The part that decides which events of history pass: two clients that differ in `stats` parameters only share a group.
    var audience: Audience {
        var key = filters
        key.stats = StatsGroup(window: "", interval: 0)
        return Audience(channels: channels.effective, filters: key)
    }
}

/// The key of a group.
struct Audience: Hashable {
    var channels: ChannelSet
    var filters: Filters
}

/// A run of neighbouring frames that a group gets.
struct Run {
    var from: UInt32
    var to: UInt32
    var first: UInt64
    var last: UInt64
    var events: UInt32
}

/// Clients with equal subscriptions. Confined to the shard's queue.
final class Group {
    let audience: Audience
    let takesEverything: Bool
    /// Client indices; a client knows its position, so that it leaves in O(1).
    private(set) var members: [UInt32] = []
    /// Where the next round starts, so that no client is always the last.
    var turn = 0

    init(_ audience: Audience) {
        self.audience = audience
        takesEverything = audience.filters.isOpen(for: audience.channels)
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

    @inline(__always)
    func passes(_ entry: UnsafePointer<EventEntry>, of segment: Segment) -> Bool {
        if takesEverything { return !entry.pointee.channels.isDisjoint(with: audience.channels) }
        return audience.filters.pass(entry, of: segment, channels: audience.channels)
    }

    /// Appends to `runs` what this group gets of the events `range` (indices into the segment).
    func collect(_ range: Range<Int>, of segment: Segment, frames: FrameLog, into runs: inout [Run]) {
        var open = false
        for index in range {
            guard passes(segment.entry(at: index), of: segment) else {
                open = false
                continue
            }
            let sequence = segment.firstSequence &+ UInt64(index)
            if open {
                runs[runs.count - 1].to = frames.offset(of: index + 1)
                runs[runs.count - 1].last = sequence
                runs[runs.count - 1].events += 1
            } else {
                runs.append(
                    Run(from: frames.offset(of: index), to: frames.offset(of: index + 1), first: sequence, last: sequence, events: 1))
                open = true
            }
        }
    }

    /// How many of the events `range` this group would have got.
    func count(_ range: Range<Int>, of segment: Segment) -> Int {
        range.reduce(0) { $0 + (passes(segment.entry(at: $1), of: segment) ? 1 : 0) }
    }
}

/// Clients that share a window and an interval of `stats`. Confined to the shard's queue.
final class StatsMembers {
    let number: UInt32
    var members: Set<UInt32> = []
    init(number: UInt32) { self.number = number }
}
