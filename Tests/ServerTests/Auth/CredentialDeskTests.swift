// The desk alone: what happens between two steps of the threads, which no test of these can bring about at will.

import Base
import Crypto
import TestSupport
import Testing

@testable import Server

@Suite struct CredentialDeskTests {
    private let wall = Instant(milliseconds: 1_770_287_400_000)
    private let second: UInt64 = 1_000_000_000
    private let owner = UserRow(role: .user, isActive: true)

    private func desk(_ change: (inout AuthenticatorLimits) -> Void = { _ in }) -> CredentialDesk {
        var limits = AuthenticatorLimits()
        change(&limits)
        return CredentialDesk(AuthenticatorOptions(secret: Secret("x"), issuer: "i", databasePath: "a.db", limits: limits))
    }

    private func row(_ hash: String = "") throws -> CredentialRow {
        .key(
            KeyRow(
                id: "id", userID: "user", keyHash: [1], bcrypt: Array(hash.utf8), isActive: true, isRevoked: false,
                expires: wall.advanced(byMilliseconds: 3_600_000), owner: owner))
    }

    private func moved(_ desk: CredentialDesk) -> AuthenticatorOptions {
        var options = desk.options
        options.databasePath = "b.db"
        return options
    }

    private func ask(_ desk: inout CredentialDesk, _ subject: Subject, _ promise: Promise<Verdict>, at now: UInt64) -> Verdict? {
        desk.ask(subject, Waiter(token: nil) { promise.fill($0) }, key: { Secret("k") }, at: now, wall)
    }

    // The macros do not take mutating calls.
    private func takeReading(_ desk: inout CredentialDesk, at now: UInt64) -> CredentialDesk.Reading? { desk.takeReading(at: now) }
    private func takeHashing(_ desk: inout CredentialDesk) -> CredentialDesk.Hashing? { desk.takeHashing() }
    private func finish(_ desk: inout CredentialDesk, _ reading: CredentialDesk.Reading, _ row: CredentialRow, at now: UInt64) -> [Answer] {
        desk.finish(reading, [row], at: now, wall)
    }
    private func add(_ desk: inout CredentialDesk, _ job: RecheckJob) -> Bool { desk.add(job) }

    @Test func anotherDatabaseWhileReading() throws {
        let subject = Subject.key(try #require(Digest.sha256("k")))
        for succeeds in [true, false] {
            var desk = desk()
            let promise = Promise<Verdict>()
            #expect(ask(&desk, subject, promise, at: second) == nil)
            let first = try #require(takeReading(&desk, at: second))
            #expect(first.path == "a.db" && first.subjects == [subject])
            desk.apply(moved(desk))
            let answers = succeeds ? desk.finish(first, [try row()], at: second, wall) : desk.fail(first, "why", at: second, wall)
            #expect(answers.isEmpty && desk.trouble == nil)
            let again = try #require(takeReading(&desk, at: second))
            #expect(again.path == "b.db" && again.subjects == [subject])
            desk.finish(again, [.key(nil)], at: second, wall).forEach { $0() }
            #expect(try promise.wait() == .failure(.invalid(.unknownKey)))
        }
    }

    @Test func anotherDatabaseWhileHashing() throws {
        let digest = try #require(Digest.sha256("k"))
        let hash = try bcrypt("k")
        for change in ["path", "time", "none"] {
            var desk = desk()
            let promise = Promise<Verdict>()
            #expect(ask(&desk, .key(digest), promise, at: second) == nil)
            let reading = try #require(takeReading(&desk, at: second))
            let unread = finish(&desk, reading, try row(hash), at: second)
            #expect(unread.isEmpty && desk.waitsForHashing == 1)
            let hashing = try #require(takeHashing(&desk))
            if change == "path" { desk.apply(moved(desk)) }
            let answers = desk.finish(hashing, fits: true, at: change == "time" ? 6 * second : 2 * second, wall)
            if change == "none" {
                answers.forEach { $0() }
                #expect(try promise.wait().get().userID == "user")
                continue
            }
            #expect(answers.isEmpty, "\(change)")
            let again = try #require(takeReading(&desk, at: 6 * second))
            desk.finish(again, [try row(hash)], at: 6 * second, wall).forEach { $0() }
            #expect(try promise.wait().get().userID == "user", "\(change): what bcrypt said still counts")
            #expect(takeHashing(&desk) == nil)
            #expect(desk.snapshot().bcryptRuns == 1)
        }
    }

    /// Whoever was told already is not told again, and the late row is remembered.
    @Test func aReadThatComesTooLate() throws {
        let subject = Subject.key(try #require(Digest.sha256("k")))
        var desk = desk()
        let promise = Promise<Verdict>()
        #expect(ask(&desk, subject, promise, at: second) == nil)
        let reading = try #require(takeReading(&desk, at: second))
        let early = desk.overdue(at: 3 * second - 1, wall)
        #expect(early.answers.isEmpty && !early.isHanging)
        let (answers, isHanging) = desk.overdue(at: 3 * second, wall)
        answers.forEach { $0() }
        #expect(isHanging)
        #expect(try promise.wait() == .failure(.unavailable("a read of the database a.db does not come back")))
        let late = finish(&desk, reading, try row(), at: 4 * second)
        #expect(late.isEmpty && desk.trouble == nil)
        let verdict = ask(&desk, subject, promise, at: 5 * second)
        #expect(try verdict?.get().userID == "user")
    }

    @Test func boundsOfWaiting() throws {
        var desk = desk { $0.waiting = 3 }
        let subjects = try (0..<4).map { number in Subject.key(try #require(Digest.sha256("\(number)"))) }
        let promises = (0..<4).map { _ in Promise<Verdict>() }
        for index in 0..<3 { #expect(ask(&desk, subjects[index % 2], promises[index], at: second) == nil) }
        #expect(ask(&desk, subjects[3], promises[3], at: second) == .failure(.busy))
        #expect(ask(&desk, subjects[0], promises[3], at: second) == .failure(.busy), "to join is to wait")
        let reading = try #require(takeReading(&desk, at: second))
        #expect(reading.subjects.count == 2 && desk.snapshot().waiting == 3)
        desk.finish(reading, [.key(nil), .key(nil)], at: second, wall).forEach { $0() }
        #expect(desk.snapshot().waiting == 0 && desk.snapshot().rememberedRefused == 2)
        #expect(ask(&desk, subjects[3], promises[3], at: second) == nil)
    }

    @Test func boundsOfRechecks() throws {
        var desk = desk()
        let identity = Identity(userID: "u", role: .user, kind: .token(expires: wall), ceiling: .user, checkedAgainst: 1)
        let many = (0..<600).map { number in
            Identity(userID: "u\(number)", role: .user, kind: .token(expires: wall), ceiling: .user, checkedAgainst: 1)
        }
        let promise = Promise<[Recheck]>()
        #expect(add(&desk, RecheckJob(many, at: second) { promise.fill($0) }))
        for _ in 1..<CredentialDesk.rechecksMax { #expect(add(&desk, RecheckJob([identity], at: second) { _ in })) }
        #expect(!add(&desk, RecheckJob([identity], at: second) { _ in }))
        var sizes: [Int] = []
        while sizes.count < 3, let reading = desk.takeReading(at: second), let (job, subjects) = reading.recheck {
            sizes.append(subjects.count)
            for subject in subjects { job.add(.user(nil), for: subject) }
            desk.finish(reading, [], at: second, wall.advanced(byMilliseconds: -1)).forEach { $0() }
        }
        #expect(sizes == [256, 256, 88], "a transaction at a time")
        #expect(try promise.wait() == many.map { _ in .ended(.invalid(.unknownUser)) })
        #expect(add(&desk, RecheckJob([identity], at: second) { _ in }))
    }
}
