// What a connection to a TLS port begins with, looked at before anything is spent on it.

import Glibc

/// The beginning of a connection. A peer that sends no whole hello costs no more than its socket, however many there are.
public enum TLSHello: Sendable, Equatable {
    /// Nothing against it so far; more has to come.
    case incomplete
    /// A whole record of a handshake (RFC 8446 §5.1).
    case whole
    /// Something in capital letters, as requests begin.
    case request
    case garbage
    /// The peer has ended its side, or the connection broke.
    case ended

    /// Looks at what a socket has received, and leaves it there.
    /// - Parameter room: at least `bytesMax` bytes to work with.
    public static func look(_ descriptor: Int32, using room: UnsafeMutableRawBufferPointer) -> TLSHello {
        while true {
            let count = recv(descriptor, room.baseAddress, min(room.count, bytesMax), Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
            if count > 0 { return judge(UnsafeRawBufferPointer(rebasing: room[0..<count])) }
            if count == 0 { return .ended }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .incomplete : .ended
        }
    }

    /// A record's header and its longest payload.
    public static let bytesMax = 5 + 16_384

    static func judge(_ bytes: UnsafeRawBufferPointer) -> TLSHello {
        guard let first = bytes.first else { return .incomplete }
        if first != 22 { return (65...90).contains(first) ? .request : .garbage }
        if bytes.count >= 2, bytes[1] != 3 { return .garbage }
        guard bytes.count >= 5 else { return .incomplete }
        let length = Int(bytes[3]) << 8 | Int(bytes[4])
        // A record that is too long is left to OpenSSL, which refuses it with an alert.
        return bytes.count >= min(5 + length, bytesMax) ? .whole : .incomplete
    }
}
