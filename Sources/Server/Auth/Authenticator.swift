// Who is it? The gateway's own credentials, checked without ever making a caller wait.

import Base
import Crypto
import Dispatch
import Storage
import Synchronization

/// Checks tokens and API keys against the gateway's database. Every method but `stop` may be called on any thread and returns at once.
///
/// Its threads: `auth-read` reads the database, with a connection of its own; `auth-control` answers those who wait while a read
/// hangs; `auth-bcrypt`, as many as `hashThreads` says, hash, at nice 10. Callers take one short lock; what is neither known nor plain to
/// see waits for the threads.
public final class Authenticator: Sendable {
    private let hashThreads: Int
    private static let idleNanoseconds: UInt64 = 3_600_000_000_000
    private static let controlNanoseconds: UInt64 = 50_000_000
    /// How long a call waits for the gateway to finish writing: most of what a caller waits at all (`readMilliseconds`). A gateway whose disk
    /// is slow holds its lock for as long as an fsync takes, again and again; who asks meanwhile is to be let in late, not sent away.
    private static let busyMilliseconds: Int32 = 1500

    private let clock: any Clock
    private let desk: Locked<CredentialDesk>
    /// Of the open connection. Set by the reader, used by control and `stop`.
    private let interrupter = Locked<Interrupter?>(nil)
    private let readBell = Bell()
    private let controlBell = Bell()
    /// One signal per key that waits for bcrypt, and one per thread at the end.
    private let hashes = DispatchSemaphore(value: 0)
    /// One signal per thread that has ended.
    private let ended = DispatchSemaphore(value: 0)
    private let hasStarted = Atomic<Bool>(false)
    /// Writer: `stop`; readers: the threads. Relaxed: bells and semaphores order it.
    private let isStopping = Atomic<Bool>(false)

    public init(_ options: AuthenticatorOptions, clock: any Clock = SystemClock()) {
        self.clock = clock
        hashThreads = max(1, options.limits.hashThreads)
        desk = Locked(CredentialDesk(options))
    }

    /// Starts the threads; nothing is read before somebody asks. Once only. `stop` must follow, or they stay for ever.
    ///
    /// - Returns: nil, or why a thread could not be made.
    @discardableResult
    public func start() -> SystemError? {
        guard !hasStarted.exchange(true, ordering: .relaxed) else { return nil }
        if let error = Thread.start(named: "auth-read", { self.readRows() }) { return error }
        if let error = Thread.start(named: "auth-control", { self.control() }) { return error }
        for number in 0..<hashThreads {
            if let error = Thread.start(named: "auth-bcrypt-\(number)", { self.hash() }) { return error }
        }
        return nil
    }

    /// Answers all who wait with `unavailable`, on this thread, and ends the threads; waits for them up to a second, which only a
    /// hanging disk or a costly hash can take.
    public func stop() {
        guard !isStopping.exchange(true, ordering: .relaxed) else { return }
        desk.withLock { $0.stop() }.forEach { $0() }
        guard hasStarted.load(ordering: .relaxed) else { return }
        readBell.ring()
        controlBell.ring()
        for _ in 0..<hashThreads { hashes.signal() }
        interrupter.withLock { $0?.interrupt() }
        let deadline = DispatchTime.now() + .seconds(1)
        for _ in 0..<(2 + hashThreads) where ended.wait(timeout: deadline) == .timedOut { return }
    }

    /// Goes on with another secret, issuer, database or other limits; what was read of another database is forgotten.
    public func apply(_ options: AuthenticatorOptions) {
        desk.withLock { $0.apply(options) }
        readBell.ring()
    }

    /// Checks a credential.
    ///
    /// - Parameter later: called once, from a thread of ours, where the result is nil; else never. Must not block.
    /// - Returns: the verdict, where it needs neither the database nor bcrypt.
    /// - Complexity: about 40 microseconds for a token, 2 to 7 for an API key, measured from memory by a release build on a busy machine.
    public func authenticate(
        _ credential: Credential, later: @escaping @Sendable (Result<Identity, AuthenticationFailure>) -> Void
    ) -> Result<Identity, AuthenticationFailure>? {
        switch credential {
        case .token(let text):
            let (secret, issuer, generation) = desk.withLock { ($0.options.secret, $0.options.issuer, $0.secretGeneration) }
            switch JSONWebToken.check(text, secret: secret, issuer: issuer, now: clock.now()) {
            case .failure(let failure): return refuse(failure)
            case .success(let token):
                let signed = SignedToken(token: token, secretGeneration: generation)
                return ask(.user(token.userID), Waiter(token: signed, later: later)) { nil }
            }
        case .apiKey(let text):
            guard text.utf8.count <= Authenticator.keyBytesMax else { return refuse(.invalid(.tooLong)) }
            guard text.hasPrefix(Credential.apiKeyPrefix), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                return refuse(.invalid(.malformed))
            }
            guard let digest = Digest.sha256(text) else { return refuse(.unavailable("SHA-256 cannot be had of libcrypto")) }
            return ask(.key(digest), Waiter(token: nil, later: later)) { Secret(text) }
        }
    }

    /// The gateway's keys have 47 bytes.
    private static let keyBytesMax = 256

    private func refuse(_ failure: AuthenticationFailure) -> Result<Identity, AuthenticationFailure> {
        desk.withLock { $0.count(failure) }
        return .failure(failure)
    }

    private func ask(_ subject: Subject, _ waiter: Waiter, key: () -> Secret?) -> Result<Identity, AuthenticationFailure>? {
        let (now, wall) = (clock.monotonic(), clock.now())
        let result = desk.withLock { $0.ask(subject, waiter, key: key, at: now, wall) }
        if result == nil {
            readBell.ring()
            controlBell.ring()
        }
        return result
    }

    /// Looks at open connections again: whose credential was revoked or has ended, whose role is another one. Reads the database
    /// whatever is remembered.
    ///
    /// - Parameter later: called once, from a thread of ours, with one entry per identity, in order. Must not block.
    /// - Returns: false where so many rounds are waiting already that this one is not begun; then `later` is never called.
    public func recheck(_ identities: [Identity], later: @escaping @Sendable ([Recheck]) -> Void) -> Bool {
        let job = RecheckJob(identities, at: clock.monotonic(), later: later)
        guard desk.withLock({ $0.add(job) }) else { return false }
        readBell.ring()
        controlBell.ring()
        return true
    }

    public var counters: AuthenticatorCounters { desk.withLock { $0.snapshot() } }

    /// What is the matter with the database; nil while it can be read, or has not been needed yet.
    public var trouble: String? { desk.withLock { $0.trouble } }

    // MARK: threads

    private func control() {
        while !isStopping.load(ordering: .relaxed) {
            let (now, wall) = (clock.monotonic(), clock.now())
            let (answers, isHanging, isWaited) = withDesk { desk in
                let (answers, isHanging) = desk.overdue(at: now, wall)
                return (answers, isHanging, desk.waitsForReading)
            }
            if isHanging { interrupter.withLock { $0?.interrupt() } }
            answers.forEach { $0() }
            controlBell.sleep(nanoseconds: isWaited ? Authenticator.controlNanoseconds : Authenticator.idleNanoseconds)
        }
        ended.signal()
    }

    private func hash() {
        Thread.lowerPriority()
        let verifier = BcryptVerifier()
        while true {
            hashes.wait()
            if isStopping.load(ordering: .relaxed) { break }
            guard let hashing = desk.withLock({ $0.takeHashing() }) else { continue }
            let fits = (try? BcryptHash(parsing: hashing.bcrypt, costMax: hashing.costMax))  // was parsed before; a reload may lower the cost
                .map { verifier.verify(hashing.key, against: $0) } ?? false
            let (now, wall) = (clock.monotonic(), clock.now())
            withDesk { $0.finish(hashing, fits: fits, at: now, wall) }.forEach { $0() }
            readBell.ring()
            controlBell.ring()
        }
        ended.signal()
    }

    private func readRows() {
        var session: CredentialSession?
        while !isStopping.load(ordering: .relaxed) {
            let now = clock.monotonic()
            guard let reading = desk.withLock({ $0.takeReading(at: now) }) else {
                readBell.sleep(nanoseconds: Authenticator.idleNanoseconds)
                continue
            }
            let current: CredentialSession
            if let session, session.path == reading.path {
                current = session
            } else {
                current = CredentialSession(path: reading.path, busyMilliseconds: Authenticator.busyMilliseconds)
                session = current
            }
            let result = current.read(reading) { open in interrupter.withLock { $0 = open } }
            let (then, wall) = (clock.monotonic(), clock.now())
            let answers = withDesk { desk in
                switch result {
                case .success(let rows): desk.finish(reading, rows, at: then, wall)
                case .failure(let failure): desk.fail(reading, failure.sentence, at: then, wall)
                }
            }
            answers.forEach { $0() }
        }
        interrupter.withLock { $0 = nil }
        ended.signal()
    }

    /// Changes the desk; says in the log when the database has come or gone, and wakes who is to hash.
    private func withDesk<Value>(_ body: (inout CredentialDesk) -> Value) -> Value {
        let (value, before, after, more) = desk.withLock { desk in
            let (trouble, waits) = (desk.trouble, desk.waitsForHashing)
            let value = body(&desk)
            return (value, trouble, desk.trouble, desk.waitsForHashing - waits)
        }
        for _ in 0..<max(0, more) { hashes.signal() }
        if let after, before != after {
            Log.warn("credentials: \(after); who was let in within the last minute is let in, others are answered 503")
        } else if after == nil, before != nil {
            Log.info("credentials: the database can be read again")
        }
        return value
    }
}
