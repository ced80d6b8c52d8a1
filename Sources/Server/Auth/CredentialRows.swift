// What the gateway's database says about a user or an API key.

import Base
import Crypto
import Storage

/// A row of `users`, as far as rights go.
struct UserRow: Equatable {
    let role: Role
    let isActive: Bool
}

/// A row of `api_keys` with its owner.
struct KeyRow: Equatable {
    let id: String
    let userID: String
    /// The row's own. Here and in `bcrypt`, one byte more than a right one has is the most that is kept.
    let keyHash: [UInt8]
    /// Empty where the row has none.
    let bcrypt: [UInt8]
    let isActive: Bool
    let isRevoked: Bool
    /// nil where the text makes no sense. A key whose row says no end (NULL or the year 1) has ended: so does the gateway see it.
    let expires: Instant?
    let owner: UserRow?

    /// Changes when the hashes do, with which the key was checked.
    var fingerprint: UInt64 {
        guard let digest = Digest.sha256(keyHash + [0] + bcrypt) else { return 0 }
        return digest.withBytes { $0.loadUnaligned(as: UInt64.self) }
    }

    /// What the row itself says against the key. The hash and the end are looked at elsewhere.
    var refusal: RefusalReason? {
        if isRevoked { return .revokedKey }
        if !isActive { return .inactiveKey }
        guard expires != nil else { return .unusableExpiry }
        guard let owner else { return .unknownUser }
        return owner.isActive ? nil : .disabledUser
    }
}

/// What is asked of the database.
enum Subject: Hashable {
    /// A user's id.
    case user(String)
    /// SHA-256 of an API key.
    case key(Digest)
    /// The id of an API key that was accepted before.
    case keyID(String)
}

/// The answer; nil where there is no such row.
enum CredentialRow: Equatable {
    case user(UserRow?)
    case key(KeyRow?)
}

/// The statements, prepared. Owner: the thread of their connection.
final class CredentialQueries {
    private let users: Statement
    private let keys: Statement
    private let keysByID: Statement

    /// - Throws: where the tables are not the gateway's.
    init(_ connection: Connection) throws(DatabaseError) {
        users = try connection.prepare("SELECT role, active FROM users WHERE id = ?1")
        let columns = """
            SELECT k.id, k.user_id, k.key_hash, k.key_bcrypt, k.active, k.revoked_at, k.expires_at, u.id, u.role, u.active
            FROM api_keys k LEFT JOIN users u ON u.id = k.user_id WHERE
            """
        keys = try connection.prepare("\(columns) k.key_hash = ?1")
        keysByID = try connection.prepare("\(columns) k.id = ?1")
    }

    func read(_ subject: Subject) throws(DatabaseError) -> CredentialRow {
        switch subject {
        case .user(let id):
            users.bind(id, at: 1)
            defer { users.reset() }
            return .user(try users.step() ? user(users, at: 0) : nil)
        case .key(let hash):
            keys.bind(hash.hex, at: 1)
            return .key(try key(keys))
        case .keyID(let id):
            keysByID.bind(id, at: 1)
            return .key(try key(keysByID))
        }
    }

    private func key(_ row: Statement) throws(DatabaseError) -> KeyRow? {
        defer { row.reset() }
        guard try row.step() else { return nil }
        return KeyRow(
            id: row.string(0), userID: row.string(1), keyHash: row.withText(2) { Array($0.prefix(65)) }, bcrypt: row.withText(3) { Array($0.prefix(61)) },
            isActive: isTrue(row, 4), isRevoked: !row.isNull(5),
            // No end at all is the year 1 to the gateway.
            expires: row.isNull(6) ? Instant(parsing: "0001-01-01 00:00:00+00:00") : row.withText(6) { Instant(parsing: $0) },
            owner: row.isNull(7) ? nil : user(row, at: 8))
    }

    private func user(_ row: Statement, at column: Int32) -> UserRow {
        UserRow(role: Role(named: row.string(column)), isActive: isTrue(row, column + 1))
    }

    /// 1 and nothing else.
    private func isTrue(_ row: Statement, _ column: Int32) -> Bool { !row.isText(column) && row.int64(column) == 1 }
}
