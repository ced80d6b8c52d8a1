// The PROXY protocol, versions 1 and 2: what a proxy says of a connection before the connection's own first byte.

import Base

/// What such a header says.
public struct ProxyHeader: Sendable, Equatable {
    /// The client's address and port; nil where the connection is the proxy's own (LOCAL, a health check) or it does not say (UNKNOWN, UNSPEC).
    public let source: Source?

    public struct Source: Sendable, Equatable {
        public let address: IPAddress
        public let port: UInt16

        public init(address: IPAddress, port: UInt16) {
            self.address = address
            self.port = port
        }
    }

    public init(source: Source?) { self.source = source }

    /// The verdict about the first bytes of a connection.
    public enum Reading: Sendable, Equatable {
        /// It may be one; more bytes are needed.
        case incomplete
        /// It is none: all bytes are the connection's own.
        case absent
        /// It is one, and the connection's own bytes begin behind so many.
        case header(ProxyHeader, bytes: Int)
        /// It begins as one, but cannot be one; why, in words.
        case malformed(String)
    }

    /// The specification allows a line of 107 bytes, CRLF included.
    static let lineBytesMax = 107
    /// 65,551 would be allowed; addresses take 232 at most, and what proxies add (names, certificates) fits easily.
    public static let bytesMax = 4096

    private static let signature1 = Array("PROXY ".utf8)
    private static let signature2: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// Looks at the first bytes of a connection: everything that has come so far. Pure; the verdict does not depend on how they were cut.
    ///
    /// - Complexity: O(`bytesMax`); for bytes that are no header the first few decide. Allocates for a header of version 1 only.
    /// - SeeAlso: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>
    public static func read(_ bytes: UnsafeRawBufferPointer) -> Reading {
        guard let first = bytes.first else { return .incomplete }
        if first == signature1[0] {
            guard begins(bytes, signature1) else { return .absent }
            return bytes.count < signature1.count ? .incomplete : line(bytes)
        }
        guard first == signature2[0], begins(bytes, signature2) else { return .absent }
        return bytes.count < signature2.count ? .incomplete : binary(bytes)
    }

    /// Whether what has come agrees with a signature as far as both go.
    private static func begins(_ bytes: UnsafeRawBufferPointer, _ signature: [UInt8]) -> Bool {
        zip(bytes, signature).allSatisfy { $0 == $1 }
    }

    // MARK: version 1

    /// `PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n`
    private static func line(_ bytes: UnsafeRawBufferPointer) -> Reading {
        let stretch = bytes.prefix(lineBytesMax)
        guard let newline = stretch.firstIndex(of: 0x0A) else {
            return bytes.count >= lineBytesMax ? .malformed("a PROXY line longer than \(lineBytesMax) bytes") : .incomplete
        }
        guard bytes[newline - 1] == 0x0D, let text = String(validating: bytes[..<(newline - 1)], as: UTF8.self) else {
            return .malformed("a PROXY line that does not end with CRLF")
        }
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        // Whatever follows UNKNOWN is to be ignored.
        if words.count >= 2, words[1] == "UNKNOWN" { return .header(ProxyHeader(source: nil), bytes: newline + 1) }
        guard words.count == 6, words[1] == "TCP4" || words[1] == "TCP6", let source = IPAddress(words[2]), IPAddress(words[3]) != nil,
            words[2].contains(":") == (words[1] == "TCP6"), words[3].contains(":") == (words[1] == "TCP6"), let port = number(words[4]), number(words[5]) != nil
        else { return .malformed("a PROXY line that is not understood") }
        return .header(ProxyHeader(source: Source(address: source, port: port)), bytes: newline + 1)
    }

    private static func number(_ text: Substring) -> UInt16? {
        guard !text.isEmpty, text.utf8.count <= 5, text == "0" || text.utf8.first != UInt8(ascii: "0") else { return nil }
        return HTTPSyntax.decimal(text.utf8).flatMap { UInt16(exactly: $0) }
    }

    // MARK: version 2

    private static func binary(_ bytes: UnsafeRawBufferPointer) -> Reading {
        guard bytes.count > 12 else { return .incomplete }
        guard bytes[12] >> 4 == 2, bytes[12] & 0xF <= 1 else { return .malformed("a PROXY header of another version or command") }
        guard bytes.count >= 16 else { return .incomplete }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        guard 16 + length <= bytesMax else { return .malformed("a PROXY header longer than \(bytesMax) bytes") }
        let (family, transport) = (bytes[13] >> 4, bytes[13] & 0xF)
        guard family <= 3, transport <= 2 else { return .malformed("a PROXY header of an unknown address family") }
        let isLocal = bytes[12] & 0xF == 0
        // Source and destination address, then their ports. Unix and unspecified addresses say nothing about whom to count; neither do datagrams.
        let addressBytes = isLocal || transport != 1 ? nil : family == 1 ? 4 : family == 2 ? 16 : nil
        if let addressBytes, length < 2 * addressBytes + 4 { return .malformed("a PROXY header without room for its addresses") }
        guard bytes.count >= 16 + length else { return .incomplete }
        let source = addressBytes.flatMap { count in
            IPAddress(bytes: bytes[16..<16 + count]).map { address in
                let port = 16 + 2 * count
                return Source(address: address, port: UInt16(bytes[port]) << 8 | UInt16(bytes[port + 1]))
            }
        }
        // Type-length-value extensions fill the rest, and are passed over.
        return .header(ProxyHeader(source: source), bytes: 16 + length)
    }
}
