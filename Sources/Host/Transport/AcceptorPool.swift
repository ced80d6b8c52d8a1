// The threads that take connections from the listening sockets and hand them on.

import Base
import CLinux
import Glibc
import Synchronization

/// A pool of acceptor threads over the same listening sockets. Each waits for any of them, takes what waits there and gives it to `receive`,
/// one connection at a time, on the acceptor's thread; it must not block.
public final class AcceptorPool: Sendable {
    private let sockets: Locked<[ListeningSocket]>
    /// Addresses behind which TLS is spoken.
    private let tls: Set<ListenAddress>
    private let wakeUp: Int32
    private let stopping = Atomic<Bool>(false)
    private let running = Atomic<Int>(0)
    private let shortage: Shortage
    private let gate: AddressGate?
    private let receive: @Sendable (consuming AcceptedSocket) -> Void

    /// Takes the listening sockets; `start` begins accepting.
    /// - Parameter gate: turns addresses away before `receive` hears of them; nil lets everybody in.
    public init(
        listening sockets: [ListeningSocket], tls: [ListenAddress] = [], gate: AddressGate? = nil,
        receive: @escaping @Sendable (consuming AcceptedSocket) -> Void
    ) throws(SystemError) {
        self.sockets = Locked(sockets)
        self.tls = Set(tls)
        self.receive = receive
        wakeUp = clinux_eventfd()
        self.gate = gate
        shortage = Shortage(gate?.refusals)
        guard wakeUp >= 0 else { throw SystemError("eventfd") }
    }

    deinit { close(wakeUp) }

    /// Starts the threads. Two are enough to keep a queue of handshakes moving: the kernel does the work.
    public func start(threads: Int) throws(SystemError) {
        let listening = sockets.withLock { sockets in
            sockets.map { (descriptor: $0.descriptor.number, speaksTLS: $0.address.map(tls.contains) ?? false) }
        }
        for number in 0..<threads {
            let epoll = try watch(listening.map(\.descriptor))
            running.add(1, ordering: .relaxed)
            let failure = Thread.start(named: "acceptor-\(number)") { [self] in
                run(epoll, listening)
                close(epoll)
                running.subtract(1, ordering: .releasing)
            }
            if let failure {
                running.subtract(1, ordering: .releasing)
                close(epoll)
                throw failure
            }
        }
    }

    /// Ends the threads and lets go of the listening sockets; returns when no connection will be handed on any more.
    ///
    /// What waits in the sockets' queues is left to whoever else holds them: the next process, by way of systemd.
    public func stop() {
        stopping.store(true, ordering: .releasing)
        var one: UInt64 = 1
        _ = write(wakeUp, &one, 8)
        // The threads end at once, woken by the eventfd; a condition for the one wait in the life of the daemon would be more to
        // get wrong than a millisecond of sleep.
        while running.load(ordering: .acquiring) > 0 { usleep(1000) }
        sockets.withLock { $0.removeAll() }
    }

    /// An epoll over the listening sockets, by their places, and the eventfd that ends the threads. A connection wakes one thread, not all of them.
    private func watch(_ descriptors: [Int32]) throws(SystemError) -> Int32 {
        let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epoll >= 0 else { throw SystemError("epoll_create1") }
        for (place, descriptor) in (descriptors + [wakeUp]).enumerated() {
            var event = epoll_event()
            event.events = clinux_EPOLLIN | (descriptor == wakeUp ? 0 : clinux_EPOLLEXCLUSIVE)
            event.data.u64 = UInt64(place)
            guard epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 else {
                let error = SystemError("epoll_ctl")
                close(epoll)
                throw error
            }
        }
        return epoll
    }

    /// Connections taken from one socket before the others have their turn.
    private static let turnMax = 64

    private func run(_ epoll: Int32, _ listening: [(descriptor: Int32, speaksTLS: Bool)]) {
        // On a full core, connections gather while a shard works: they cost it one interruption, not one each.
        Thread.waitForOthers()
        var refused = RefusedSockets()
        var events = [epoll_event](repeating: epoll_event(), count: listening.count + 1)
        while !stopping.load(ordering: .acquiring) {
            let isShort = shortage.isPresent
            let count = epoll_wait(epoll, &events, Int32(events.count), !refused.isEmpty ? 100 : isShort ? 1000 : -1)
            refused.expire()
            if isShort { shortage.look() }
            for event in events.prefix(Int(max(count, 0))) where event.data.u64 < UInt64(listening.count) {
                let socket = listening[Int(event.data.u64)]
                do throws(SystemError) {
                    for _ in 0..<AcceptorPool.turnMax {
                        guard var accepted = try Socket.accept(socket.descriptor) else { break }
                        if shortage.lacksSpare.load(ordering: .sequentiallyConsistent) {
                            shortage.turnAway(accepted, speaksTLS: socket.speaksTLS)
                            continue
                        }
                        accepted.speaksTLS = socket.speaksTLS
                        admit(accepted, &refused)
                    }
                } catch {
                    // Not taken, epoll_wait would return at once for ever.
                    if !shortage.turnAway(socket.descriptor, error, speaksTLS: socket.speaksTLS) { usleep(50_000) }
                }
            }
        }
    }
}

extension AcceptorPool {
    /// Hands a connection on, or turns it away, by its own address. Behind a trusted proxy that is done once the client's address is known.
    private func admit(_ accepted: consuming AcceptedSocket, _ refused: inout RefusedSockets) {
        guard let gate, let address = accepted.peer.address else { return receive(accepted) }
        let speaksTLS = accepted.speaksTLS
        switch gate.admit(address) {
        case .admitted(let admission):
            accepted.admission = admission
            receive(accepted)
        case .refused(let why):
            Log.warn("\(why.what): connections are refused", .clientRefused, [.remoteAddress(accepted.peer.host)])
            // Without a handshake there is no way to tell a peer that waits for one.
            refused.refuse(accepted, speaksTLS ? [] : why.answer)
        }
    }
}

/// What acceptors do while there are no descriptors for new connections: a spare one is given up for the moment in which a
/// connection is taken, told so, and closed. So peers need not wait for nothing.
///
/// Any thread; said in the log when it begins, and when for some seconds there was none.
private final class Shortage: Sendable {
    private struct State {
        var spare: Int32
        /// Of the newest failure, on the monotonic clock; nil while there is no shortage.
        var last: UInt64?
        var turnedAway = 0
    }

    private let state: Locked<State>
    private let clock = SystemClock()
    /// Without this pause, a single descriptor that comes and goes would be two lines each time.
    private static let quietNanoseconds: UInt64 = 5_000_000_000

    private let refusals: RefusalCounters?
    /// The spare descriptor is not there: it is being given up, or somebody else was quicker with it. Whoever takes a connection meanwhile turns it away.
    let lacksSpare = Atomic<Bool>(false)

    init(_ refusals: RefusalCounters?) {
        self.refusals = refusals
        state = Locked(State(spare: Shortage.makeSpare()))
    }

    deinit { state.withLock { _ = close($0.spare) } }

    private static func makeSpare() -> Int32 { open("/dev/null", O_RDONLY | O_CLOEXEC) }

    var isPresent: Bool { state.withLock { $0.last != nil } }

    /// A connection could not be taken.
    /// - Returns: false where it still waits.
    func turnAway(_ listening: Int32, _ error: SystemError, speaksTLS: Bool) -> Bool {
        let (isFirst, isGone) = state.withLock { state -> (Bool, Bool) in
            let isFirst = state.last == nil
            state.last = clock.monotonic()
            guard error.code == EMFILE || error.code == ENFILE, state.spare >= 0 else { return (isFirst, false) }
            // First: the other thread, if it is quicker with the descriptor, gives it back.
            lacksSpare.store(true, ordering: .sequentiallyConsistent)
            close(state.spare)
            state.spare = -1
            let accepted = (try? Socket.accept(listening)) ?? nil  // its failure is the one that we are here for
            let isGone = accepted != nil
            if let accepted { refuse(accepted, speaksTLS, &state) }
            renewSpare(&state)
            return (isFirst, isGone)
        }
        if isFirst { Log.error("cannot accept connections: \(error); they are answered 503 as long as that lasts", .descriptorsExhausted) }
        return isGone
    }

    /// A connection that was taken while there was no spare descriptor has to give up its own.
    func turnAway(_ accepted: consuming AcceptedSocket, speaksTLS: Bool) {
        state.withLock { refuse(accepted, speaksTLS, &$0) }
        _ = close(accepted.release())
        state.withLock { renewSpare(&$0) }
    }

    /// Under the lock.
    private func renewSpare(_ state: inout State) {
        if state.spare < 0 { state.spare = Shortage.makeSpare() }
        lacksSpare.store(state.spare < 0, ordering: .sequentiallyConsistent)
    }

    /// Ends the shortage when there was none for a while.
    func look() {
        let turnedAway = state.withLock { state -> Int? in
            renewSpare(&state)
            guard let last = state.last, state.spare >= 0, clock.monotonic() - last > Shortage.quietNanoseconds else { return nil }
            defer { (state.last, state.turnedAway) = (nil, 0) }
            return state.turnedAway
        }
        if let turnedAway { Log.info("accepting connections again; \(turnedAway) were turned away", .acceptingAgain) }
    }

    /// Under the lock.
    private func refuse(_ accepted: borrowing AcceptedSocket, _ speaksTLS: Bool, _ state: inout State) {
        state.turnedAway += 1
        refusals?.add(.descriptors)
        // Without a handshake there is no way to tell a peer that waits for one.
        if speaksTLS { return }
        let body = #"{"error":"the server has no descriptors left"}"#
        let answer = Array(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\nRetry-After: 5\r\nConnection: close\r\n\r\n\(body)".utf8)
        let number = accepted.descriptor.number
        _ = send(number, answer, answer.count, Int32(MSG_NOSIGNAL))
        // What was sent already is read, since closing with unread bytes resets the connection, and the peer might not see the answer.
        shutdown(number, Int32(SHUT_WR))
        var request = [UInt8](repeating: 0, count: 16_384)
        _ = recv(number, &request, request.count, Int32(MSG_DONTWAIT))
    }
}
