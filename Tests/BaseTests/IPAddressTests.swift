// Addresses and networks as values.

import Base
import Testing

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("::", "::"), ("::1", "::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("::ffff:c000:201", "192.0.2.1"), ("fe80::1", "fe80::1"),
    ])
    func reads(text: String, normal: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == normal)
        #expect(IPAddress(normal) == address)
    }

    @Test(arguments: [
        "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "[::1]", "::1%lo", ":::", "1:2:3:4:5:6:7:8:9", "localhost", "1.2.3.4:5",
        "1.2.3.4\u{0}", "::1\u{0}x", "unknown", String(repeating: "1", count: 1000),
    ])
    func refuses(text: String) { #expect(IPAddress(text) == nil) }

    @Test func ofBytes() {
        #expect(IPAddress(bytes: [192, 0, 2, 1])?.description == "192.0.2.1")
        #expect(IPAddress(bytes: [0x20, 1, 0xD, 0xB8] + [UInt8](repeating: 0, count: 11) + [9])?.description == "2001:db8::9")
        for count in 0...20 where count != 4 && count != 16 { #expect(IPAddress(bytes: [UInt8](repeating: 1, count: count)) == nil) }
    }

    @Test func sites() {
        #expect(IPAddress("2001:db8:1:2:3:4:5:6")?.site == IPAddress("2001:db8:1:2::"))
        #expect(IPAddress("2001:db8:1:3::")?.site != IPAddress("2001:db8:1:2::"))
        #expect(IPAddress("192.0.2.1")?.site == IPAddress("192.0.2.1"))
        #expect(IPAddress("::ffff:192.0.2.1")?.site == IPAddress("192.0.2.1"))
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("127.255.0.3", true), ("128.0.0.1", false), ("::1", true), ("::2", false), ("::ffff:127.0.0.1", true), ("::", false), ("0.0.0.0", false),
        ("::127.0.0.1", false),
    ])
    func loopback(text: String, expected: Bool) { #expect(IPAddress(text)?.isLoopback == expected) }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.0", false), ("10.1.2.3/8", "10.9.9.9", true), ("192.0.2.128/25", "192.0.2.128", true),
        ("192.0.2.128/25", "192.0.2.127", false), ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.2", false), ("192.0.2.1/32", "192.0.2.1", true),
        ("0.0.0.0/0", "9.9.9.9", true), ("0.0.0.0/0", "2001:db8::1", false), ("::/0", "2001:db8::1", true), ("::/0", "9.9.9.9", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true), ("2001:db8::/32", "2001:db9::", false), ("2001:db8::/64", "2001:db8::ffff:0:0:1", true),
        ("2001:db8::/64", "2001:db8:0:1::", false), ("2001:db8::/65", "2001:db8::8000:0:0:0", false), ("2001:db8::1/128", "2001:db8::1", true),
        ("::ffff:10.0.0.0/104", "10.1.2.3", true), ("10.0.0.0/8", "::ffff:10.1.2.3", true),
    ])
    func networks(network: String, address: String, expected: Bool) throws {
        #expect(try #require(IPNetwork(network)).contains(#require(IPAddress(address))) == expected)
    }

    @Test(arguments: ["", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "::/129", "10.0.0.0/8/8", "x/8", "10.0.0.0/ 8"])
    func noNetworks(text: String) { #expect(IPNetwork(text) == nil) }
}
