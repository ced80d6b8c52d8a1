// The middle: numbers events, keeps them in history, and wakes the shards.

import Base
import Protocol
import Synchronization

/// Where the numbers of the sampler come from: told when the first client wants a stats group and when the last has left.
public protocol StatsSource: AnyObject, Sendable {
    func watch(_ group: StatsGroup)
    func unwatch(_ group: StatsGroup)
}

/// The hub. Any thread may publish; one lock is taken per batch. Shards read history without a lock, up to `head`.
public final class Hub: Sendable {
    public let epoch: Epoch
    public let limits: Limits
    public let clock: any Clock

    /// The sequence of the next event. Writer: `publish`, under the lock, with release after the event is in its segment.
    /// Readers: the shards, with acquire.
    let head = Atomic<UInt64>(1)
    /// WebSocket clients, and connections in all. Writers: the shards.
    let clients = Atomic<Int>(0)
    let connections = Atomic<Int>(0)
    /// Connections that have asked for something else than an upgrade.
    let httpConnections = Atomic<Int>(0)
    let clientIDs = Atomic<UInt64>(0)

    private struct State {
        var history: [Segment]
        var events = 0
        var bytes = 0
        /// Clients that read text frames.
        var textClients = 0
        var shards: [Shard] = []
        var stats: [StatsGroup: StatsState] = [:]
        var statsNumbers: UInt32 = 0
        var statsSource: (any StatsSource)?
        /// Nil before the first look.
        var providers: [ProviderState]?
    }
    private struct StatsState {
        var number: UInt32
        var members: Int
        var frame: StateFrame?
    }
    private struct ProviderState {
        var id: [UInt8]
        var frame: [UInt8]
    }
    private let state: Locked<State>

    /// Events per segment: a sixteenth of history, so that what history holds beyond its bounds stays small.
    private let segmentEvents: Int
    private let segmentBytes: Int

    public init(limits: Limits, clock: any Clock) {
        self.limits = limits
        self.clock = clock
        epoch = Epoch(clock.now())
        segmentEvents = min(max(limits.historyEventsMax / 16, 16), 1024)
        segmentBytes = min(max(limits.historyBytesMax / 64, 4096), 262_144)
        state = Locked(State(history: [Segment(firstSequence: 1, entriesMax: segmentEvents, bytesMax: segmentBytes)]))
    }

    /// Makes the shards known. Once, before the first event.
    public func attach(_ shards: [Shard]) { state.withLock { $0.shards = shards } }

    /// Where stats come from. Once, before the first client.
    public func setStatsSource(_ source: any StatsSource) { state.withLock { $0.statsSource = source } }

    /// The segment that a new shard starts reading at.
    func newestSegment() -> Segment? { state.withLock { $0.history.last } }

    // MARK: publishing

    /// Puts events into history, in order and without others between, and wakes the shards. Any thread.
    /// - Parameter drafts: at least one; none is too large for a segment of its own, which has 32-bit offsets.
    /// - Returns: the sequences of the first and the last.
    @discardableResult
    public func publish(_ drafts: [EventDraft]) -> ClosedRange<UInt64> {
        precondition(!drafts.isEmpty)
        let published = clock.monotonic()
        let (range, shards) = state.withLock { state -> (ClosedRange<UInt64>, [Shard]) in
            let first = head.load(ordering: .relaxed)
            var sequence = first
            let firstTouched = state.history.count - 1
            for draft in drafts {
                let need = Segment.bytesNeeded(draft)
                if let current = state.history.last, !current.fits(need) {
                    let segment = Segment(firstSequence: sequence, entriesMax: segmentEvents, bytesMax: max(segmentBytes, need))
                    current.link(segment)
                    state.history.append(segment)
                }
                guard let current = state.history.last else { preconditionFailure("history has at least one segment") }
                let before = current.bytesUsed
                current.add(draft, sequence: sequence, epoch: epoch, published: published)
                state.events += 1
                state.bytes += current.bytesUsed - before
                sequence += 1
            }
            if state.textClients > 0 { for segment in state.history[firstTouched...] { segment.fillTextFrames() } }
            head.store(sequence, ordering: .releasing)
            retire(&state, now: published)
            return (first...sequence - 1, state.shards)
        }
        for shard in shards { shard.ringDoorbell() }
        return range
    }

    /// Lets go of events that are too old. Called by the heartbeat loop.
    func expire() {
        let now = clock.monotonic()
        state.withLock { retire(&$0, now: now) }
    }

    /// Gives segments that history no longer needs to the shards to let go of. A segment stays until the rest holds all that
    /// history promises.
    private func retire(_ state: inout State, now: UInt64) {
        let age = UInt64(limits.historyAgeMax.components.seconds) * 1_000_000_000
        while state.history.count > 1, let oldest = state.history.first {
            let isSurplus =
                state.events - oldest.count >= limits.historyEventsMax || state.bytes - oldest.bytesUsed >= limits.historyBytesMax
                || now > age && oldest.lastPublished < now - age
            guard isSurplus else { return }
            state.history.removeFirst()
            state.events -= oldest.count
            state.bytes -= oldest.bytesUsed
            for shard in state.shards { shard.post { $0.letGo(oldest) } }
        }
    }

    // MARK: frames

    /// Counts a client that reads text frames; from the first on, frames are made as events come in.
    func beginTextFrames() { state.withLock { $0.textClients += 1 } }
    func endTextFrames() { state.withLock { $0.textClients -= 1 } }

    /// Makes the frames of a segment that were not made when its events came in. Takes the lock; once per segment and encoding.
    func fillTextFrames(of segment: Segment) { state.withLock { _ in segment.fillTextFrames() } }

    // MARK: state: stats and providers

    /// A client joins a stats group. Called by its shard.
    /// - Returns: the group's number and the present state, if there is one.
    func join(_ group: StatsGroup) -> (number: UInt32, present: StateFrame?) {
        let (number, frame, source) = state.withLock { state in
            if state.stats[group] == nil {
                state.statsNumbers += 1
                state.stats[group] = StatsState(number: state.statsNumbers, members: 0)
            }
            state.stats[group]?.members += 1
            let isFirst = state.stats[group]?.members == 1
            return (state.stats[group]?.number ?? 0, state.stats[group]?.frame, isFirst ? state.statsSource : nil)
        }
        source?.watch(group)
        return (number, frame)
    }

    func leave(_ group: StatsGroup) {
        let source = state.withLock { state -> (any StatsSource)? in
            guard let members = state.stats[group]?.members else { return nil }
            if members > 1 {
                state.stats[group]?.members = members - 1
                return nil
            }
            state.stats[group] = nil
            return state.statsSource
        }
        source?.unwatch(group)
    }

    /// A new state of a stats group: to all its members. The sampler's thread.
    /// - Parameter data: the `data` of the `stats_update`, compact JSON.
    public func updateStats(_ group: StatsGroup, at instant: Instant, data: [UInt8]) {
        let frame = StateFrame(Hub.textFrame(type: "stats_update", timestamp: instant, data: data))
        let shards = state.withLock { state -> [Shard] in
            guard state.stats[group] != nil else { return [] }
            state.stats[group]?.frame = frame
            return state.shards
        }
        for shard in shards { shard.post { $0.deliver(frame, to: group) } }
    }

    /// The present state of each provider, for new subscribers; the first one also for those who are there already. The
    /// sampler's thread.
    public func updateProviders(_ states: [(id: String, timestamp: Instant, data: [UInt8])]) {
        let made = states.map {
            ProviderState(id: Array($0.id.utf8), frame: Hub.textFrame(type: "provider_status", timestamp: $0.timestamp, data: $0.data))
        }
        let waiting = state.withLock { state -> [Shard] in
            defer { state.providers = made }
            return state.providers == nil ? state.shards : []
        }
        for shard in waiting { shard.post { $0.deliverFirstProviders() } }
    }

    /// Frames of the present state of the providers that pass, and whether they have been looked at yet.
    func providerFrames(wanted: [[UInt8]]) -> (frames: [UInt8], isLooked: Bool) {
        state.withLock { state in
            let frames = (state.providers ?? []).reduce(into: [UInt8]()) {
                if wanted.isEmpty || wanted.contains($1.id) { $0.append(contentsOf: $1.frame) }
            }
            return (frames, state.providers != nil)
        }
    }

    /// A message without id as a frame.
    static func textFrame(type: String, timestamp: Instant, data: [UInt8]) -> [UInt8] {
        FrameWriter.frame(.text, ControlMessage.encode(type, at: timestamp, data: data))
    }

    // MARK: seeing inside

    /// How many events history holds, their bytes, and the first sequence that can be asked for.
    public func historySize() -> (events: Int, bytes: Int, oldest: UInt64) {
        state.withLock { ($0.events, $0.bytes, $0.history.first?.firstSequence ?? 1) }
    }

    public var shards: [Shard] { state.withLock { $0.shards } }
    public var clientCount: Int { clients.load(ordering: .relaxed) }
    public var connectionCount: Int { connections.load(ordering: .relaxed) }
    /// Sequence of the newest event; 0 before the first.
    public var newestSequence: UInt64 { head.load(ordering: .acquiring) - 1 }
}
