// One-time words for browsers, which cannot set a header when they open a WebSocket: asked for by POST, used in the address.

import Base
import Crypto
import Fanout

/// Tickets that are outstanding. Any thread.
final class Tickets: Sendable {
    /// Seconds for which a ticket counts.
    static let seconds = 30
    /// Outstanding at once, in all and of one user.
    static let outstandingMax = 10_000
    static let perUserMax = 32

    private struct Ticket {
        let principal: Principal
        let until: UInt64
    }
    private struct State {
        var tickets: [String: Ticket] = [:]
        var perUser: [String: Int] = [:]
    }
    private let state = Locked(State())
    private let clock: any Clock

    init(clock: any Clock) { self.clock = clock }

    /// Makes a ticket.
    /// - Returns: nil where too many are outstanding, or the system gives no randomness.
    func issue(to principal: Principal) -> String? {
        let now = clock.monotonic()
        return state.withLock { state in
            if state.tickets.count >= Tickets.outstandingMax || state.perUser[principal.user, default: 0] >= Tickets.perUserMax {
                Tickets.sweep(&state, now)
            }
            guard state.tickets.count < Tickets.outstandingMax, state.perUser[principal.user, default: 0] < Tickets.perUserMax else { return nil }
            // 256 bits: not to be guessed, so the look-up below need not take the same time for all.
            guard let bytes = RandomBytes.make(32) else { return nil }
            let word = Base64URL.encode(bytes)
            state.tickets[word] = Ticket(principal: principal, until: now &+ UInt64(Tickets.seconds) &* 1_000_000_000)
            state.perUser[principal.user, default: 0] += 1
            return word
        }
    }

    /// Tickets that somebody may still use.
    var outstanding: Int {
        let now = clock.monotonic()
        return state.withLock { $0.tickets.values.reduce(0) { $0 + ($1.until > now ? 1 : 0) } }
    }

    /// Takes a ticket back: it counts once.
    func redeem(_ word: String) -> Principal? {
        let now = clock.monotonic()
        return state.withLock { state in
            guard let ticket = state.tickets.removeValue(forKey: word) else { return nil }
            Tickets.uncount(ticket, &state)
            return ticket.until > now ? ticket.principal : nil
        }
    }

    private static func uncount(_ ticket: Ticket, _ state: inout State) {
        let left = state.perUser[ticket.principal.user, default: 1] - 1
        state.perUser[ticket.principal.user] = left > 0 ? left : nil
    }

    private static func sweep(_ state: inout State, _ now: UInt64) {
        for (word, ticket) in state.tickets where ticket.until <= now {
            state.tickets[word] = nil
            uncount(ticket, &state)
        }
    }
}
