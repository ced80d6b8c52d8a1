import TestSupport
import Testing

@testable import Crypto

@Suite struct BcryptTests {
    /// Of Openwall's crypt_blowfish.
    static let vectors: [(hash: String, password: String)] = [
        ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
        ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"),
        ("$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"),
        ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", ""),
        ("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
        ("$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
    ]

    @Test(arguments: vectors) func fits(_ text: String, _ password: String) throws {
        let hash = try BcryptHash(parsing: text.utf8, costMax: 14)
        let verifier = BcryptVerifier()
        #expect(hash.cost == 5)
        #expect(verifier.verify(Secret(password), against: hash))
        #expect(!verifier.verify(Secret(password + "x"), against: hash))
        #expect(!verifier.verify(Secret(password + "\0"), against: hash), "C would end it there")
        #expect(verifier.verify(Secret(password), against: hash), "again with the same memory")
    }

    @Test func costs() throws {
        let rest = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
        func cost(_ two: String, max: Int = 14) throws(BcryptHash.Refusal) -> Int {
            try BcryptHash(parsing: "$2a$\(two)$\(rest)".utf8, costMax: max).cost
        }
        #expect(try cost("04") == 4 && cost("14") == 14 && cost("05", max: 5) == 5 && cost("31", max: 31) == 31)
        #expect(throws: BcryptHash.Refusal.malformed) { try cost("03") }
        #expect(throws: BcryptHash.Refusal.malformed) { try cost("00") }
        #expect(throws: BcryptHash.Refusal.malformed) { try cost("32", max: 99) }
        #expect(throws: BcryptHash.Refusal.malformed) { try cost("99") }
        #expect(throws: BcryptHash.Refusal.tooCostly(15)) { try cost("15") }
        #expect(throws: BcryptHash.Refusal.tooCostly(31)) { try cost("31") }
        #expect(throws: BcryptHash.Refusal.tooCostly(6)) { try cost("06", max: 5) }
    }

    /// What libcrypt would take for traditional DES or another method, or read beyond.
    @Test(arguments: [
        "", "garbage", "ab", "$1$salt$qJH7.N4xYta3aEG/dfqo/0", "$6$salt$x", "$y$j9T$x", "*0", "$apr1$x$y", "$2$05$CCCCCCCCCCCCCCCCCCCCC.",
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWW",
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "$2A$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2a$5$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWW", "$2a$ 5$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe\0", "$2a$05$CCCCCCCC CCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2a$05$CCCCCCCCCCCCCCCCCCCC\u{E9}.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    ]) func malformed(_ text: String) {
        #expect(throws: BcryptHash.Refusal.malformed) { try BcryptHash(parsing: text.utf8, costMax: 31) }
    }

    /// bcrypt has no more than 72 bytes of a password; what is beyond does not count, here as in the gateway.
    @Test func longPasswords() throws {
        let hash = try BcryptHash(parsing: "$2a$05$/OK.fbVrR/bpIqNJ5ianF.swQOIzjOiJ9GHEPuhEkvqrUyvWhEMx6".utf8, costMax: 14)
        let password = [UInt8](repeating: 0xAA, count: 72)
        let verifier = BcryptVerifier()
        #expect(verifier.verify(Secret(password), against: hash))
        #expect(verifier.verify(Secret(password + Array("chars after 72 are ignored as usual".utf8)), against: hash))
        #expect(!verifier.verify(Secret(Array(password.dropLast())), against: hash))
    }

    @Test func fuzzed() {
        let finding = fuzz(BcryptTests.vectors.map { Array($0.hash.utf8) }) { input, _ in
            guard let hash = try? BcryptHash(parsing: input, costMax: 31) else { return nil }
            return hash.bytes == input && input.count == 60 && input.starts(with: "$2".utf8) && (4...31).contains(hash.cost) ? nil : "accepted"
        }
        #expect(finding == nil)
    }
}
