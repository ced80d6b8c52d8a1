// The one file that speaks C with libcrypt: whether a password fits a bcrypt hash.

import CCrypt
import Glibc

/// A bcrypt hash as a database has it, taken apart and found well-formed: `$2a$10$` and 53 characters.
public struct BcryptHash: Equatable, Sendable {
    /// All 60 bytes.
    let bytes: [UInt8]
    /// Each step doubles the work.
    public let cost: Int

    /// The work of the lowest cost is 1 ms of a core, of 10 (the gateway's) 64 ms, of 14 a second.
    public static let costMin = 4

    /// Why a text is no such hash.
    public enum Refusal: Error, Equatable { case malformed, tooCostly(Int) }

    /// Checked here in full, because libcrypt takes a text that it does not know for one of a much weaker kind.
    /// - Parameter costMax: hashes beyond are refused, so that a row cannot keep a core busy for minutes.
    public init(parsing text: some Collection<UInt8>, costMax: Int) throws(Refusal) {
        let bytes = Array(text)
        guard bytes.count == 60, bytes[0] == UInt8(ascii: "$"), bytes[1] == UInt8(ascii: "2"),
            "aby".utf8.contains(bytes[2]), bytes[3] == UInt8(ascii: "$"), bytes[6] == UInt8(ascii: "$"),
            let tens = BcryptHash.digit(bytes[4]), let ones = BcryptHash.digit(bytes[5]),
            bytes[7...].allSatisfy(BcryptHash.isInAlphabet)
        else { throw .malformed }
        cost = tens * 10 + ones
        // bcrypt knows costs up to 31.
        guard cost >= BcryptHash.costMin, cost <= 31 else { throw .malformed }
        guard cost <= costMax else { throw .tooCostly(cost) }
        self.bytes = bytes
    }

    private static func digit(_ byte: UInt8) -> Int? { byte >= 48 && byte <= 57 ? Int(byte - 48) : nil }

    private static func isInAlphabet(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "."), UInt8(ascii: "/"):
            true
        default: false
        }
    }
}

/// Verifies passwords, one after the other. Owner: one thread at a time.
///
/// libcrypt wants 32 KiB of working memory, which is too much for a stack and is kept from one run to the next, wiped in between.
public final class BcryptVerifier {
    private let memory = UnsafeMutablePointer<crypt_data>.allocate(capacity: 1)

    public init() { wipe() }

    deinit {
        wipe()
        memory.deallocate()
    }

    /// Takes as long as the hash's cost says.
    /// - Parameter password: what bcrypt uses of it are its first 72 bytes; one with a zero byte fits nothing.
    public func verify(_ password: Secret, against hash: BcryptHash) -> Bool {
        guard password.withBytes({ !$0.contains(0) }) else { return false }
        let phrase = UnsafeMutableRawBufferPointer.allocate(byteCount: password.count + 1, alignment: 1)
        defer {
            wipe()
            OpenSSL.cleanse(phrase)
            phrase.deallocate()
        }
        password.withBytes { phrase.copyMemory(from: $0) }
        phrase[password.count] = 0
        let setting = hash.bytes.map { CChar(bitPattern: $0) } + [0]
        guard let start = phrase.assumingMemoryBound(to: CChar.self).baseAddress,
            let result = crypt_rn(start, setting, memory, Int32(MemoryLayout<crypt_data>.size))
        else { return false }
        // A failure that is reported as a text begins with `*` and so differs; the length is the first thing that would.
        let found = UnsafeRawBufferPointer(start: result, count: strnlen(result, MemoryLayout<crypt_data>.size))
        return hash.bytes.withUnsafeBytes { OpenSSL.areEqual($0, found) }
    }

    private func wipe() {
        OpenSSL.cleanse(UnsafeMutableRawBufferPointer(start: memory, count: MemoryLayout<crypt_data>.size))
    }
}
