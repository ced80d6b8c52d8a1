// Looking again at those who are connected.

import Base

/// One round over open connections. Its reader's, but for `since` and `next`, `restart`, `isComplete`, which are under the
/// authenticator's lock while the reader waits for it.
///
/// `@unchecked Sendable` because it is handed from the caller to the reader, and from there to whoever tells; never used by two at once.
final class RecheckJob: @unchecked Sendable {
    private let identities: [Identity]
    /// Each once, in order.
    private let subjects: [Subject]
    private var rows: [Subject: CredentialRow] = [:]
    private let later: @Sendable ([Recheck]) -> Void
    /// When something of it was done last.
    var since: UInt64

    init(_ identities: [Identity], at now: UInt64, later: @escaping @Sendable ([Recheck]) -> Void) {
        self.identities = identities
        self.later = later
        since = now
        var seen: Set<Subject> = []
        subjects = identities.map(Verdicts.subject).filter { seen.insert($0).inserted }
    }

    var isComplete: Bool { rows.count == subjects.count }

    /// What is still to be read, at most so many.
    func next(_ count: Int) -> [Subject] { Array(subjects[rows.count...].prefix(count)) }

    func add(_ row: CredentialRow, for subject: Subject) { rows[subject] = row }

    func restart() { rows = [:] }

    /// Tells what has come out. Called once, not under a lock; or `tell(unknown:)`.
    func tell(secretGeneration: UInt64, at now: Instant) {
        later(
            identities.map { identity in
                guard let row = rows[Verdicts.subject(of: identity)] else { return .unknown("the database was not asked") }
                return Verdicts.recheck(identity, row, secretGeneration: secretGeneration, at: now)
            })
    }

    func tell(unknown why: String) { later(identities.map { _ in .unknown(why) }) }
}
