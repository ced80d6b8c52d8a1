// IP addresses and networks as values: what limits and trust are decided by.

import Glibc

/// An IPv4 or IPv6 address: 128 bits, in which an IPv4 address is the same as when it is mapped into IPv6 (RFC 4291 §2.5.5.2).
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// In host order: the first 64 bits and the last.
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// - Parameter bytes: 4 or 16 in network order; nil for another number.
    public init?(bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: self.init(high: 0, low: bytes.reduce(0xFFFF) { $0 << 8 | UInt64($1) })
        case 16: self.init(high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }, low: bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) })
        default: return nil
        }
    }

    /// Reads a text such as `127.0.0.1` or `2001:db8::1`: without brackets, port, zone, or zeros before a number (inet_pton(3)).
    public init?(_ text: some StringProtocol) {
        let text = String(text)
        // A NUL would end it for the C library only.
        guard text.utf8.count <= 45, !text.utf8.contains(0) else { return nil }
        var space = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &space) == 1 {
            self.init(bytes: space.prefix(4))
        } else if inet_pton(AF_INET6, text, &space) == 1 {
            self.init(bytes: space)
        } else {
            return nil
        }
    }

    public var isIPv4: Bool { high == 0 && low >> 32 == 0xFFFF }

    /// 127.0.0.0/8 or ::1.
    public var isLoopback: Bool { isIPv4 ? low >> 24 & 0xFF == 127 : high == 0 && low == 1 }

    /// What one customer of a network is given: an IPv4 address, or the /64 of an IPv6 one.
    public var site: IPAddress { isIPv4 ? self : IPAddress(high: high, low: 0) }

    /// As the C library writes it (inet_ntop(3)).
    public var description: String {
        var bytes = [UInt8](repeating: 0, count: 16)
        for index in 0..<8 {
            bytes[index] = UInt8(truncatingIfNeeded: high >> UInt64(56 - 8 * index))
            bytes[8 + index] = UInt8(truncatingIfNeeded: low >> UInt64(56 - 8 * index))
        }
        var text = [CChar](repeating: 0, count: 64)
        _ = isIPv4 ? inet_ntop(AF_INET, Array(bytes[12...]), &text, 64) : inet_ntop(AF_INET6, bytes, &text, 64)
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A network: addresses that begin alike.
public struct IPNetwork: Hashable, Sendable {
    private let address: IPAddress
    /// Of 128 bits.
    private let bits: Int

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address. Bits behind the prefix do not count.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPAddress(first) else { return nil }
        // A prefix length of a mapped address counts the 128 bits that are written.
        let isShort = address.isIPv4 && !first.contains(":")
        var length = isShort ? 32 : 128
        if parts.count == 2 {
            guard !parts[1].isEmpty, parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let given = Int(parts[1]), given <= length else { return nil }
            length = given
        }
        self.address = address
        bits = isShort ? 96 + length : length
    }

    public func contains(_ other: IPAddress) -> Bool {
        let high = address.high ^ other.high
        if bits == 0 { return true }
        if bits <= 64 { return high >> UInt64(64 - bits) == 0 }
        return high == 0 && (address.low ^ other.low) >> UInt64(128 - bits) == 0
    }
}

extension [IPNetwork] {
    public func contains(_ address: IPAddress) -> Bool { contains { $0.contains(address) } }
}
