// PROXY headers: what they say, what is refused, and that it does not matter how they are cut.

import Base
import Protocol
import TestSupport
import Testing

private let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
private let four: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 1, 0xC3, 0x50, 0x01, 0xBB]
private let six = hex("20010db8 00000000 00000000 00000001 20010db8 00000000 00000000 00000002 c350 01bb")

/// A header of version 2.
private func binary(_ command: UInt8, _ family: UInt8, _ rest: [UInt8], length: Int? = nil) -> [UInt8] {
    let length = length ?? rest.count
    return signature + [command, family, UInt8(length >> 8), UInt8(length & 0xFF)] + rest
}

private func read(_ bytes: [UInt8]) -> ProxyHeader.Reading { bytes.withUnsafeBytes { ProxyHeader.read($0) } }

private func source(_ address: String, _ port: UInt16) -> ProxyHeader {
    ProxyHeader(source: IPAddress(address).map { ProxyHeader.Source(address: $0, port: port) })
}

private let good: [(name: String, bytes: [UInt8], header: ProxyHeader)] = [
    ("v1 TCP4", Array("PROXY TCP4 192.0.2.1 198.51.100.1 50000 443\r\n".utf8), source("192.0.2.1", 50_000)),
    ("v1 TCP6", Array("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n".utf8), source("2001:db8::1", 1)),
    (
        "v1, the longest",
        Array("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n".utf8),
        source("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65_535)
    ), ("v1 UNKNOWN", Array("PROXY UNKNOWN\r\n".utf8), ProxyHeader(source: nil)),
    ("v1 UNKNOWN, more", Array("PROXY UNKNOWN ffff::1 whatever 1 2 3\r\n".utf8), ProxyHeader(source: nil)),
    ("v2 TCP4", binary(0x21, 0x11, four), source("192.0.2.1", 50_000)), ("v2 TCP6", binary(0x21, 0x21, six), source("2001:db8::1", 50_000)),
    ("v2 with extensions", binary(0x21, 0x11, four + [0x01, 0, 2, 0x68, 0x32, 0x20, 0, 3, 1, 2, 3]), source("192.0.2.1", 50_000)),
    ("v2 LOCAL", binary(0x20, 0x00, []), ProxyHeader(source: nil)), ("v2 LOCAL with addresses", binary(0x20, 0x11, four), ProxyHeader(source: nil)),
    ("v2 UNSPEC", binary(0x21, 0x00, [1, 2, 3]), ProxyHeader(source: nil)), ("v2 Unix", binary(0x21, 0x31, [UInt8](repeating: 7, count: 216)), ProxyHeader(source: nil)),
    ("v2 UDP", binary(0x21, 0x12, four), ProxyHeader(source: nil)),
    ("v2, the largest", binary(0x21, 0x11, four + [UInt8](repeating: 0, count: 4096 - 16 - 12)), source("192.0.2.1", 50_000)),
]

@Suite struct ProxyHeaderTests {
    /// Whole, with what follows, and cut at every position: until the last byte has come, nothing is decided.
    @Test func reads() {
        for (name, bytes, header) in good {
            for rest in ["", "G", "GET / HTTP/1.1\r\n\r\n", "PROXY UNKNOWN\r\n"] {
                #expect(read(bytes + Array(rest.utf8)) == .header(header, bytes: bytes.count), "\(name)")
            }
            for count in 0..<bytes.count { #expect(read(Array(bytes[..<count])) == .incomplete, "\(name), \(count) bytes") }
        }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1", "PUT", "PROX", "PROXZ", "PROXY", "\r\nGET / HTTP/1.1\r\n\r\n", "\r\n\r\nGET", "\u{16}\u{3}\u{1}", "\u{0}",
    ])
    func absent(text: String) {
        let bytes = Array(text.utf8)
        let mayBeOne = "PROXY ".hasPrefix(text)
        #expect(read(bytes) == (mayBeOne ? .incomplete : .absent))
    }

    @Test(arguments: [
        "PROXY TCP4 192.0.2.1 198.51.100.1 50000 443\n", "PROXY \r\n", "PROXY TCP4\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 50000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 50000 443 \r\n", "PROXY  TCP4 192.0.2.1 198.51.100.1 50000 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 050 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 +5 443\r\n", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.256 198.51.100.1 5 443\r\n", "PROXY TCP4 192.0.2.1 x 5 443\r\n", "PROXY tcp4 192.0.2.1 198.51.100.1 5 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.1 5 443\r\n", "PROXY UNKNOWN" + String(repeating: "x", count: 94), "PROXY TCP4 192.0.2.1 198.51.100.1 5 443\u{0}\r\n",
        "PROXY \n",
    ])
    func malformedLines(text: String) {
        guard case .malformed = read(Array(text.utf8)) else {
            Issue.record("\(text): \(read(Array(text.utf8)))")
            return
        }
    }

    @Test(arguments: [
        binary(0x11, 0x11, four), binary(0x31, 0x11, four), binary(0x22, 0x11, four), binary(0x21, 0x41, four), binary(0x21, 0x13, four),
        binary(0x21, 0x11, Array(four.dropLast())), binary(0x21, 0x21, Array(six.dropLast())), binary(0x21, 0x21, four), binary(0x21, 0x11, four, length: 4081),
        binary(0x21, 0x11, four, length: 65_535),
    ])
    func malformedBinary(bytes: [UInt8]) {
        guard case .malformed = read(bytes) else {
            Issue.record("\(bytes): \(read(bytes))")
            return
        }
    }

    /// More bytes never change a verdict.
    @Test func fuzzed() {
        let samples = good.map(\.bytes) + good.map { $0.bytes + Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8) }
        let finding = fuzz(samples, rounds: 20_000) { input, _ in
            var verdict: ProxyHeader.Reading?
            for count in 0...input.count {
                let reading = read(Array(input[..<count]))
                if let verdict, reading != verdict { return "\(verdict) became \(reading) at \(count)" }
                if reading != .incomplete { verdict = reading }
                if case .header(_, let bytes) = reading, bytes > count { return "more than there is" }
                if count > 4200 { break }
            }
            return input.count > 4200 && verdict == nil ? "undecided after \(input.count)" : nil
        }
        #expect(finding == nil)
    }
}
