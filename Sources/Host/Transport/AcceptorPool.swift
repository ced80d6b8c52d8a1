// The threads that take connections from the listening sockets and hand them on.

import Base
import CLinux
import Glibc
import Synchronization

/// A pool of acceptor threads over the same listening sockets. Each waits for any of them, takes one connection at a time and
/// gives it to `receive`, which is called on the acceptor's thread and must not block.
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
        for number in 0..<threads {
            running.add(1, ordering: .relaxed)
            let failure = Thread.start(named: "acceptor-\(number)") { [self] in
                let (descriptors, speakTLS) = sockets.withLock { sockets in
                    (sockets.map { $0.descriptor.number }, sockets.map { $0.address.map(tls.contains) ?? false })
                }
                run(descriptors, speakTLS)
                running.subtract(1, ordering: .releasing)
            }
            if let failure {
                running.subtract(1, ordering: .releasing)
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

    private func run(_ descriptors: [Int32], _ speakTLS: [Bool]) {
        var refused = RefusedSockets()
        var waiting = (descriptors + [wakeUp]).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while !stopping.load(ordering: .acquiring) {
            let isShort = shortage.isPresent
            let count = poll(&waiting, nfds_t(waiting.count), !refused.isEmpty ? 100 : isShort ? 1000 : -1)
            refused.expire()
            if isShort { shortage.look() }
            guard count > 0 else { continue }
            for (entry, speaksTLS) in zip(waiting.dropLast(), speakTLS) where entry.revents != 0 {
                do throws(SystemError) {
                    guard var accepted = try Socket.accept(entry.fd) else { continue }
                    accepted.speaksTLS = speaksTLS
                    admit(accepted, &refused)
                } catch {
                    // Not taken, poll would return at once for ever.
                    if !shortage.turnAway(entry.fd, error, speaksTLS: speaksTLS) { usleep(50_000) }
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
            close(state.spare)
            // Without one, the other thread was quicker with the descriptor.
            let accepted = (try? Socket.accept(listening)) ?? nil  // its failure is the one that we are here for
            let isGone = accepted != nil
            if let accepted {
                // Without a handshake there is no way to tell a peer that waits for one.
                if !speaksTLS { Shortage.refuse(accepted) }
                refusals?.add(.descriptors)
                state.turnedAway += 1
            }
            state.spare = Shortage.makeSpare()
            return (isFirst, isGone)
        }
        if isFirst { Log.error("cannot accept connections: \(error); they are answered 503 as long as that lasts", .descriptorsExhausted) }
        return isGone
    }

    /// Ends the shortage when there was none for a while.
    func look() {
        let turnedAway = state.withLock { state -> Int? in
            if state.spare < 0 { state.spare = Shortage.makeSpare() }
            guard let last = state.last, state.spare >= 0, clock.monotonic() - last > Shortage.quietNanoseconds else { return nil }
            defer { (state.last, state.turnedAway) = (nil, 0) }
            return state.turnedAway
        }
        if let turnedAway { Log.info("accepting connections again; \(turnedAway) were turned away", .acceptingAgain) }
    }

    private static func refuse(_ accepted: borrowing AcceptedSocket) {
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
