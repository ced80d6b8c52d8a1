// From the bytes of a terminal's keyboard to keys.

/// A key, or two held together.
enum Key: Equatable, Sendable {
    case character(Character)
    /// Ctrl with a letter, in lower case.
    case control(Character)
    case enter, tab, backTab, backspace, delete, escape
    case up, down, left, right
    case pageUp, pageDown, home, end
    /// A sequence that is none of ours.
    case unknown
}

/// Takes bytes as they come, cut anywhere: the keys are the same. Pure; owner: one thread.
///
/// A lone Escape cannot be told from the beginning of a sequence until some time has passed; `finish()` says that it has.
struct KeyParser {
    /// Longer sequences are no keys.
    static let sequenceBytesMax = 32

    private var pending: [UInt8] = []
    /// Inside a sequence that is too long: to its end nothing counts.
    private var isSkipping = false

    /// Whether `finish()` would give a key.
    var isWaiting: Bool { !pending.isEmpty || isSkipping }

    mutating func feed(_ bytes: some Sequence<UInt8>) -> [Key] {
        var keys: [Key] = []
        for byte in bytes { take(byte, &keys) }
        return keys
    }

    /// Nothing more came for a while: what has begun is what it is.
    mutating func finish() -> [Key] {
        defer {
            pending.removeAll()
            isSkipping = false
        }
        guard let first = pending.first, !isSkipping else { return [] }
        guard first == 0x1B else { return [.unknown] }
        return [.escape] + (pending.count == 2 ? [.character(Character(Unicode.Scalar(pending[1])))] : [])
    }

    private mutating func take(_ byte: UInt8, _ keys: inout [Key]) {
        if isSkipping {
            isSkipping = !(0x40...0x7E).contains(byte)
            return
        }
        guard let first = pending.first else { return begin(byte, &keys) }
        guard first == 0x1B else { return character(byte, &keys) }
        if pending.count == 1 {
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "O"): pending.append(byte)
            default:
                // Escape, and then a key: as fast as that where a line is slow. Alt with a key looks the same.
                pending.removeAll()
                keys.append(.escape)
                begin(byte, &keys)
            }
            return
        }
        switch byte {
        case 0x20...0x3F where pending[1] == UInt8(ascii: "[") || (0x30...0x39).contains(byte):
            pending.append(byte)
            if pending.count > KeyParser.sequenceBytesMax {
                pending.removeAll()
                isSkipping = true
                keys.append(.unknown)
            }
        case 0x40...0x7E:
            keys.append(KeyParser.key(parameters: pending.dropFirst(2), final: byte))
            pending.removeAll()
        default:
            // ECMA-48 has no such byte in a sequence: it is broken off, and this is the next key.
            pending.removeAll()
            keys.append(.unknown)
            begin(byte, &keys)
        }
    }

    private mutating func begin(_ byte: UInt8, _ keys: inout [Key]) {
        switch byte {
        case 0x1B, 0xC2...0xF4: pending = [byte]
        case 0x0D, 0x0A: keys.append(.enter)
        case 0x09: keys.append(.tab)
        case 0x08, 0x7F: keys.append(.backspace)
        case 0x01...0x1A: keys.append(.control(Character(Unicode.Scalar(byte + 0x60))))
        case 0x20...0x7E: keys.append(.character(Character(Unicode.Scalar(byte))))
        default: keys.append(.unknown)
        }
    }

    /// UTF-8 of two to four bytes (RFC 3629).
    private mutating func character(_ byte: UInt8, _ keys: inout [Key]) {
        guard byte & 0xC0 == 0x80 else {
            pending.removeAll()
            keys.append(.unknown)
            return begin(byte, &keys)
        }
        pending.append(byte)
        let count = pending[0] < 0xE0 ? 2 : pending[0] < 0xF0 ? 3 : 4
        guard pending.count == count else { return }
        let text = String(validating: pending, as: UTF8.self)
        pending.removeAll()
        if let text, let scalar = text.unicodeScalars.first, CharacterWidth(of: scalar) != .forbidden {
            keys.append(.character(Character(scalar)))
        } else {
            keys.append(.unknown)
        }
    }

    /// Of xterm, rxvt, the Linux console and their heirs. What is held with a key (`1;5A`) makes no difference.
    private static func key(parameters: ArraySlice<UInt8>, final: UInt8) -> Key {
        switch Unicode.Scalar(final) {
        case "A": return .up
        case "B": return .down
        case "C": return .right
        case "D": return .left
        case "H": return .home
        case "F": return .end
        case "Z": return .backTab
        case "M": return .enter
        case "~":
            switch String(decoding: parameters.prefix { $0 != UInt8(ascii: ";") }, as: UTF8.self) {
            case "1", "7": return .home
            case "4", "8": return .end
            case "3": return .delete
            case "5": return .pageUp
            case "6": return .pageDown
            default: return .unknown
            }
        default: return .unknown
        }
    }
}
