// Credentials of the fixture, a database to change, and verdicts waited for.

import Base
import CCrypt
import CSQLite
import Crypto
import Dispatch
import Glibc
import Protocol
import TestSupport
import Testing

@testable import Server

typealias Verdict = Result<Identity, AuthenticationFailure>

/// `keys.json`: credentials, and what the gateway answered to each.
struct Keys: Sendable {
    struct Entry: Sendable, CustomTestStringConvertible {
        let label: String
        /// A token or an API key.
        let text: String
        let userID: String
        let id: String
        /// Statuses of the gateway for any valid user, and for admins.
        let user: Int
        let admin: Int
        var testDescription: String { label }
    }

    let secret: String
    let issuer: String
    let tokens: [Entry]
    let keys: [Entry]

    static let all: Keys = {
        guard let keys = try? Keys(fixture("keys.json")) else { preconditionFailure("keys.json cannot be read") }
        return keys
    }()

    private init(_ path: String) throws {
        let json = try JSON(parsing: contents(path))
        secret = try #require(json["jwt"]?["secret"]?.string)
        issuer = try #require(json["jwt"]?["issuer"]?.string)
        func entry(_ json: JSON, _ text: String) throws -> Entry {
            Entry(
                label: try #require(json["label"]?.string), text: try #require(json[text]?.string),
                userID: json["user_id"]?.string ?? json["claims"]?["user_id"]?.string ?? "", id: json["id"]?.string ?? "",
                user: try #require(json["gateway"]?["GET /v1/models"]?.array?.first?.int),
                admin: try #require(json["gateway"]?["GET /admin/stats"]?.array?.first?.int))
        }
        tokens = try #require(json["jwts"]?.array).map { try entry($0, "token") }
        keys = try #require(json["api_keys"]?.array).map { try entry($0, "key") }
    }

    func token(_ label: String) -> String { tokens.first { $0.label == label }?.text ?? "" }
    func key(_ label: String) -> String { keys.first { $0.label == label }?.text ?? "" }
}

func fixture(_ name: String, file: String = #filePath) -> String {
    file.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/") + "/Fixtures/gateway/\(name)"
}

func contents(_ path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "r"), "\(path)")
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = fread(&chunk, 1, chunk.count, file)
        if count == 0 { return bytes }
        bytes += chunk[..<count]
    }
}

/// A copy of the fixture's database in a directory of its own, open for writing; gone with the value.
///
/// `@unchecked Sendable` because each test hands one to one thread at a time.
final class GatewayCopy: @unchecked Sendable {
    let folder: String
    let path: String
    private var handle: OpaquePointer?

    init(named name: String = "gateway.db") throws {
        var template = Array("/tmp/goleapai-auth-XXXXXX".utf8CString)
        folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        path = "\(folder)/\(name)"
        try put()
        try open()
    }

    deinit {
        sqlite3_close_v2(handle)
        for ending in ["", "-journal", "-wal", "-shm", ".away"] { unlink(path + ending) }
        rmdir(folder)
    }

    private func put() throws {
        let bytes = try contents(fixture("gateway-small.db"))
        let file = try #require(fopen(path, "w"))
        defer { fclose(file) }
        try #require(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    }

    private func open() throws {
        try #require(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, nil) == SQLITE_OK)
        sqlite3_busy_timeout(handle, 5000)
    }

    /// Another file at the same path, as the fixture has it.
    func replace() throws {
        sqlite3_close_v2(handle)
        unlink(path)
        try put()
        try open()
    }

    func takeAway() { rename(path, path + ".away") }
    func bringBack() { rename(path + ".away", path) }

    func execute(_ sql: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        #expect(code == SQLITE_OK, "\(String(cString: sqlite3_errmsg(handle))) in \(sql.prefix(200))", sourceLocation: sourceLocation)
    }

    /// A key of its own for the fixture's plain user. With a cost of 4 its bcrypt hash takes a millisecond.
    func addKey(_ key: String, id: String, hash: String? = nil, expires: String = "2099-12-31 23:59:59+00:00") throws {
        let digest = try #require(Digest.sha256(key)).hex
        execute(
            """
            INSERT INTO api_keys (id, user_id, name, key_hash, key_bcrypt, key_preview, active, expires_at)
            VALUES ('\(id)', 'f8c7547a-d7e1-4627-8c9f-7c872f840f9d', 'test', '\(digest)', '\(try hash ?? bcrypt(key))', 'gla_…', 1, '\(expires)')
            """)
    }
}

/// The bcrypt hash of a text.
func bcrypt(_ text: String, cost: String = "04") throws -> String {
    let memory = UnsafeMutablePointer<crypt_data>.allocate(capacity: 1)
    memset(memory, 0, MemoryLayout<crypt_data>.size)
    defer { memory.deallocate() }
    let hash = crypt_rn(text, "$2a$\(cost)$CCCCCCCCCCCCCCCCCCCCC.", memory, Int32(MemoryLayout<crypt_data>.size))
    return String(cString: try #require(hash))
}

/// Holds what comes from another thread. `@unchecked Sendable` because the semaphore orders the write before the read.
final class Promise<Value>: @unchecked Sendable {
    private var value: Value?
    private let done = DispatchSemaphore(value: 0)

    func fill(_ value: Value) {
        precondition(self.value == nil, "answered twice")
        self.value = value
        done.signal()
    }

    func wait() throws -> Value {
        guard done.wait(timeout: .now() + .seconds(hangGuardSeconds)) == .success, let value else { throw TestFailure("no answer") }
        return value
    }
}

extension Authenticator {
    /// The verdict, waited for.
    func verdict(_ credential: Credential) throws -> Verdict {
        let slot = Promise<Verdict>()
        return try authenticate(credential) { slot.fill($0) } ?? slot.wait()
    }

    func again(_ identities: [Identity]) throws -> [Recheck] {
        let slot = Promise<[Recheck]>()
        try #require(recheck(identities) { slot.fill($0) })
        return try slot.wait()
    }
}

/// An authenticator over a database, and a clock to move. Stopped with the value.
final class AuthBench {
    let clock = ManualClock()
    let authenticator: Authenticator
    let options: AuthenticatorOptions

    init(_ path: String, _ change: (inout AuthenticatorOptions) -> Void = { _ in }) {
        var options = AuthenticatorOptions(secret: Secret(Keys.all.secret), issuer: Keys.all.issuer, databasePath: path)
        options.limits.hashThreads = 2
        change(&options)
        self.options = options
        authenticator = Authenticator(options, clock: clock)
        authenticator.start()
    }

    deinit { authenticator.stop() }

    func key(_ label: String) throws -> Verdict { try authenticator.verdict(.apiKey(Keys.all.key(label))) }
    func token(_ label: String) throws -> Verdict { try authenticator.verdict(.token(Keys.all.token(label))) }
    func identity(_ verdict: Verdict) throws -> Identity { try verdict.get() }
}

/// A token as the gateway signs it; members as JSON text.
func sign(_ payload: String, header: String = #"{"alg":"HS256","typ":"JWT"}"#, secret: String = Keys.all.secret) -> String {
    let signed = Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array(payload.utf8))
    let code = Array(signed.utf8).withUnsafeBytes { Digest.hmacSHA256($0, key: Secret(secret)) }
    return signed + "." + (code?.withBytes { Base64URL.encode(Array($0)) } ?? "")
}
