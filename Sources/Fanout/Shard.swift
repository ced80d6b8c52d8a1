// A serial queue and the connections that it owns: their table, their epoll, and the rounds in which they are served.

import Base
import CLinux
import Dispatch
import Glibc
import Host
import Protocol
import Synchronization

/// One shard. Everything below belongs to `queue`; other threads speak to it by `post`, `adopt` and `ringDoorbell` only.
///
/// Sockets are watched edge-triggered by the shard's own epoll, which one Dispatch source watches in turn: a wake-up is paid
/// once per round and not per socket. After a round the shard rests in `epoll_wait` for two milliseconds before it gives up its queue,
/// and what others post comes by a mailbox that it looks into: so the way through Dispatch, which is two context switches and as much
/// as four sends, is paid by the first message after a pause only.
public final class Shard: @unchecked Sendable {  // Sendable because all mutable state is used on `queue` only.
    public let number: Int
    public let queue: DispatchQueue
    public let counters = ShardCounters()
    /// What became of every event that was offered here.
    public let ledger = LossLedger()
    public let tlsCounters = TLSCounters()
    public let metrics = ShardMetrics()
    let hub: Hub
    let delegate: any ConnectionDelegate

    // MARK: for other threads
    private let mailbox: Mailbox
    /// A round of fan-out is asked for already.
    private let bell = Atomic<Bool>(false)
    /// The heartbeat loop's last beat that this shard answered.
    let answeredBeat = Atomic<UInt64>(0)

    // MARK: kernel
    private let epoll: Int32
    private var source: (any DispatchSourceRead)?
    private var timer: (any DispatchSourceTimer)?
    private let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: Shard.eventsMax)
    private static let eventsMax = 256
    private static let mailboxToken = UInt64.max
    private static let roundsMax = 64
    private static let restMilliseconds: Int32 = 2
    /// What was taken out of the mailbox; empty but for the time of a round.
    private var posted: [Mailbox.Block] = []

    // MARK: table of connections
    static let chunkSize = 256
    private static let chunksMax = 1024
    private let chunks = UnsafeMutablePointer<UnsafeMutablePointer<Client>>.allocate(capacity: Shard.chunksMax)
    private var chunkCount = 0
    private struct Place {
        var generation: UInt32 = 0
        var isTaken = false
    }
    private var places: [Place] = []
    private var freePlaces: [UInt32] = []
    /// Connections to be ended when the round is over: none goes while a loop may still hold its index.
    private var doomed: [UInt32] = []
    /// Clients that have more to send or to read than one round allows.
    private(set) var ready: [UInt32] = []
    /// A round is posted for them.
    private var goesOn = false
    /// Those of them have their turn now.
    private(set) var takesTurns = false
    /// Bytes that this round may still compress for clients with streams of their own.
    var compressionLeft = 0

    // MARK: shared by the connections
    private(set) var limits: Limits
    /// Where input is received; one for all.
    let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    let slots: SlotPool
    let tls = ShardTLS()
    /// Made when the first compressed message comes.
    var sharedInflater: Inflater?
    /// Groups by what they want, and the same as a list for the fan-out.
    var groups: [GroupKey: Group] = [:]
    var groupList: [Group] = []
    var statsGroups: [StatsGroup: StatsMembers] = [:]
    /// Takes no connection and no upgrade any more.
    var isDraining = false

    // MARK: fan-out
    /// The part of history that this shard may read, oldest first.
    var segments: [Segment] = []
    /// The first event that has not been fanned out here.
    var cursor: UInt64 = 1
    var runs: [Run] = []
    /// A batch is being handed out: what is delivered meanwhile is timed as a whole.
    var isHandingOut = false
    /// Bytes that the last write was asked to send.
    var sentPlan = 0

    // MARK: wheel
    let wheel = UnsafeMutablePointer<UInt32>.allocate(capacity: Wheel.buckets)
    /// The present tick, as of the beginning of the round.
    var tick: UInt32 = 1
    /// The wheel has been turned as far as this; what is set meanwhile for a later tick may be looked at too early, and then waits on.
    var turned: UInt32 = 1
    let tickOrigin: UInt64
    /// Spreads pings and goodbyes.
    var random = SeededRandom(seed: .random(in: .min ... .max))

    /// - Throws: `SystemError` where the kernel gives no epoll or eventfd.
    public init(number: Int, hub: Hub, delegate: any ConnectionDelegate) throws(SystemError) {
        self.number = number
        self.hub = hub
        self.delegate = delegate
        limits = hub.limits
        queue = DispatchQueue(label: "shard-\(number)")
        slots = SlotPool(spans: limits.ringSpansMax + 32)
        wheel.initialize(repeating: Wheel.none, count: Wheel.buckets)
        tickOrigin = hub.clock.monotonic()
        mailbox = try Mailbox()
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epoll >= 0 else { throw SystemError("epoll_create1") }
        var event = epoll_event()
        event.events = clinux_EPOLLIN | clinux_EPOLLET
        event.data.u64 = Shard.mailboxToken
        guard epoll_ctl(epoll, EPOLL_CTL_ADD, mailbox.descriptor, &event) == 0 else { throw SystemError("epoll_ctl") }
    }

    /// Starts serving. Once, after the hub knows all shards.
    public func start() {
        queue.sync {
            if let segment = hub.newestSegment() {
                segments = [segment]
                cursor = hub.head.load(ordering: .acquiring)
            }
            let source = DispatchSource.makeReadSource(fileDescriptor: epoll, queue: queue)
            source.setEventHandler { [self] in serve() }
            source.activate()
            self.source = source
            let timer = DispatchSource.makeTimerSource(queue: queue)
            timer.schedule(deadline: .now() + .milliseconds(Wheel.tickMilliseconds), repeating: .milliseconds(Wheel.tickMilliseconds))
            timer.setEventHandler { [self] in serve() }
            timer.activate()
            self.timer = timer
        }
    }

    @inline(__always)
    func assertOwned() {
        #if DEBUG
            dispatchPrecondition(condition: .onQueue(queue))
        #endif
    }

    /// Puts other limits in force.
    func apply(_ wanted: Limits) {
        assertOwned()
        let hasOtherTimes = wanted.heartbeatInterval != limits.heartbeatInterval || wanted.clientTimeout != limits.clientTimeout
        limits = wanted
        guard hasOtherTimes else { return }
        // Each looks at its times in the next tick, and finds out by itself what is due when.
        forEachClient { index, client in
            if client.pointee.flags.isDisjoint(with: [.http, .closing, .endAfterFlush, .ended]) { schedule(index, in: 1) }
        }
    }

    // MARK: from other threads

    /// Runs `body` on the shard's queue, after what was posted before; any thread.
    public func post(_ body: @escaping @Sendable (Shard) -> Void) {
        mailbox.leave(body)
        call()
    }

    /// Says that history has grown; any thread. Rings until the shard comes are one.
    func ringDoorbell() {
        if bell.exchange(true, ordering: .acquiringAndReleasing) { return }
        call()
    }

    private func call() {
        if mailbox.call() { queue.async { [self] in serve() } }
    }

    /// Hands over a connection; any thread.
    public func adopt(_ accepted: consuming AcceptedSocket) {
        let peer = accepted.peer
        let admission = accepted.admission
        let speaksTLS = accepted.speaksTLS
        let descriptor = accepted.release()
        counters.connections.add(1, ordering: .relaxed)
        post { $0.add(descriptor, from: peer, admission, speaksTLS: speaksTLS) }
    }

    // MARK: rounds

    private func serve() {
        assertOwned()
        readClock()
        if mailbox.wake() { takePosted() }
        // Bounded, so that whoever else wants the queue gets it.
        for _ in 0..<Shard.roundsMax {
            let rests = mailbox.rest()
            let count = epoll_wait(epoll, events, Int32(Shard.eventsMax), rests ? Shard.restMilliseconds : 0)
            // Before anything is done: what is posted from here on, by the connections of this very round too, needs no waking.
            let isCalled = mailbox.wake()
            readClock()
            compressionLeft = limits.roundCompressionMax
            dispatch(count)
            if mailbox.wake() || isCalled { takePosted() }
            // After reading, so that nobody is late whose bytes have been here in time.
            turnWheel()
            finishRound()
            if rests, count == 0, !isCalled, mailbox.idle() { return }
        }
        _ = mailbox.call()
        queue.async { [self] in serve() }
    }

    /// Does what was posted, and hands out what was published: all that the round has taken in, at once.
    private func takePosted() {
        mailbox.takeAll(&posted)
        for block in posted {
            block(self)
            finishRound()
        }
        posted.removeAll(keepingCapacity: true)
        // An exchange, not a store: it reads what the ringers wrote, and so sees the events that they rang for.
        if bell.exchange(false, ordering: .acquiringAndReleasing) { fanOut() }
    }

    private func dispatch(_ count: Int32) {
        for position in 0..<Int(max(count, 0)) {
            let event = events[position]
            if event.data.u64 == Shard.mailboxToken { continue }
            let index = UInt32(truncatingIfNeeded: event.data.u64)
            guard Int(index) < places.count, places[Int(index)].isTaken,
                places[Int(index)].generation == UInt32(truncatingIfNeeded: event.data.u64 >> 32)
            else { continue }
            let client = client(index)
            if event.events & clinux_EPOLLOUT != 0, client.pointee.flags.contains(.blocked) {
                client.pointee.flags.remove(.blocked)
                drain(index)
            }
            if event.events & (clinux_EPOLLRDHUP | clinux_EPOLLHUP | clinux_EPOLLERR) != 0 { client.pointee.flags.insert(.hungUp) }
            if event.events & (clinux_EPOLLIN | clinux_EPOLLRDHUP | clinux_EPOLLHUP | clinux_EPOLLERR) != 0,
                !client.pointee.flags.contains(.ended)
            {
                receive(index)
            }
        }
    }

    /// Ends a round: who had more than a round allows goes on, and who was doomed goes.
    func finishRound() {
        shakeHands()
        if !ready.isEmpty {
            let turn = ready
            ready.removeAll(keepingCapacity: true)
            takesTurns = true
            defer { takesTurns = false }
            var rest: [UInt32] = []
            for index in turn where places[Int(index)].isTaken {
                let client = client(index)
                guard client.pointee.flags.contains(.ready) else { continue }
                if waitsForCompression(client) {
                    rest.append(index)
                    continue
                }
                client.pointee.flags.remove(.ready)
                if !client.pointee.flags.contains(.blocked) { drain(index) }
                if client.pointee.flags.contains(.moreInput), !client.pointee.flags.contains(.ended) { receive(index) }
            }
            // Before those who have had a part.
            if !rest.isEmpty { ready = rest + ready }
            // Again, but after whatever else waits for the queue. Once, however many blocks a round runs: each would otherwise leave one more behind.
            if !ready.isEmpty, !goesOn {
                goesOn = true
                post { $0.goesOn = false }
            }
        }
        while let index = doomed.popLast() { destroy(index) }
    }

    /// Puts a client on the list for the next round.
    func markReady(_ index: UInt32) {
        let client = client(index)
        guard !client.pointee.flags.contains(.ready) else { return }
        client.pointee.flags.insert(.ready)
        ready.append(index)
    }

    // MARK: table

    @inline(__always)
    func client(_ index: UInt32) -> UnsafeMutablePointer<Client> {
        chunks[Int(index) / Shard.chunkSize] + Int(index) % Shard.chunkSize
    }

    /// The connection that `handle` means, if it still is there.
    func find(_ handle: ClientHandle) -> UInt32? {
        guard Int(handle.index) < places.count, places[Int(handle.index)].isTaken,
            places[Int(handle.index)].generation == handle.generation, !client(handle.index).pointee.flags.contains(.ended)
        else { return nil }
        return handle.index
    }

    /// Every connection of the table; the body must not end one.
    func forEachClient(_ body: (UInt32, UnsafeMutablePointer<Client>) -> Void) {
        for index in places.indices where places[index].isTaken { body(UInt32(index), client(UInt32(index))) }
    }

    private func add(_ descriptor: Int32, from peer: PeerAddress, _ admission: AddressGate.Admission?, speaksTLS: Bool) {
        assertOwned()
        guard !isDraining, let index = takePlace() else {
            _ = Glibc.close(descriptor)
            counters.connections.subtract(1, ordering: .relaxed)
            return
        }
        clinux_prepare(descriptor, limits.sendBufferBytes)
        let details = ClientDetails(
            id: hub.clientIDs.add(1, ordering: .relaxed).newValue, address: peer, since: hub.clock.now(),
            subscription: Subscription(statsInterval: limits.statsInterval))
        details.exchange = HTTPExchange(peer)
        details.admission = admission
        details.way = peer.isLocal ? .unix : speaksTLS ? .tls : .plain
        metrics.open(details.way)
        client(index).initialize(
            to: Client(
                receiver: FrameReceiver(messageBytesMax: limits.messageBytesMax, acceptsBinary: delegate.acceptsBinary), details: details))
        let client = client(index)
        client.pointee.descriptor = descriptor
        client.pointee.generation = places[Int(index)].generation
        client.pointee.flags = [.http]
        client.pointee.lastReceived = tick
        client.pointee.lastProgress = tick
        var event = epoll_event()
        event.events = clinux_EPOLLIN | clinux_EPOLLOUT | clinux_EPOLLRDHUP | clinux_EPOLLET
        event.data.u64 = UInt64(index) | UInt64(client.pointee.generation) << 32
        guard epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 else {
            end(index)
            return
        }
        schedule(index, in: Wheel.ticks(limits.requestTime))
        let total = hub.connections.add(1, ordering: .relaxed).newValue
        client.pointee.flags.insert(.counted)
        if total > limits.clientsMax + limits.httpConnectionsMax {
            counters.refused.add(1, ordering: .relaxed)
            hub.refusals.add(.connections)
            // A handshake would cost more than the refusal is worth.
            if speaksTLS { return end(index) }
            answer(index, .error(503, "too many connections", fields: [("Retry-After", "5")]), keepAlive: false, headOnly: false)
        } else if speaksTLS {
            beginTLS(index)
        }
        // What has come already is an event of the epoll.
    }

    private func takePlace() -> UInt32? {
        if let index = freePlaces.popLast() {
            places[Int(index)].isTaken = true
            return index
        }
        let index = places.count
        if index == chunkCount * Shard.chunkSize {
            guard chunkCount < Shard.chunksMax else { return nil }
            (chunks + chunkCount).initialize(to: .allocate(capacity: Shard.chunkSize))
            chunkCount += 1
        }
        places.append(Place(generation: 1, isTaken: true))
        return UInt32(index)
    }

    /// Ends a connection when the round is over; at once it takes part in nothing any more.
    func end(_ index: UInt32) {
        assertOwned()
        let client = client(index)
        guard !client.pointee.flags.contains(.ended) else { return }
        client.pointee.flags.insert(.ended)
        doomed.append(index)
    }

    private func destroy(_ index: UInt32) {
        let client = client(index)
        if client.pointee.flags.contains(.tls) { destroyTLS(index) }
        leaveGroups(index)
        unschedule(index)
        while let span = client.pointee.ring.peek(0, capacity: slots.capacity) {
            abandon(span.pointee, of: client)
            client.pointee.ring.pop()
        }
        if let memory = client.pointee.ring.takeBack() { slots.giveBack(memory) }
        endCompression(client)
        if client.pointee.flags.contains(.counted) { hub.connections.subtract(1, ordering: .relaxed) }
        metrics.end(client.pointee.details.way)
        if !client.pointee.flags.contains(.http) {
            logDisconnected(index)
            metrics.end(client.pointee.details.ending, of: client.pointee.encoding.spoken)
            if client.pointee.details.awaiting != nil { hub.awaiting.subtract(1, ordering: .relaxed) }
            hub.clients.subtract(1, ordering: .relaxed)
            counters.clients.subtract(1, ordering: .relaxed)
            hub.endFrames(client.pointee.encoding)
        } else if client.pointee.flags.contains(.plainHTTP) {
            hub.httpConnections.subtract(1, ordering: .relaxed)
        }
        counters.connections.subtract(1, ordering: .relaxed)
        // The kernel takes a closed descriptor out of the epoll by itself.
        _ = Glibc.close(client.pointee.descriptor)
        client.deinitialize(count: 1)
        places[Int(index)].generation &+= 1
        places[Int(index)].isTaken = false
        freePlaces.append(index)
    }
}

/// Names a connection across threads and time; stale ones are recognised.
public struct ClientHandle: Sendable, Hashable {
    let index: UInt32
    let generation: UInt32
}

/// What a shard counts. Written by its queue (and `connections` by acceptors), summed by whoever asks.
public final class ShardCounters: Sendable {
    public let connections = Atomic<Int>(0)
    public let clients = Atomic<Int>(0)
    let logs = Atomic<Int>(0)
    let stats = Atomic<Int>(0)
    let providers = Atomic<Int>(0)
    let requests = Atomic<Int>(0)
    let all = Atomic<Int>(0)
    public let bytesSent = Atomic<UInt64>(0)
    public let gaps = Atomic<UInt64>(0)
    public let refused = Atomic<UInt64>(0)
    public let messagesReceived = Atomic<UInt64>(0)
    public let protocolErrors = Atomic<UInt64>(0)
    public let rateLimited = Atomic<UInt64>(0)
    /// Connections that had not taken everything when the daemon stopped.
    public let cutOff = Atomic<Int>(0)
    init() {}

    /// Clients subscribed to a channel by that name.
    public func subscriptions(to channel: Channel) -> Int {
        switch channel {
        case .logs: logs.load(ordering: .relaxed)
        case .stats: stats.load(ordering: .relaxed)
        case .providers: providers.load(ordering: .relaxed)
        case .requests: requests.load(ordering: .relaxed)
        case .all: all.load(ordering: .relaxed)
        }
    }

    func count(_ channels: ChannelSet, by step: Int) {
        for channel in channels.channels {
            switch channel {
            case .logs: logs.add(step, ordering: .relaxed)
            case .stats: stats.add(step, ordering: .relaxed)
            case .providers: providers.add(step, ordering: .relaxed)
            case .requests: requests.add(step, ordering: .relaxed)
            case .all: all.add(step, ordering: .relaxed)
            }
        }
    }
}
