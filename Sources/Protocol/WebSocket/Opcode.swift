// Frame types of RFC 6455 §5.2. A struct, not an enum: peers send any of the sixteen numbers.

/// What a frame is, the low four bits of its first byte.
public struct Opcode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt8

    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// A further fragment of the message begun before.
    @inlinable public static var continuation: Opcode { Opcode(rawValue: 0x0) }
    @inlinable public static var text: Opcode { Opcode(rawValue: 0x1) }
    @inlinable public static var binary: Opcode { Opcode(rawValue: 0x2) }
    @inlinable public static var close: Opcode { Opcode(rawValue: 0x8) }
    @inlinable public static var ping: Opcode { Opcode(rawValue: 0x9) }
    @inlinable public static var pong: Opcode { Opcode(rawValue: 0xA) }

    /// RFC 6455 §5.5: the highest bit marks control frames, which may stand between the fragments of a message.
    @inlinable public var isControl: Bool { rawValue & 0x8 != 0 }

    /// Whether RFC 6455 gives this number a meaning; the others must be refused.
    @inlinable public var isDefined: Bool { rawValue <= 0x2 || (rawValue >= 0x8 && rawValue <= 0xA) }

    public var description: String {
        switch self {
        case .continuation: "continuation"
        case .text: "text"
        case .binary: "binary"
        case .close: "close"
        case .ping: "ping"
        case .pong: "pong"
        default: "opcode \(rawValue)"
        }
    }
}
