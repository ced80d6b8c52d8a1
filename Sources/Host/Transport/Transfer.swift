// What a client's end of a connection has read or written, plain or over TLS, without waiting.

import Base
import Glibc

/// The outcome of one step of reading, writing or shaking hands.
public enum Transfer {
    case bytes(Int)
    /// Nothing at present.
    case wait
    /// Nothing before the socket can be written to.
    case waitToWrite
    case closed
    case failed(String)

    public init(_ step: TLSClient.Step) {
        switch step {
        case .done(let count): self = .bytes(count)
        case .wantsRead: self = .wait
        case .wantsWrite: self = .waitToWrite
        case .closed: self = .closed
        case .failed(let failure): self = .failed(failure.reason)
        }
    }

    /// recv(2) from a non-blocking socket.
    public static func receive(from descriptor: Int32, into room: UnsafeMutableRawBufferPointer) -> Transfer {
        while true {
            let count = recv(descriptor, room.baseAddress, room.count, 0)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .closed }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wait
            default: return .failed(SystemError.text(of: errno))
            }
        }
    }

    /// send(2) to a non-blocking socket.
    public static func send(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Transfer {
        while true {
            let count = Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            if count >= 0 { return .bytes(count) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .waitToWrite
            default: return .failed(SystemError.text(of: errno))
            }
        }
    }
}
