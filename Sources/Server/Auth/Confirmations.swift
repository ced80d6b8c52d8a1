// Whether those who were accepted a moment ago still count: asked for many at once, however many come.

import Base

/// Looks again at identities, in rounds: who comes while one is under way is in the next. Any thread.
final class Confirmations: Sendable {
    private struct Question {
        let identity: Identity
        let later: @Sendable (Recheck) -> Void
    }
    private struct State {
        var waiting: [Question] = []
        /// Somebody carries the rounds on.
        var isAsking = false
    }
    private let state = Locked(State())

    /// - Parameter later: called once: from a thread of the checker, or at once where it cannot be asked.
    func confirm(_ identity: Identity, by checker: any IdentityChecker, later: @escaping @Sendable (Recheck) -> Void) {
        let isFirst = state.withLock { state in
            state.waiting.append(Question(identity: identity, later: later))
            defer { state.isAsking = true }
            return !state.isAsking
        }
        if isFirst { ask(checker) }
    }

    private func ask(_ checker: any IdentityChecker) {
        while true {
            let round = state.withLock { state in
                let round = state.waiting
                state.waiting = []
                if round.isEmpty { state.isAsking = false }
                return round
            }
            if round.isEmpty { return }
            let isBegun = checker.recheck(round.map(\.identity)) { verdicts in
                for (question, verdict) in zip(round, verdicts) { question.later(verdict) }
                self.ask(checker)
            }
            if isBegun { return }
            for question in round { question.later(.unknown("too much is being looked at")) }
        }
    }
}
