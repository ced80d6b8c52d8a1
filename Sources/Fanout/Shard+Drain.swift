// The daemon stops: everyone is told when to come back, is given what waits for it, and is closed.

import Base
import Host
import Protocol

extension Response {
    /// What a request gets that would begin something, or change something.
    public static let stopping = Response.error(503, "the daemon is stopping", fields: [("Retry-After", "5")])
}

extension Hub {
    /// Takes no event any more and says goodbye to every connection of every shard. Once; what is published before is given.
    ///
    /// - Parameter told: is given the number of clients, when all of them are counted and before any is told; called on the queue of
    ///   a shard, or by what is given back.
    /// - Returns: goes on without the shards that have not answered by then. They say goodbye when they do.
    @discardableResult
    public func drain(told: @escaping @Sendable (Int) -> Void = { _ in }) -> @Sendable () -> Void {
        seal()
        replays.stop()
        // Counted on all shards first: each client's slot depends on how many there are, and from then on there are only fewer.
        let count = HeadCount(shards.count, limits, told)
        if shards.isEmpty { count.close() }
        for shard in shards { shard.post { count.add($0, $0.stopServing()) } }
        return { count.close() }
    }

    /// Ends whatever is still there.
    /// - Parameter then: is given the number of connections that had not taken everything; called as in `ask`.
    public func cutOff(then: @escaping @Sendable (Int) -> Void) { ask({ $0.cutOff() }) { then($0.reduce(0, +)) } }
}

/// Counts the clients of all shards, and has each shard say goodbye. Any thread.
private final class HeadCount: Sendable {
    private struct State {
        var missing: Int
        /// Those that have answered and say nothing yet.
        var counted: [(shard: Shard, clients: Int)] = []
        /// Clients that have a slot.
        var clients = 0
        var isClosed = false
    }
    private let state: Locked<State>
    private let limits: Limits
    private let told: @Sendable (Int) -> Void

    init(_ shards: Int, _ limits: Limits, _ told: @escaping @Sendable (Int) -> Void) {
        state = Locked(State(missing: shards))
        (self.limits, self.told) = (limits, told)
    }

    /// A shard has counted its clients. The last one closes the count.
    func add(_ shard: Shard, _ clients: Int) {
        let goesOn = state.withLock { state in
            state.missing -= 1
            state.counted.append((shard, clients))
            return state.missing == 0 || state.isClosed
        }
        if goesOn { close() }
    }

    /// Those that have answered say goodbye. One that answers later does so in the slots that it adds to the window.
    func close() {
        let (isFirst, first, counted) = state.withLock { state in
            defer {
                state.clients += state.counted.reduce(0) { $0 + $1.clients }
                (state.counted, state.isClosed) = ([], true)
            }
            return (!state.isClosed, state.clients, state.counted)
        }
        let window = DrainWindow(clients: first + counted.reduce(0) { $0 + $1.clients }, limits)
        if isFirst { told(window.clients) }
        var number = first
        for (shard, clients) in counted {
            shard.post { [number] in $0.sayGoodbye(from: number, in: window) }
            number += clients
        }
    }
}

extension Shard {
    /// How often a connection that is draining is looked at.
    private static let look = Duration.seconds(1)

    /// Refuses upgrades from now on, and ends HTTP connections: idle ones at once, others behind the answer in the making, those that have
    /// not asked anything yet behind the answer to what they ask within a second.
    /// - Returns: how many clients are to be told.
    func stopServing() -> Int {
        assertOwned()
        isDraining = true
        var others: [UInt32] = []
        forEachClient { index, client in if client.pointee.flags.contains(.http) { others.append(index) } }
        for index in others { retire(index) }
        return drainable().count
    }

    /// Clients that nobody has said goodbye to.
    private func drainable() -> [UInt32] {
        var found: [UInt32] = []
        forEachClient { index, client in if client.pointee.flags.isDisjoint(with: [.http, .closing, .ended]) { found.append(index) } }
        return found
    }

    /// Lets an HTTP connection end with the answer to what it has asked.
    private func retire(_ index: UInt32) {
        let client = client(index)
        if client.pointee.flags.contains(.ended) { return }
        // What has arrived by now has been asked.
        receive(index)
        guard let exchange = client.pointee.details.exchange, !client.pointee.flags.contains(.ended) else { return }
        beginDraining(client)
        // Its answer will be the last.
        if client.pointee.flags.contains(.answering) { return }
        schedule(index, in: Wheel.ticks(Shard.look))
        if !client.pointee.flags.isDisjoint(with: [.endAfterFlush, .lingering]) { return }
        if exchange.head != nil {
            // A request with a body wants to change something, and nothing is changed any more.
            exchange.head = nil
            answer(index, .stopping, keepAlive: false, headOnly: false)
        } else if !client.pointee.isFlushed {
            client.pointee.flags.insert(.endAfterFlush)
        } else if exchange.input.isEmpty, exchange.requests > 0 {
            end(index)
        }
        // Of who has just connected the request is on its way: it is answered, if only by a refusal.
    }

    /// Tells every client when to come back, and closes it as soon as it has everything.
    /// - Parameter first: the number of the first client of this shard in the window.
    func sayGoodbye(from first: Int, in window: DrainWindow) {
        assertOwned()
        // The doorbell for the last events may still be on its way. From here on nothing is handed out any more.
        fanOut()
        for (number, index) in drainable().enumerated() {
            sayGoodbye(to: index, delay: window.delay(of: first + number, using: &random))
        }
    }

    private func sayGoodbye(to index: UInt32, delay: Int) {
        let client = client(index)
        let words = framed(.drain(reconnectMilliseconds: delay, position: position(of: client), at: hub.clock.now()), for: index)
        beginDraining(client)
        // A replay from the sources takes as long as the disk wants. What is held back for it goes with it, since an event of now would
        // settle what the replay has not given; the client will ask again from where it was.
        if client.pointee.details.backlog?.job != nil { abandonBacklog(client) }
        enqueue(words, for: index)
        schedule(index, in: Wheel.ticks(Shard.look))
        // Who is behind is closed when it has caught up.
        if !client.pointee.flags.contains(.behind) { farewell(index) }
        if !client.pointee.flags.contains(.blocked) { drain(index) }
    }

    /// Puts the last word behind everything that a client was to be given.
    func farewell(_ index: UInt32) {
        note(.closed(.goingAway), of: index)
        finish(index, hub.framer.lastWords(.goingAway, as: client(index).pointee.encoding))
    }

    // MARK: bounds

    private func beginDraining(_ client: UnsafeMutablePointer<Client>) {
        client.pointee.flags.insert(.draining)
        client.pointee.lastProgress = tick
        client.pointee.details.taken = taken(by: client)
    }

    /// Bytes that the peer's kernel has taken. Not those that ours has taken from us: of a slow reader's bytes it takes none for a while,
    /// and then many at once.
    private func taken(by client: UnsafeMutablePointer<Client>) -> Int64 {
        Int64(clamping: client.pointee.bytesSent) - Int64(Socket.unsentBytes(client.pointee.descriptor))
    }

    /// How long a connection that says its last words is left to itself.
    func lastWait(_ client: UnsafeMutablePointer<Client>) -> UInt32 {
        Wheel.ticks(client.pointee.flags.contains(.draining) ? Shard.look : limits.closeTime)
    }

    /// Looks whether a connection still takes what it is given. Its deadline has come.
    func lookAtDraining(_ index: UInt32) {
        let client = client(index)
        let taken = taken(by: client)
        if taken != client.pointee.details.taken {
            client.pointee.details.taken = taken
            client.pointee.lastProgress = tick
        }
        if let exchange = client.pointee.details.exchange, exchange.requests == 0, exchange.input.isEmpty { return end(index) }
        let patience = hasEverything(client) ? limits.closeTime : limits.drainStallTime
        if tick &- client.pointee.lastProgress >= Wheel.ticks(patience) {
            cutOff(index)
        } else {
            schedule(index, in: Wheel.ticks(Shard.look))
        }
    }

    /// Whether nothing is on its way to the peer any more.
    private func hasEverything(_ client: UnsafeMutablePointer<Client>) -> Bool {
        client.pointee.isFlushed && !client.pointee.flags.contains(.behind) && Socket.unsentBytes(client.pointee.descriptor) == 0
    }

    private func cutOff(_ index: UInt32) {
        if !hasEverything(client(index)) {
            counters.cutOff.add(1, ordering: .relaxed)
            // Also where a close frame waits: it has not come to that.
            client(index).pointee.details.ending = .cutOff
        }
        end(index)
    }

    /// Ends every connection.
    /// - Returns: how many had not taken everything, those of before included.
    func cutOff() -> Int {
        assertOwned()
        var left: [UInt32] = []
        forEachClient { index, client in if !client.pointee.flags.contains(.ended) { left.append(index) } }
        for index in left { cutOff(index) }
        return counters.cutOff.load(ordering: .relaxed)
    }
}
