// Connections that are turned away as soon as they are taken: answered and closed, without a shard.

import Base
import Glibc

/// Sockets that have had their answer. Closing one whose request is still on its way would reset it, and the peer might never see the answer; so they
/// stay for a moment, as long as there are few. Confined to one acceptor.
struct RefusedSockets: ~Copyable {
    private var waiting: [(number: Int32, until: UInt64)] = []
    private var scratch = [UInt8](repeating: 0, count: 4096)
    private let clock = SystemClock()

    static let countMax = 64
    static let waitNanoseconds: UInt64 = 300_000_000

    init() {}

    deinit { for (number, _) in waiting { close(number) } }

    var isEmpty: Bool { waiting.isEmpty }

    /// Answers; what has come already is read at the end.
    mutating func refuse(_ accepted: consuming AcceptedSocket, _ answer: [UInt8]) {
        if waiting.count >= RefusedSockets.countMax { finish(waiting.removeFirst().number) }
        let number = accepted.release()
        _ = send(number, answer, answer.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        shutdown(number, Int32(SHUT_WR))
        waiting.append((number, clock.monotonic() + RefusedSockets.waitNanoseconds))
    }

    /// Closes those whose time is over.
    mutating func expire() {
        let now = clock.monotonic()
        while let first = waiting.first, first.until <= now {
            waiting.removeFirst()
            finish(first.number)
        }
    }

    private mutating func finish(_ number: Int32) {
        for _ in 0..<4 where recv(number, &scratch, scratch.count, Int32(MSG_DONTWAIT)) == scratch.count {}
        close(number)
    }
}
