import TestSupport
import Testing

@testable import Crypto

/// Bytes from hexadecimal digits, as vectors are printed.
func bytes(hex: String) -> [UInt8] {
    var digits = hex.utf8.filter { $0 != 0x20 }[...]
    var bytes: [UInt8] = []
    while let high = digits.popFirst(), let low = digits.popFirst() {
        bytes.append(UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16) ?? 0)
    }
    return bytes
}

@Suite struct DigestTests {
    static let digests: [(name: String, input: [UInt8], digest: String)] = [
        ("nothing", [], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("RFC 6234 TEST1", Array("abc".utf8), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("RFC 6234 TEST2", Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        ("RFC 6234 TEST3", Array(repeating: UInt8(ascii: "a"), count: 1_000_000),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ("RFC 6234 TEST8", bytes(hex: "e3d72570dcdd787ce3887ab2cd684652"),
            "175ee69b02ba9b58e2b0a5fd13819cea573f3940a94f825128cf4209beabb4e8"),
    ]

    @Test(arguments: digests) func sha256(_ name: String, _ input: [UInt8], _ expected: String) throws {
        #expect(try #require(Digest.sha256(input)).hex == expected, "\(name)")
    }

    static let codes: [(name: String, key: [UInt8], input: [UInt8], code: String)] = [
        ("RFC 4231 §4.2", .init(repeating: 0x0B, count: 20), Array("Hi There".utf8),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        ("RFC 4231 §4.3", Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ("RFC 4231 §4.4", .init(repeating: 0xAA, count: 20), .init(repeating: 0xDD, count: 50),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        ("RFC 4231 §4.7", .init(repeating: 0xAA, count: 131), Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
        ("no key, nothing to sign", [], [], "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
    ]

    @Test(arguments: codes) func hmac(_ name: String, _ key: [UInt8], _ input: [UInt8], _ expected: String) throws {
        let code = try #require(input.withUnsafeBytes { Digest.hmacSHA256($0, key: Secret(key)) })
        #expect(code.hex == expected, "\(name)")
        #expect(code.isEqual(to: bytes(hex: expected)))
    }

    @Test func comparing() throws {
        let digest = try #require(Digest.sha256("abc"))
        let same = digest.withBytes { Array($0) }
        #expect(digest.isEqual(to: same) && digest == Digest.sha256("abc"))
        for index in same.indices {
            for bit in 0..<8 {
                var other = same
                other[index] ^= 1 << bit
                #expect(!digest.isEqual(to: other))
            }
        }
        #expect(!digest.isEqual(to: []) && !digest.isEqual(to: Array(same.dropLast())) && !digest.isEqual(to: same + [0]))
    }

    @Test func randomBytesDiffer() throws {
        let some = try #require(RandomBytes.make(32))
        let others = try #require(RandomBytes.make(32))
        #expect(some.count == 32 && some != others)
        #expect(RandomBytes.make(0) == [])
    }

    @Test func secretsAreNotShown() {
        let canary = "canary-0123456789"
        let secret = Secret(canary)
        var dumped = ""
        dump(secret, to: &dumped)
        dump([Optional(secret)], to: &dumped)
        struct Holder { let inner: Secret }
        dump(Holder(inner: secret), to: &dumped)
        let shown = "\(secret) \(String(reflecting: secret)) \([secret]) \(Holder(inner: secret)) \(String(describing: Optional(secret)))" + dumped
        #expect(!shown.contains("canary"), "\(shown)")
        #expect(shown.contains("(secret)"))
        #expect(secret.withBytes { Array($0) } == Array(canary.utf8))
    }

    @Test func secretsAreCompared() {
        #expect(Secret("").isEqual(to: Secret("")) && Secret("a").isEqual(to: Secret([97])))
        #expect(!Secret("a").isEqual(to: Secret("b")) && !Secret("a").isEqual(to: Secret("")) && !Secret("").isEqual(to: Secret("ab")))
        #expect(Secret("").isEmpty && Secret("ab").count == 2)
    }
}
