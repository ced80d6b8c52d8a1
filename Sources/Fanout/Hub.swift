// The middle: numbers events, keeps them in history, and wakes the shards.

import Base
import Host
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
    public let clock: any Clock
    /// The live readers of the sources have begun by then, or they count from the start.
    private static let startMilliseconds: Int64 = 10_000
    /// Wall clock of the start.
    let started: Instant

    /// The sequence of the next event. Writer: `publish`, under the lock, with release after the event is in its segment.
    /// Readers: the shards, with acquire.
    let head = Atomic<UInt64>(1)
    /// Clients, and connections in all. Writers: the shards.
    let clients = Atomic<Int>(0)
    let connections = Atomic<Int>(0)
    /// Connections that have asked for something else than an upgrade.
    let httpConnections = Atomic<Int>(0)
    /// Those of `clients` that have still to say who they are.
    let awaiting = Atomic<Int>(0)
    let clientIDs = Atomic<UInt64>(0)
    /// Events published per channel. Writer: `publish`, under the lock; readers: any.
    let published: LossLedger = LossLedger()
    /// The same per channel and publisher, and states of statistics.
    private let publishers = CounterCells(Channel.allCases.count * Publisher.allCases.count)
    /// Replays that are read from the sources, and those that have to look for their place in history.
    public let replays: ReplayPool
    /// Of clients and of channels.
    public let gaps = GapCounters()
    /// Bounds the connections of each address.
    public let gate: AddressGate
    /// Who was turned away.
    public var refusals: RefusalCounters { gate.refusals }
    /// Masks secrets in all that goes out.
    public let redaction = Redaction()

    /// Makes the frames of everything that is sent.
    public let framer: Framer
    /// Compressors that clients have of their own.
    public let contexts = ContextMemory()

    private struct State {
        var limits: Limits
        var history: [Segment]
        var events = 0
        var bytes = 0
        /// Clients of each encoding, and those encodings in use whose frames are made ahead.
        var readers = [Int](repeating: 0, count: Encoding.count)
        var madeAhead: [Encoding] = []
        /// The newest state of each provider, by the provider's id: what the next one supersedes.
        var newestStates: [[UInt8]: UInt64] = [:]
        /// Per real channel: the latest instant of an event that only history had, and has let go of.
        var lastUnkept = InlineArray<4, Int64>(repeating: .min)
        var shards: [Shard] = []
        var stats: [StatsGroup: StatsState] = [:]
        var statsNumbers: UInt32 = 0
        var statsSource: (any StatsSource)?
        /// Nil before the first look.
        var providers: [ProviderState]?
        /// Takes no event any more, and forgets none.
        var isSealed = false
    }
    private struct StatsState {
        var number: UInt32
        /// Of each encoding.
        var members = [Int](repeating: 0, count: Encoding.count)
        var frames: StateFrames?
    }
    private struct ProviderState {
        var id: [UInt8]
        var message: ControlMessage
    }
    private let state: Locked<State>

    public init(limits: Limits, clock: any Clock) {
        self.clock = clock
        gate = AddressGate(rules: limits.addressRules, clock: clock)
        started = clock.now()
        epoch = Epoch(started)
        let framer = Framer(thresholdBytes: limits.compression.thresholdBytes)
        self.framer = framer
        state = Locked(
            State(
                limits: limits,
                history: [Segment(firstSequence: 1, entriesMax: limits.segmentEvents, bytesMax: limits.segmentBytes, framer: framer)]))
        replays = ReplayPool(limits: limits, clock: clock)
    }

    /// What bounds the engine now. Any thread.
    public var limits: Limits { state.withLock { $0.limits } }

    /// Puts other limits in force, here and in the shards. Nobody is disconnected by it; `ringSpansMax` stays as it was, and
    /// `messageBytesMax` and `statsInterval` hold for connections and subscriptions that begin from now on. Any thread.
    public func apply(_ wanted: Limits) {
        let (limits, shards) = state.withLock { state in
            let ringSpansMax = state.limits.ringSpansMax
            state.limits = wanted
            state.limits.ringSpansMax = ringSpansMax
            retire(&state, now: clock.monotonic())
            return (state.limits, state.shards)
        }
        replays.apply(limits)
        gate.apply(limits.addressRules)
        framer.thresholdBytes.store(limits.compression.thresholdBytes, ordering: .relaxed)
        for shard in shards { shard.post { $0.apply(limits) } }
    }

    /// Makes the shards known. Once, before the first event.
    public func attach(_ shards: [Shard]) { state.withLock { $0.shards = shards } }

    /// Where stats come from. Once, before the first client.
    public func setStatsSource(_ source: any StatsSource) { state.withLock { $0.statsSource = source } }

    /// Where events older than history come from, for replays that begin from now on. Any thread.
    public func setArchive(_ archive: any Archive) { replays.setArchive(archive) }

    /// The segment that a new shard starts reading at.
    func newestSegment() -> Segment? { state.withLock { $0.history.last } }

    // MARK: publishing

    /// Puts events into history, in order and without others between, and wakes the shards. Any thread.
    /// - Parameter drafts: at least one; none is too large for a segment of its own, which has 32-bit offsets.
    /// - Returns: the sequences of the first and the last; nil where the hub is sealed and has taken none.
    @discardableResult
    public func publish(_ drafts: [EventDraft]) -> ClosedRange<UInt64>? {
        precondition(!drafts.isEmpty)
        let drafts = redaction.masked(drafts)
        let published = clock.monotonic()
        let taken = state.withLock { state -> (ClosedRange<UInt64>, [Shard])? in
            if state.isSealed { return nil }
            let first = head.load(ordering: .relaxed)
            var sequence = first
            let firstTouched = state.history.count - 1
            for draft in drafts {
                let need = Segment.bytesNeeded(draft)
                // Also by age: history lets go of whole segments, so a segment must not span more than a part of `max_age`.
                if let current = state.history.last, !current.fits(need) || isOld(current, published, state.limits.historyAge) {
                    extend(&state, from: sequence, room: need)
                }
                guard let current = state.history.last else { preconditionFailure("history has at least one segment") }
                let before = current.bytesUsed
                current.add(draft, id: (epoch, sequence), published: published)
                if draft.isConflatable { supersede(&state, by: sequence, in: current) }
                state.events += 1
                state.bytes += current.bytesUsed - before
                self.published.add(.offered, draft.channel, 1)
                publishers.add(Hub.cell(draft.channel, draft.publisher))
                sequence += 1
            }
            for encoding in state.madeAhead {
                for segment in state.history[firstTouched...] { segment.fillFrames(encoding) }
            }
            head.store(sequence, ordering: .releasing)
            retire(&state, now: published)
            return (first...sequence - 1, state.shards)
        }
        guard let (range, shards) = taken else { return nil }
        for shard in shards { shard.ringDoorbell() }
        return range
    }

    /// Takes no event from now on: `head` is final when this returns. History keeps what it has, so that all of it can still be given.
    func seal() { state.withLock { $0.isSealed = true } }

    /// Lets go of events that are too old. Called by the heartbeat loop.
    public func expire() {
        let now = clock.monotonic()
        state.withLock { state in
            let age = state.limits.historyAge
            // The newest segment cannot go while it is the only one.
            if !state.isSealed, let newest = state.history.last, newest.count > 0, now > age, newest.lastPublished < now - age {
                extend(&state, from: head.load(ordering: .relaxed), room: 0)
            }
            retire(&state, now: now)
        }
    }

    private func isOld(_ segment: Segment, _ now: UInt64, _ age: UInt64) -> Bool {
        // Publishers read the clock before they have the lock, so that another one's time may be later.
        segment.count > 0 && now > segment.firstPublished && now - segment.firstPublished > age / 16
    }

    /// Puts a new segment behind the newest.
    private func extend(_ state: inout State, from sequence: UInt64, room need: Int) {
        let segment = Segment(
            firstSequence: sequence, entriesMax: state.limits.segmentEvents, bytesMax: max(state.limits.segmentBytes, need), framer: framer)
        state.history.last?.link(segment)
        state.history.append(segment)
    }

    /// Notes that the state of a provider, the newest event of `segment`, takes the place of the one before.
    private func supersede(_ state: inout State, by sequence: UInt64, in segment: Segment) {
        let id = segment.entry(at: segment.count - 1).pointee.providerID
        guard id.isPresent else { return }
        let provider = Array(segment.text(of: id))
        if let before = state.newestStates.updateValue(sequence, forKey: provider),
            let holder = state.history.last(where: { $0.firstSequence <= before })
        {
            holder.supersede(Int(before - holder.firstSequence), by: sequence)
        }
    }

    /// Gives segments that history no longer needs to the shards to let go of. A segment stays until the rest holds all that
    /// history promises.
    private func retire(_ state: inout State, now: UInt64) {
        let limits = state.limits
        let age = limits.historyAge
        if state.isSealed { return }
        while state.history.count > 1, let oldest = state.history.first {
            let isSurplus =
                state.events - oldest.count >= limits.historyEventsMax || state.bytes - oldest.bytesUsed >= limits.historyBytesMax
                || now > age && oldest.lastPublished < now - age
            guard isSurplus else { return }
            state.history.removeFirst()
            state.events -= oldest.count
            state.bytes -= oldest.bytesUsed
            oldest.beginRetirement(holders: state.shards.count)
            for shard in state.shards { shard.post { $0.letGo(oldest) } }
            for channel in 0..<4 { state.lastUnkept[channel] = max(state.lastUnkept[channel], oldest.lastUnkept[channel]) }
            if let first = state.history.first?.firstSequence {
                for (provider, sequence) in state.newestStates where sequence < first { state.newestStates[provider] = nil }
            }
        }
    }

    // MARK: frames

    /// Counts a client that reads frames of an encoding; from the first on, frames that are made ahead are made as events come in.
    func beginFrames(_ encoding: Encoding) { countReaders(encoding, by: 1) }
    func endFrames(_ encoding: Encoding) { countReaders(encoding, by: -1) }

    private func countReaders(_ encoding: Encoding, by step: Int) {
        state.withLock { state in
            state.readers[encoding.index] += step
            state.madeAhead = Encoding.allCases.filter { $0.isMadeAhead && state.readers[$0.index] > 0 }
        }
    }

    // MARK: state: stats and providers

    /// A client joins a stats group. Called by its shard.
    /// - Returns: the group's number and the present state, if there is one.
    func join(_ group: StatsGroup, _ encoding: Encoding) -> (number: UInt32, present: StateFrame?) {
        let (number, frame, source) = state.withLock { state in
            var joined: StatsState
            let isFirst: Bool
            if let present = state.stats[group] {
                (joined, isFirst) = (present, false)
            } else {
                state.statsNumbers += 1
                (joined, isFirst) = (StatsState(number: state.statsNumbers), true)
            }
            joined.members[encoding.index] += 1
            let frame = joined.frames?.make(encoding, framer)
            state.stats[group] = joined
            return (joined.number, frame, isFirst ? state.statsSource : nil)
        }
        source?.watch(group)
        return (number, frame)
    }

    func leave(_ group: StatsGroup, _ encoding: Encoding) {
        let source = state.withLock { state -> (any StatsSource)? in
            guard var members = state.stats[group]?.members, members[encoding.index] > 0 else { return nil }
            members[encoding.index] -= 1
            if members.contains(where: { $0 > 0 }) {
                state.stats[group]?.members = members
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
        var made = StateFrames(ControlMessage("stats_update", at: instant, data: redaction.masked(data)))
        let shards = state.withLock { state -> [Shard] in
            guard let members = state.stats[group]?.members else { return [] }
            for encoding in Encoding.allCases where members[encoding.index] > 0 { _ = made.make(encoding, framer) }
            state.stats[group]?.frames = made
            return state.shards
        }
        if !shards.isEmpty { publishers.add(Hub.cell(.stats, .stats)) }
        for shard in shards { shard.post { [made] in $0.deliver(made, to: group) } }
    }

    /// The present state of each provider, for new subscribers; the first one also for those who are there already. The
    /// sampler's thread.
    public func updateProviders(_ states: [(id: String, timestamp: Instant, data: [UInt8])]) {
        let made = states.map {
            ProviderState(id: Array($0.id.utf8), message: ControlMessage("provider_status", at: $0.timestamp, data: redaction.masked($0.data)))
        }
        let waiting = state.withLock { state -> [Shard] in
            defer { state.providers = made }
            return state.providers == nil ? state.shards : []
        }
        for shard in waiting { shard.post { $0.deliverFirstProviders() } }
    }

    /// Frames of the present state of the providers that pass, and whether they have been looked at yet.
    func providerFrames(_ encoding: Encoding, wanted: [[UInt8]]) -> (frames: [UInt8], isLooked: Bool) {
        guard let present = state.withLock({ $0.providers }) else { return ([], false) }
        let frames = present.reduce(into: [UInt8]()) {
            if wanted.isEmpty || wanted.contains($1.id) { $0.append(contentsOf: framer.frame($1.message, as: encoding)) }
        }
        return (frames, true)
    }

    // MARK: seeing inside

    /// The segments of history as they are, oldest first, and the head below which they may be read. The segments live as long as the
    /// answer is kept. Any thread.
    /// - Parameter note: is told the head before anything else is published.
    func snapshot(_ note: (UInt64) -> Void = { _ in }) -> (segments: [Segment], head: UInt64) {
        state.withLock {
            let head = self.head.load(ordering: .acquiring)
            note(head)
            return ($0.history, head)
        }
    }

    /// The instant from which on history has everything that was published since: that of its first event, or the start of the
    /// daemon. Any thread.
    func coverage() -> Instant {
        let now = clock.monotonic()
        let (first, isWhole) = state.withLock { state -> (UInt64, Bool) in
            guard let oldest = state.history.first else { return (now, false) }
            return (oldest.count == 0 ? now : oldest.firstPublished, oldest.firstSequence == 1)
        }
        // The sources begin a moment after the hub; for what was written until then, they are asked.
        if isWhole { return min(started.advanced(byMilliseconds: Hub.startMilliseconds), clock.now()) }
        return clock.now().advanced(byMilliseconds: -Int64(clamping: (now > first ? now - first : 0) / 1_000_000))
    }

    /// Those of some channels on which events from an instant on are gone: history has let go of them, and no source keeps them. Any thread.
    func gone(of channels: ChannelSet, since: Instant) -> ChannelSet {
        let last = state.withLock { $0.lastUnkept }
        return channels.channels.reduce(into: []) {
            guard $1 != .all, last[Int($1.rawValue)] > .min else { return }
            if last[Int($1.rawValue)] >= since.microseconds { $0.insert(ChannelSet($1)) }
        }
    }

    /// How many events history holds, their bytes, and the first sequence that can be asked for.
    public func historySize() -> (events: Int, bytes: Int, oldest: UInt64) {
        state.withLock { ($0.events, $0.bytes, $0.history.first?.firstSequence ?? 1) }
    }

    public var shards: [Shard] { state.withLock { $0.shards } }
    /// Events published on a channel since the start.
    public func publishedCount(_ channel: Channel) -> UInt64 { published.count(.offered, channel) }
    /// The same by who published them; of the statistics, states made for a group of subscribers.
    public func publishedCount(_ channel: Channel, by publisher: Publisher) -> UInt64 { publishers[Hub.cell(channel, publisher)] }
    private static func cell(_ channel: Channel, _ publisher: Publisher) -> Int {
        Int(channel.rawValue) * Publisher.allCases.count + (Publisher.allCases.firstIndex(of: publisher) ?? 0)
    }
    public var clientCount: Int { clients.load(ordering: .relaxed) }
    public var connectionCount: Int { connections.load(ordering: .relaxed) }
    /// Sequence of the newest event; 0 before the first.
    public var newestSequence: UInt64 { head.load(ordering: .acquiring) - 1 }
}
