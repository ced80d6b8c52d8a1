// One worker process: a thread, an epoll, its share of the clients, and in the first worker the publisher.

import Base
import CLinux
import Glibc
import Host
import Protocol

/// Obeys the coordinator on standard input, and reports to it on standard output. Owner: the main thread, the only one.
public final class Worker {
    enum Phase: UInt8 {
        case unborn, connecting, securing, upgrading
        /// Reads.
        case open
        /// Does not read.
        case slow
        case ended
    }

    /// One client. Flat, in one array.
    struct Connection {
        var link: Link?
        var phase = Phase.unborn
    }

    static let eventsMax = 64
    static let commandsTag = UInt64.max
    static let publisherTag = UInt64.max - 1
    private static let tickNanoseconds: UInt64 = 100_000_000

    let plan: BenchPlan
    let index: Int
    /// The numbers of its clients.
    let range: Range<Int>
    let connections: UnsafeMutablePointer<Connection>
    let epoll: Int32
    let clock = SystemClock()
    var address: ServerAddress?
    var tls: TLSClientContext?
    var check: DeliveryCheck?
    var publisher: Publisher?
    private var shape: EventShape?

    /// Connecting: see `Worker+Connecting.swift`.
    var nextToConnect = 0
    var underWay = 0
    var connected = 0
    /// All are connected, and that has been reported.
    var hasConnected = false
    var connectStart: UInt64 = 0
    var lastConnect: UInt64 = 0
    /// The parts of answers to handshakes that came in several.
    var heads: [Int: [UInt8]] = [:]

    private var lines = LineBuffer()
    private var isFinished = false
    private var isWatchedForWriting = false
    private var partFirst: UInt32 = 0
    private var partCPU: UInt64 = 0
    /// To be reported once everything before it is settled.
    private var settling: (before: UInt32?, expected: UInt64, since: UInt64)?
    private var nextTick: UInt64 = 0
    /// Events that the clients get of `period` ones, together.
    private var deliveriesPerPeriod: UInt64 = 0

    /// - Throws: when the process has no descriptor left.
    public init(_ plan: BenchPlan, index: Int) throws(BenchError) {
        self.plan = plan
        self.index = index
        range = plan.clients(of: index)
        connections = .allocate(capacity: max(1, range.count))
        connections.initialize(repeating: Connection(), count: max(1, range.count))
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epoll >= 0 else { throw BenchError("\(SystemError("epoll_create1"))") }
    }

    deinit {
        connections.deallocate()
        close(epoll)
    }

    /// Works until the coordinator has had enough.
    /// - Returns: the exit code.
    public func run() -> Int32 {
        // write(2) by OpenSSL to a connection that is gone.
        signal(SIGPIPE, SIG_IGN)
        // Time-outs of the open loop are fractions of a millisecond.
        clinux_wake_in_time(1)
        // Else it would be called by the link through which it was started.
        clinux_name_thread("goleapai-ws")
        _ = Socket.raiseDescriptorLimit()
        guard watch(0, Worker.commandsTag, clinux_EPOLLIN) else { return 1 }
        withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: Worker.eventsMax) { events in
            guard let base = events.baseAddress else { return }
            while !isFinished { turn(base) }
        }
        for client in 0..<range.count { end(client, politely: true) }
        return 0
    }

    // MARK: turns

    private func turn(_ events: UnsafeMutablePointer<epoll_event>) {
        let wake = min(nextTick, publisher?.due ?? .max)
        let now = clock.monotonic()
        let wait = wake > now ? wake - now : 0
        var timeout = timespec(tv_sec: Int(wait / 1_000_000_000), tv_nsec: Int(wait % 1_000_000_000))
        let count = epoll_pwait2(epoll, events, Int32(Worker.eventsMax), &timeout, nil)
        guard count >= 0 || errno == EINTR else { return fail("\(SystemError("epoll_pwait2"))") }
        for number in 0..<max(0, Int(count)) {
            let (tag, what) = (events[number].data.u64, events[number].events)
            switch tag {
            case Worker.commandsTag: obey()
            case Worker.publisherTag: publisher?.receive(at: clock.monotonic())
            default: happened(Int(truncatingIfNeeded: tag), what)
            }
        }
        after()
    }

    private func after() {
        var now = clock.monotonic()
        if let publisher {
            // The socket would come up again only behind all clients that have something to read.
            if publisher.isBlocked { publisher.receive(at: now) }
            pump(publisher, at: now)
            if let result = publisher.takeResult() { report(.published(result)) }
            if let why = publisher.failure { return fail(why) }
            if publisher.wantsToWrite != isWatchedForWriting {
                isWatchedForWriting = publisher.wantsToWrite
                rewatch(publisher.descriptor, Worker.publisherTag, clinux_EPOLLIN | (isWatchedForWriting ? clinux_EPOLLOUT : 0))
            }
        }
        if !hasConnected { connectMore() }
        settle()
        if now >= nextTick {
            now = clock.monotonic()
            nextTick = now + Worker.tickNanoseconds
            tick(now)
        }
    }

    @inline(__always)
    private func happened(_ client: Int, _ what: UInt32) {
        guard connections[client].phase == .open, let link = connections[client].link, let check else { return advance(client, what) }
        while true {
            let room = check.room(for: client)
            switch link.read(into: room) {
            case .bytes(let count):
                let now = clock.monotonic()
                guard check.received(count, by: client, at: now) else { return end(client, politely: false) }
                if let publisher, now >= publisher.due { pump(publisher, at: now) }
                // Of TLS there may be more, which would wake nobody.
                if count < room.count || !link.isSecure { return }
            case .wait, .waitToWrite: return
            case .closed: return lost(client, "the server has closed the connection")
            case .failed(let why): return lost(client, "the connection broke: \(why)")
            }
        }
    }

    private func pump(_ publisher: Publisher, at now: UInt64) {
        guard publisher.isBusy else { return }
        var lag: UInt64 = 0
        if plan.pace == .fullSpeed, deliveriesPerPeriod > 0, let check {
            let received = check.settled * UInt64(shape?.period ?? 1) / deliveriesPerPeriod
            lag = publisher.published > received ? publisher.published - received : 0
        }
        publisher.pump(at: now, lag: lag)
    }

    /// A client that is not wanted to go has gone.
    private func lost(_ client: Int, _ why: String) {
        check?.ended(client, why)
        end(client, politely: false)
    }

    func end(_ client: Int, politely: Bool) {
        guard let link = connections[client].link else { return }
        let phase = connections[client].phase
        if politely, phase == .open || phase == .slow {
            // RFC 6455 §5.5.1: code 1000, masked with zeros.
            let frame: [UInt8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]
            _ = frame.withUnsafeBytes { link.write($0) }
        }
        link.close()
        connections[client].link = nil
        connections[client].phase = .ended
    }

    // MARK: commands

    private func obey() {
        var part = [UInt8](repeating: 0, count: 65_536)
        let count = read(0, &part, part.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return }
        // The coordinator is gone.
        guard count > 0 else { return isFinished = true }
        for line in lines.feed(part[..<count]) {
            guard let line, let command = WorkerCommand(line) else { return fail("a command that is none") }
            obey(command)
        }
    }

    private func obey(_ command: WorkerCommand) {
        let now = clock.monotonic()
        switch command {
        case .connect(let host, let run):
            do throws(BenchError) {
                try prepare(host: host, run: run)
            } catch {
                fail(error.description)
            }
        case .begin(let first):
            check?.reset()
            partFirst = first
            partCPU = Worker.cpu()
        case .publish(let first, let events, let nanoseconds):
            do throws(BenchError) {
                if publisher == nil { publisher = try makePublisher() }
            } catch {
                return fail(error.description)
            }
            publisher?.begin(Publisher.Order(first: first, events: events, nanoseconds: nanoseconds), at: clock.monotonic())
        case .stop: publisher?.stop()
        case .settle(let before):
            settling = (before, before.flatMap { check?.expected(from: partFirst, before: $0) } ?? 0, now)
        case .finish: isFinished = true
        }
    }

    static func addresses(of host: String, port: Int) throws(BenchError) -> [ServerAddress] {
        do throws(ServerAddress.Unknown) {
            return try ServerAddress.all(host: host, port: port)
        } catch {
            throw BenchError("cannot find \(host): \(error.why)")
        }
    }

    private func prepare(host: String, run: UInt32) throws(BenchError) {
        address = try Worker.addresses(of: host, port: plan.target.port).first
        if plan.target.isSecure {
            do throws(TLSFailure) {
                tls = try TLSClientContext(plan.trust)
            } catch {
                throw BenchError(error.reason)
            }
        }
        let shape = try EventShape(channel: plan.channels[0], fields: plan.eventFields, clients: plan.clients, eventBytes: plan.eventBytes, run: run)
        self.shape = shape
        let expectation = Expectation(filters: plan.filters, fields: plan.eventFields, period: shape.period, clients: plan.clients)
        let check = DeliveryCheck(
            shape: plan.pace == .none ? nil : shape, encoding: plan.encoding, run: run, expectation: expectation, clients: range.clamped(to: 0..<plan.readers))
        check.onControl = { [weak self] client, opcode, payload in self?.control(client, opcode, payload) }
        self.check = check
        deliveriesPerPeriod = check.expected(from: 0, before: UInt32(shape.period))
        connectStart = clock.monotonic()
        lastConnect = connectStart
        connectMore()
    }

    private func control(_ client: Int, _ opcode: Opcode, _ payload: [UInt8]) {
        switch opcode {
        case .ping:
            // RFC 6455 §5.5.3, masked with zeros.
            let frame: [UInt8] = [0x8A, 0x80 | UInt8(truncatingIfNeeded: min(payload.count, 125)), 0, 0, 0, 0] + payload.prefix(125)
            // Where the socket is full, the server sees signs of life enough.
            _ = frame.withUnsafeBytes { connections[client].link?.write($0) }
        case .close:
            let code = payload.count >= 2 ? "\(Int(payload[0]) << 8 | Int(payload[1])) \(String(decoding: payload.dropFirst(2), as: UTF8.self))" : "no code"
            check?.ended(client, "the server has closed the connection with \(code)")
        default: break
        }
    }

    private func makePublisher() throws(BenchError) -> Publisher {
        guard let address, let shape else { throw BenchError("a publisher before the clients") }
        let link = try connectedLink(address)
        let publisher = Publisher(plan, shape, link)
        guard watch(link.descriptor, Worker.publisherTag, clinux_EPOLLIN) else { throw BenchError("\(SystemError("epoll_ctl"))") }
        return publisher
    }

    // MARK: reports

    private func settle() {
        guard let (before, expected, since) = settling, let check else { return }
        let now = clock.monotonic()
        let still = now - max(since, check.lastDelivery)
        // What a gap has told of may be events of others: only time can tell.
        let isTold = check.settled + check.toldPending >= expected && still > BenchPlan.patienceNanoseconds / 5
        guard before == nil || check.settled >= expected || isTold || still > BenchPlan.patienceNanoseconds || !isAnybodyReading else { return }
        if let before { check.finish(before: before) }
        settling = nil
        report(
            .settled(
                WorkerReport.Part(
                    counts: check.counts, histogram: check.histogram, faults: check.faults, lastDelivery: check.lastDelivery,
                    cpuNanoseconds: Worker.cpu() - partCPU, slowEnded: slowEnded())))
    }

    private var isAnybodyReading: Bool {
        guard let check else { return false }
        for client in 0..<check.count where connections[client].phase == .open { return true }
        return false
    }

    /// Slow clients whose connection the server has ended: behind what they have not read there is an end.
    private func slowEnded() -> Int {
        guard let check else { return 0 }
        return (check.count..<range.count).count { client in
            guard connections[client].phase == .slow, let link = connections[client].link else { return true }
            var waiting = pollfd(fd: link.descriptor, events: clinux_POLLRDHUP, revents: 0)
            return poll(&waiting, 1, 0) > 0
        }
    }

    private func tick(_ now: UInt64) {
        if !hasConnected, address != nil, now - lastConnect > BenchPlan.giveUpNanoseconds {
            return fail("\(connected) of \(range.count) clients are connected, and no more can connect")
        }
        publisher?.lookForStandstill(at: now, lastDelivery: check?.lastDelivery ?? 0)
        if address != nil {
            report(.progress(connected: connected, delivered: check?.counts.delivered ?? 0, published: publisher?.published ?? 0))
        }
    }

    func report(_ report: WorkerReport) {
        let bytes = report.line
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return isFinished = true }
            sent += count
        }
    }

    func fail(_ why: String) {
        guard !isFinished else { return }
        report(.failed(why))
        isFinished = true
    }

    private static func cpu() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    // MARK: epoll

    func watch(_ descriptor: Int32, _ tag: UInt64, _ what: UInt32) -> Bool {
        var event = epoll_event()
        event.events = what
        event.data.u64 = tag
        return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0
    }

    func rewatch(_ descriptor: Int32, _ tag: UInt64, _ what: UInt32) {
        var event = epoll_event()
        event.events = what
        event.data.u64 = tag
        epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event)
    }
}
