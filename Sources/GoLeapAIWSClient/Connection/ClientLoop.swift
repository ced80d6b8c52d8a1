// The thread of one client: waits for the socket, for what the application wants and for deadlines, and does what the machine decides.

import Base
import CLinux
import Glibc
import Protocol

/// Everything that a client does by itself. Other threads reach it by `post` and read `recent`.
final class ClientLoop: @unchecked Sendable {  // Sendable because all that is not locked is used on the one thread that `post` starts.
    /// What others ask of it.
    enum Command: Sendable {
        case start(Set<Channel>)
        case stop
        case subscribe(Set<Channel>, Filters?)
        case unsubscribe(Set<Channel>)
        case follow(EventSequence)
        case join(SharedSubscriber)
        case leave(SubscriberID)
        case opening(attempt: Int, Result<Opened, OpeningFailure>)
        case renewed(attempt: Int, String?)
    }

    /// Who looks after this connection among others. Called on its thread.
    struct Keeper: Sendable {
        /// The daemon has no room for this connection, which has never been open.
        /// - Returns: whether its subscribers go elsewhere; then it is to stop, and `move` follows.
        let overflows: @Sendable () -> Bool
        let move: @Sendable ([SharedSubscriber]) -> Void
        /// It has stopped for good.
        let stopped: @Sendable () -> Void
    }

    struct Inbox {
        var commands: [Command] = []
        var isRunning = false
    }

    /// A message, put together, at most: more than the daemon's largest event.
    static let messageBytesMax = 16_777_216
    /// Bytes that the daemon has not taken; more than our few messages ever are.
    private static let outboxBytesMax = 1_048_576
    /// How long the daemon has for answering our close frame.
    private static let closingTime: UInt64 = 1_000_000_000
    private static let roundsMax = 16

    let recent = Locked(Recent())
    let inbox = Locked(Inbox())
    private let bell: FileDescriptor
    private let options: Options
    private let target: Target
    let callbacks: Callbacks
    private let clock: any Clock
    let keeper: Keeper?

    // Of the thread.
    var machine: Machine
    var followers: [EventSequence] = []
    var subscribers: [SubscriberID: SharedSubscriber] = [:]
    var hasConnected = false
    /// A connection that has a keeper stops once.
    var isRetired = false
    private var attempt = 0
    private var link: Link?
    private var receiver: FrameReceiver
    /// Where the daemon compresses.
    private var inflater: Inflater?
    private var window: InflateWindow?
    private var outbox: [UInt8] = []
    private var hasMore = false
    /// A connection that was closed in order: what still comes is read, so that our close frame arrives.
    private var closing: (link: Link, deadline: UInt64)?
    private var room = [UInt8](repeating: 0, count: 65_536)

    /// - Throws: without descriptors.
    init(_ options: Options, _ target: Target, _ callbacks: Callbacks, clock: any Clock = SystemClock(), keeper: Keeper? = nil) throws(SystemError) {
        let number = clinux_eventfd()
        guard number >= 0 else { throw SystemError("eventfd") }
        bell = FileDescriptor(owning: number)
        self.options = options
        self.target = target
        self.callbacks = callbacks
        self.clock = clock
        self.keeper = keeper
        receiver = ClientLoop.receiver(options.encoding)
        var canRenew = false
        if case .provider = options.credential { canRenew = true }
        machine = Machine(
            clock: clock, seed: UInt64.random(in: 0 ... .max), subscription: Subscription(channels: options.channels, filters: options.filters),
            position: Position(since: options.since, history: options.history), canRenew: canRenew)
    }

    /// Asks for something. Any thread; never waits.
    func post(_ command: Command) {
        let isFirst = inbox.withLock { inbox in
            inbox.commands.append(command)
            defer { inbox.isRunning = true }
            return !inbox.isRunning
        }
        if isFirst {
            // Without a thread there is nobody to tell.
            if Thread.start(named: "goleapai-client", { self.run() }) != nil { inbox.withLock { $0.isRunning = false } }
        } else {
            var one: UInt64 = 1
            _ = write(bell.number, &one, 8)
        }
    }

    // MARK: the loop

    private func run() {
        while true {
            let (commands, isOver) = inbox.withLock { inbox in
                defer { inbox.commands = [] }
                let isOver = inbox.commands.isEmpty && !machine.isBusy && closing == nil
                if isOver { inbox.isRunning = false }
                return (inbox.commands, isOver)
            }
            if isOver { return }
            for command in commands { take(command) }
            guard machine.isBusy || closing != nil else { continue }
            wait()
            perform(machine.tick())
        }
    }

    func take(_ command: Command) {
        switch command {
        case .start(let channels):
            perform(machine.subscribe(channels, nil))
            perform(machine.start())
        case .stop:
            perform(machine.stop())
            finishFollowers()
            retire()
        case .subscribe(let channels, let filters): perform(machine.subscribe(channels, filters))
        case .unsubscribe(let channels): perform(machine.unsubscribe(channels))
        case .follow(let sequence): followers.append(sequence)
        case .join(let subscriber): join(subscriber)
        case .leave(let id): leave(id)
        case .opening(let number, let result):
            guard number == attempt else { return }
            switch result {
            case .success(let opened): open(opened)
            case .failure(let failure):
                perform(machine.ended(failure.ending))
                if case .refused(status: 429, _, _) = failure.ending { overflow() }
            }
        case .renewed(let number, let token): if number == attempt { perform(machine.renewed(token)) }
        }
    }

    /// Sleeps until something happens, and reads and writes what is there.
    private func wait() {
        let now = clock.monotonic()
        var deadline = machine.deadline
        if let closing { deadline = min(deadline ?? .max, closing.deadline) }
        if hasMore { deadline = now }
        // Rounded up, so that it has passed when the wait is over.
        let milliseconds = deadline.map { $0 > now ? Int32(clamping: ($0 - now) / 1_000_000 + 1) : 0 } ?? -1
        var waiting = [pollfd(fd: bell.number, events: Int16(POLLIN), revents: 0)]
        if let link { waiting.append(pollfd(fd: link.descriptor.number, events: Int16(POLLIN | (outbox.isEmpty ? 0 : POLLOUT)), revents: 0)) }
        if let closing { waiting.append(pollfd(fd: closing.link.descriptor.number, events: Int16(POLLIN), revents: 0)) }
        guard poll(&waiting, nfds_t(waiting.count), milliseconds) >= 0 else { return }
        if waiting[0].revents != 0 {
            var count: UInt64 = 0
            _ = read(bell.number, &count, 8)
        }
        if link != nil, hasMore || waiting[1].revents != 0 {
            flush()
            receive()
        }
        drainClosing()
    }

    // MARK: what the machine decides

    func perform(_ actions: [Machine.Action]) {
        for action in actions {
            switch action {
            case .open(let renewsToken): beginOpening(renewsToken)
            case .send(let text): send(frame(of: text))
            case .drop(let code): drop(code)
            case .tell(let event, let recipients): tell(event, to: recipients)
            case .present(let member, let channels): present(channels, to: member)
            case .finish(let id): subscribers.removeValue(forKey: id)?.sequence.finish()
            case .renewToken: renewToken()
            }
        }
    }

    /// A provider gives a fresh credential each time; another credential cannot be renewed.
    private func beginOpening(_ renewsToken: Bool) {
        attempt += 1
        let number = attempt
        let opening = Opening(target: target, options: options, clock: clock)
        let deadline = clock.monotonic() &+ Machine.openingTime
        let failure = Thread.start(named: "goleapai-open") { [weak self] in
            let result = opening.run(until: deadline)
            self?.post(.opening(attempt: number, result))
        }
        if let failure { perform(machine.ended(.failed("\(failure)"))) }
    }

    private func renewToken() {
        let number = attempt
        let opening = Opening(target: target, options: options, clock: clock)
        let failure = Thread.start(named: "goleapai-token") { [weak self] in
            // Why there is none is seen when the connection is closed for it.
            self?.post(.renewed(attempt: number, try? opening.token()))
        }
        if failure != nil { perform(machine.renewed(nil)) }
    }

    // MARK: the connection

    /// Of the room for a decompressed message; statistics of a dozen providers have half of it.
    private static let inflaterBytesKept = 16_384

    private static func receiver(_ encoding: Options.Encoding) -> FrameReceiver {
        FrameReceiver(messageBytesMax: messageBytesMax, acceptsText: encoding == .json, acceptsBinary: encoding == .messagePack, isMasked: false)
    }

    private func frame(of message: String) -> [UInt8] {
        switch options.encoding {
        case .json: FrameWriter.text(message)
        case .messagePack: FrameWriter.frame(.binary, MessagePack.bytes(of: Array(message.utf8)))
        }
    }

    private func open(_ opened: Opened) {
        link = opened.link
        receiver = ClientLoop.receiver(options.encoding)
        (inflater, window) = (nil, nil)
        outbox = []
        if let compression = opened.compression {
            inflater = Inflater(window: compression.serverWindow, roomBytesKept: ClientLoop.inflaterBytesKept)
            window = compression.serverKeepsContext ? InflateWindow(bits: compression.serverWindow) : nil
            receiver.acceptsCompressed = true
        }
        perform(machine.opened(tlsVersion: opened.link.tlsVersion, token: opened.token))
        var rest = opened.rest
        rest.withUnsafeMutableBytes { take($0) }
        // What TLS has read ahead wakes nobody.
        hasMore = true
    }

    private func receive() {
        hasMore = false
        for _ in 0..<ClientLoop.roundsMax {
            guard let link else { return }
            let outcome = room.withUnsafeMutableBytes { link.read(into: $0) }
            switch outcome {
            case .bytes(let count):
                machine.sawLife()
                // Taken out, so that a callback finds nothing borrowed.
                var part = Array(room[..<count])
                part.withUnsafeMutableBytes { take($0) }
            case .wait, .waitToWrite: return
            case .closed: return end(.closed(nil, reason: ""))
            case .failed(let why): return end(.failed("the connection has broken: \(why)"))
            }
        }
        hasMore = true
    }

    private func take(_ bytes: UnsafeMutableRawBufferPointer) {
        var rest = bytes
        while link != nil, let action = receiver.next(&rest, inflater, { window }) {
            switch action {
            case .message(_, let message):
                // What is no message of the protocol is left aside, as a daemon may be newer than its clients.
                if let envelope = Envelope(message, as: options.encoding) { perform(machine.received(envelope)) }
            case .ping(let payload):
                machine.pinged(String(decoding: payload, as: UTF8.self))
                send(FrameWriter.frame(.pong, payload))
            case .pong: break
            case .close(let code, let reason):
                send(FrameWriter.close(code))
                end(.closed(code, reason: reason))
            case .fail(let code, let what):
                send(FrameWriter.close(code, what))
                end(.violated(code, what))
            }
        }
        tellLost()
    }

    private func send(_ frame: [UInt8]) {
        guard link != nil else { return }
        let key = UInt32.random(in: 0 ... .max)
        outbox += FrameWriter.masked(
            frame, key: (UInt8(truncatingIfNeeded: key), UInt8(truncatingIfNeeded: key >> 8), UInt8(truncatingIfNeeded: key >> 16), UInt8(truncatingIfNeeded: key >> 24)))
        flush()
        if outbox.count > ClientLoop.outboxBytesMax { end(.failed("the server takes nothing")) }
    }

    private func flush() {
        while let link, !outbox.isEmpty {
            // A failure shows when reading, with what the server has said before it.
            guard case .bytes(let count) = outbox.withUnsafeBytes({ link.write($0) }) else { return }
            outbox.removeFirst(count)
        }
    }

    private func end(_ ending: Ending) {
        guard link != nil else { return }
        link = nil
        hasMore = false
        perform(machine.ended(ending))
    }

    /// Gives up the connection or the attempt.
    private func drop(_ code: CloseCode?) {
        // What an attempt comes to is nobody's business any more.
        attempt += 1
        guard let link else { return }
        if let code {
            send(FrameWriter.close(code))
            closing = (link, clock.monotonic() &+ ClientLoop.closingTime)
        }
        self.link = nil
        hasMore = false
    }

    private func drainClosing() {
        guard let closing else { return }
        while clock.monotonic() < closing.deadline {
            switch room.withUnsafeMutableBytes({ closing.link.read(into: $0) }) {
            case .bytes: continue
            case .wait, .waitToWrite: return
            case .closed, .failed: return self.closing = nil
            }
        }
        self.closing = nil
    }
}
