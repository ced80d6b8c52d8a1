// What is known, who waits for what, and what is to be done next. Pure: time comes in, answers go out; the threads are the
// authenticator's.

import Base
import Crypto

/// Somebody who waits for a verdict.
struct Waiter: Sendable {
    /// nil for an API key.
    let token: SignedToken?
    let later: @Sendable (Result<Identity, AuthenticationFailure>) -> Void
}

/// An answer to be given once the desk is no longer locked.
typealias Answer = @Sendable () -> Void

/// The authenticator's memory and queues. Owner: whoever holds the authenticator's lock.
///
/// A subject that somebody asks for is pending in one of three stages: it waits for the database, is being read, or waits for bcrypt
/// (or is at it). All who ask for it meanwhile join, so that it is read and hashed once.
struct CredentialDesk {
    private enum Stage { case waiting, reading, hashing }

    private struct Pending {
        var waiters: [Waiter]
        var stage = Stage.waiting
        /// When the stage began.
        var since: UInt64
        /// The API key itself, for bcrypt; wiped when the last reference goes.
        let key: Secret?
        /// What was read, when, and of which database, where bcrypt has the word.
        var row: (key: KeyRow, at: UInt64, databaseGeneration: UInt64)?
    }
    private struct Accepted {
        let row: CredentialRow
        let at: UInt64
    }
    private struct Refused {
        let failure: AuthenticationFailure
        let at: UInt64
    }
    private struct Hashed {
        let bcrypt: [UInt8]
        let fits: Bool
    }

    private(set) var options: AuthenticatorOptions
    /// Grows when the secret or the issuer changes: tokens that were checked before are then no longer good.
    private(set) var secretGeneration: UInt64 = 1
    /// Grows when another database is to be read: what was read of the former one does not count.
    private(set) var databaseGeneration: UInt64 = 1
    private var accepted: BoundedTable<Subject, Accepted>
    private var refused: BoundedTable<Subject, Refused>
    /// What bcrypt said, by the key's SHA-256; counts as long as the row's bcrypt hash is the same.
    private var hashed: BoundedTable<Digest, Hashed>
    private var pending: [Subject: Pending] = [:]
    private var waiting = 0
    private var toRead = Fifo<Subject>()
    private var toHash = Fifo<Digest>()
    private var rechecks: [RecheckJob] = []
    /// Since when a read goes on; nil between reads.
    private var readingSince: UInt64?
    private var isHanging = false
    private var isStopped = false
    /// What is the matter with the database; nil when the last read went well.
    private(set) var trouble: String?
    private var counters = AuthenticatorCounters()

    init(_ options: AuthenticatorOptions) {
        self.options = options
        accepted = BoundedTable(capacity: options.limits.accepted)
        refused = BoundedTable(capacity: options.limits.refused)
        hashed = BoundedTable(capacity: options.limits.accepted)
    }

    private static func isWithin(_ milliseconds: Int, since: UInt64, _ now: UInt64) -> Bool {
        now < since || now - since < UInt64(max(milliseconds, 0)) &* 1_000_000
    }

    mutating func apply(_ wanted: AuthenticatorOptions) {
        if !wanted.secret.isEqual(to: options.secret) || wanted.issuer != options.issuer { secretGeneration += 1 }
        if wanted.databasePath != options.databasePath {
            databaseGeneration += 1
            accepted.removeAll()
            refused.removeAll()
        }
        accepted.resize(wanted.limits.accepted)
        refused.resize(wanted.limits.refused)
        hashed.resize(wanted.limits.accepted)
        options = wanted
    }

    /// Ends everything that waits.
    mutating func stop() -> [Answer] {
        isStopped = true
        let failure = AuthenticationFailure.unavailable(CredentialDesk.stopping)
        let answers = pending.keys.flatMap { settle($0) { _ in .failure(failure) } }
        toRead.removeAll()
        toHash.removeAll()
        let ended = rechecks.map { job -> Answer in { job.tell(unknown: CredentialDesk.stopping) } }
        rechecks = []
        return answers + ended
    }
    private static let stopping = "the daemon is stopping"

    func snapshot() -> AuthenticatorCounters {
        var now = counters
        now.waiting = waiting
        now.hashQueue = toHash.count
        now.rememberedAccepted = accepted.count
        now.rememberedRefused = refused.count
        return now
    }

    mutating func count(_ failure: AuthenticationFailure) { counters.count(.failure(failure)) }

    // MARK: asking

    /// Decides by what is known, or lets the waiter wait.
    /// - Parameter key: makes the API key's copy; called only where bcrypt may need it.
    /// - Returns: nil where the waiter will be called.
    mutating func ask(
        _ subject: Subject, _ waiter: Waiter, key: () -> Secret?, at now: UInt64, _ wall: Instant
    ) -> Result<Identity, AuthenticationFailure>? {
        func decided(_ result: Result<Identity, AuthenticationFailure>) -> Result<Identity, AuthenticationFailure> {
            counters.count(result)
            return result
        }
        if isStopped { return decided(.failure(.unavailable(CredentialDesk.stopping))) }
        if let known = accepted[subject], CredentialDesk.isWithin(options.limits.acceptedMilliseconds, since: known.at, now) {
            counters.hits += 1
            return decided(Verdicts.identity(waiter.token, known.row, at: wall))
        }
        if let known = refused[subject], CredentialDesk.isWithin(options.limits.refusedMilliseconds, since: known.at, now) {
            counters.hits += 1
            return decided(.failure(known.failure))
        }
        counters.misses += 1
        // Nobody waits for what has kept others waiting for nothing.
        if isHanging { return decided(remembered(subject, waiter, at: now, wall)) }
        guard waiting < options.limits.waiting else { return decided(.failure(.busy)) }
        waiting += 1
        if pending[subject]?.waiters.append(waiter) == nil {
            pending[subject] = Pending(waiters: [waiter], since: now, key: key())
            toRead.append(subject)
        }
        return nil
    }

    /// What still counts without the database.
    private mutating func remembered(
        _ subject: Subject, _ waiter: Waiter, at now: UInt64, _ wall: Instant
    ) -> Result<Identity, AuthenticationFailure> {
        let limit = options.limits.awayMilliseconds
        if let known = accepted[subject], CredentialDesk.isWithin(limit, since: known.at, now) {
            counters.fromMemory += 1
            return Verdicts.identity(waiter.token, known.row, at: wall)
        }
        if let known = refused[subject], CredentialDesk.isWithin(limit, since: known.at, now) {
            counters.fromMemory += 1
            return .failure(known.failure)
        }
        return .failure(.unavailable(trouble ?? "the database has not been read yet"))
    }

    /// Whether anybody waits for the database.
    var waitsForReading: Bool { !rechecks.isEmpty || readingSince != nil || pending.contains { $0.value.stage != .hashing } }

    /// Takes a subject off the table; each waiter gets what `result` makes of it.
    private mutating func settle(
        _ subject: Subject, _ result: (Waiter) -> Result<Identity, AuthenticationFailure>
    ) -> [Answer] {
        guard let entry = pending.removeValue(forKey: subject) else { return [] }
        waiting -= entry.waiters.count
        return entry.waiters.map { waiter in
            let result = result(waiter)
            counters.count(result)
            return { waiter.later(result) }
        }
    }

    private mutating func settleFromMemory(_ subject: Subject, at now: UInt64, _ wall: Instant) -> [Answer] {
        guard let entry = pending.removeValue(forKey: subject) else { return [] }
        waiting -= entry.waiters.count
        return entry.waiters.map { waiter in
            let result = remembered(subject, waiter, at: now, wall)
            counters.count(result)
            return { waiter.later(result) }
        }
    }

    // MARK: reading

    /// What is to be read next, in one transaction.
    struct Reading {
        let path: String
        let databaseGeneration: UInt64
        var subjects: [Subject] = []
        /// The connections that are looked at again, and what of them.
        var recheck: (job: RecheckJob, subjects: [Subject])?
    }
    /// Few enough for a transaction of some milliseconds, which is how long the gateway may have to wait to write.
    static let subjectsPerReading = 256

    mutating func takeReading(at now: UInt64) -> Reading? {
        var reading = Reading(path: options.databasePath, databaseGeneration: databaseGeneration)
        while reading.subjects.count < CredentialDesk.subjectsPerReading, let subject = toRead.popFirst() {
            // It may have been answered meanwhile.
            guard pending[subject]?.stage == .waiting else { continue }
            pending[subject]?.stage = .reading
            reading.subjects.append(subject)
        }
        if let job = rechecks.first { reading.recheck = (job, job.next(CredentialDesk.subjectsPerReading)) }
        guard !reading.subjects.isEmpty || reading.recheck != nil else { return nil }
        readingSince = now
        return reading
    }

    /// - Parameter rows: of the reading's subjects, in order; those of a recheck have gone to its job.
    mutating func finish(_ reading: Reading, _ rows: [CredentialRow], at now: UInt64, _ wall: Instant) -> [Answer] {
        readingSince = nil
        isHanging = false
        trouble = nil
        if isOutdated(reading) { return [] }
        var answers: [Answer] = []
        for (subject, row) in zip(reading.subjects, rows) { answers += take(row, of: subject, readAt: now, wall) }
        if let (job, _) = reading.recheck, let index = rechecks.firstIndex(where: { $0 === job }) {
            job.since = now
            if job.isComplete {
                rechecks.remove(at: index)
                let generation = secretGeneration
                answers.append { job.tell(secretGeneration: generation, at: wall) }
            }
        }
        return answers
    }

    /// Whether it was another database that was read: then everything is to be read again, of the present one.
    private mutating func isOutdated(_ reading: Reading) -> Bool {
        guard reading.databaseGeneration != databaseGeneration else { return false }
        for subject in reading.subjects where pending[subject]?.stage == .reading {
            pending[subject]?.stage = .waiting
            toRead.append(subject)
        }
        reading.recheck?.job.restart()
        return true
    }

    /// The database could not be read.
    mutating func fail(_ reading: Reading, _ why: String, at now: UInt64, _ wall: Instant) -> [Answer] {
        readingSince = nil
        isHanging = false
        if isOutdated(reading) { return [] }
        trouble = why
        var answers = reading.subjects.flatMap { subject in
            pending[subject]?.stage == .reading ? settleFromMemory(subject, at: now, wall) : []
        }
        if let (job, _) = reading.recheck, let index = rechecks.firstIndex(where: { $0 === job }) {
            rechecks.remove(at: index)
            answers.append { job.tell(unknown: why) }
        }
        return answers
    }

    /// Answers those who have waited for the database for too long.
    mutating func overdue(at now: UInt64, _ wall: Instant) -> (answers: [Answer], isHanging: Bool) {
        let limit = options.limits.readMilliseconds
        if let readingSince, !CredentialDesk.isWithin(limit, since: readingSince, now) {
            isHanging = true
            trouble = "a read of the database \(options.databasePath) does not come back"
        }
        let late = pending.filter { $0.value.stage != .hashing && !CredentialDesk.isWithin(limit, since: $0.value.since, now) }
        var answers = late.keys.flatMap { settleFromMemory($0, at: now, wall) }
        let why = trouble ?? "the database \(options.databasePath) is read too slowly"
        for job in rechecks where !CredentialDesk.isWithin(limit, since: job.since, now) {
            answers.append { job.tell(unknown: why) }
        }
        rechecks.removeAll { !CredentialDesk.isWithin(limit, since: $0.since, now) }
        return (answers, isHanging)
    }

    // MARK: deciding

    private mutating func take(_ row: CredentialRow, of subject: Subject, readAt: UInt64, _ wall: Instant) -> [Answer] {
        if let failure = Verdicts.refusal(row, at: wall) { return refuse(subject, failure, readAt) }
        if case .key(let key?) = row, case .key(let digest) = subject, !key.bcrypt.isEmpty {
            if let known = hashed[digest], known.bcrypt == key.bcrypt {
                return known.fits ? accept(subject, row, readAt, wall) : refuse(subject, .invalid(.keyHash), readAt)
            }
            guard (try? BcryptHash(parsing: key.bcrypt, costMax: options.limits.hashCost)) != nil else {
                return refuse(subject, .invalid(.unusableHash), readAt)
            }
            // Whoever asked may have been answered already; the next one begins anew.
            guard pending[subject] != nil else { return [] }
            guard toHash.count < options.limits.hashQueue else { return settle(subject) { _ in .failure(.busy) } }
            pending[subject]?.stage = .hashing
            pending[subject]?.row = (key, readAt, databaseGeneration)
            toHash.append(digest)
            return []
        }
        return accept(subject, row, readAt, wall)
    }

    private mutating func accept(_ subject: Subject, _ row: CredentialRow, _ readAt: UInt64, _ wall: Instant) -> [Answer] {
        accepted.put(Accepted(row: row, at: readAt), for: subject)
        refused.remove(subject)
        return settle(subject) { Verdicts.identity($0.token, row, at: wall) }
    }

    private mutating func refuse(_ subject: Subject, _ failure: AuthenticationFailure, _ readAt: UInt64) -> [Answer] {
        refused.put(Refused(failure: failure, at: readAt), for: subject)
        accepted.remove(subject)
        return settle(subject) { _ in .failure(failure) }
    }

    // MARK: hashing

    struct Hashing {
        let digest: Digest
        let key: Secret
        let bcrypt: [UInt8]
        let costMax: Int
    }
    var waitsForHashing: Int { toHash.count }

    mutating func takeHashing() -> Hashing? {
        while let digest = toHash.popFirst() {
            guard let entry = pending[.key(digest)], entry.stage == .hashing, let key = entry.key, let row = entry.row else { continue }
            counters.bcryptRuns += 1
            return Hashing(digest: digest, key: key, bcrypt: row.key.bcrypt, costMax: options.limits.hashCost)
        }
        return nil
    }

    mutating func finish(_ hashing: Hashing, fits: Bool, at now: UInt64, _ wall: Instant) -> [Answer] {
        hashed.put(Hashed(bcrypt: hashing.bcrypt, fits: fits), for: hashing.digest)
        let subject = Subject.key(hashing.digest)
        guard let entry = pending[subject], entry.stage == .hashing, let row = entry.row else { return [] }
        guard row.databaseGeneration == databaseGeneration,
            CredentialDesk.isWithin(options.limits.acceptedMilliseconds, since: row.at, now)
        else {
            // The queue was long: the row may have changed, or be one of another database.
            pending[subject]?.stage = .waiting
            pending[subject]?.since = now
            toRead.append(subject)
            return []
        }
        return take(.key(row.key), of: subject, readAt: row.at, wall)
    }

    // MARK: rechecks

    /// Rechecks that may wait; one is asked for every few seconds, and takes milliseconds.
    static let rechecksMax = 8

    mutating func add(_ job: RecheckJob) -> Bool {
        guard !isStopped, rechecks.count < CredentialDesk.rechecksMax else { return false }
        rechecks.append(job)
        return true
    }
}
