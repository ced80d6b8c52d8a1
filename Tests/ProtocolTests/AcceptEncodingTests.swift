import Testing

@testable import Protocol

struct AcceptEncodingTests {
    @Test(arguments: [
        ("gzip", true), ("br, gzip", true), ("gzip;q=0.5", true), ("*", true), ("*;q=0, gzip", true), ("x-gzip", true), ("gzip;level=1;q=1", true),
        ("gzip;q=0", false), ("gzip;q=0, *", false), ("identity", false), ("gzipped", false), ("", false), (";q=1", false), (",,", false),
        ("gzip;q= 0", false), ("gzip; q = 0.000", false), ("gzip;q=\"0\"", false), ("gzip;q=-1", false), ("gzip;q=0x0", false), ("gzip;q=", false), ("GZIP;Q=1", true),
        ("gzip;q=2", false), ("gzip; q=0.001", true), ("gzip;quality=0", true),
        ("gzip;q=0.2, identity;q=0.8", false), ("identity, gzip;q=0.1", false), ("identity;q=0.5, gzip;q=0.5", true), ("identity;q=0, gzip;q=0.1", true),
        ("*;q=0.4, identity;q=0.5", false), ("identity;q=0", false), ("gzip;q=1, *;q=0", true), ("gzip, gzip;q=0", true), ("identity;q=x, gzip;q=0.1", true),
    ])
    func takesGzip(value: String, isTaken: Bool) throws {
        let bytes = Array("GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: \(value)\r\n\r\n".utf8)
        var parser = RequestHeadParser()
        let head = try #require(try bytes.withUnsafeBytes { try parser.parse($0) }).head
        #expect(AcceptEncoding.takesGzip(head) == isTaken)
    }
}
