// A client's side of the wire, and the receiver's actions as values that can be compared.

@testable import Protocol

/// A frame as a client sends it. Every part can be made wrong.
func clientFrame(
    _ opcode: UInt8, _ payload: [UInt8] = [], final: Bool = true, reserved: UInt8 = 0, mask: [UInt8]? = [0x37, 0xFA, 0x21, 0x3D],
    lengthBytes: Int? = nil, announced: UInt64? = nil
) -> [UInt8] {
    let length = announced ?? UInt64(payload.count)
    var bytes: [UInt8] = [(final ? 0x80 : 0) | reserved << 4 | opcode]
    let form = lengthBytes ?? (length < 126 ? 0 : length < 65_536 ? 2 : 8)
    bytes.append((mask == nil ? 0 : 0x80) | (form == 0 ? UInt8(length) : form == 2 ? 126 : 127))
    for shift in stride(from: (form - 1) * 8, through: 0, by: -8) {
        bytes.append(UInt8(truncatingIfNeeded: length >> UInt64(shift)))
    }
    bytes += mask ?? []
    bytes += payload.indices.map { i in payload[i] ^ (mask.map { $0[i % 4] } ?? 0) }
    return bytes
}

func clientText(_ text: String, final: Bool = true) -> [UInt8] { clientFrame(0x1, Array(text.utf8), final: final) }

func clientClose(_ code: UInt16, _ reason: [UInt8] = []) -> [UInt8] {
    clientFrame(0x8, [UInt8(code >> 8), UInt8(code & 0xFF)] + reason)
}

/// An action with its bytes copied.
enum Seen: Equatable {
    case text(String)
    case binary([UInt8])
    case ping([UInt8])
    case pong([UInt8])
    case close(UInt16?, String)
    case fail(UInt16)
}

/// Feeds pieces of `bytes`, each in memory of its own that is overwritten afterwards, and collects what happens.
func receive(
    _ bytes: [UInt8], cuts: [Int] = [], messageBytesMax: Int = 65_536, fragmentsMax: Int = 65_536, acceptsText: Bool = true,
    acceptsBinary: Bool = true
) -> (seen: [Seen], isIdle: Bool) {
    var receiver = FrameReceiver(messageBytesMax: messageBytesMax, fragmentsMax: fragmentsMax, acceptsText: acceptsText, acceptsBinary: acceptsBinary)
    var seen: [Seen] = []
    for range in pieces(bytes.count, cuts) {
        var piece = Array(bytes[range])
        piece.withUnsafeMutableBytes { buffer in
            var input = buffer
            while let action = receiver.next(&input) {
                switch action {
                case .message(.text, let text): seen.append(.text(String(decoding: text, as: UTF8.self)))
                case .message(_, let bytes): seen.append(.binary(Array(bytes)))
                case .ping(let bytes): seen.append(.ping(Array(bytes)))
                case .pong(let bytes): seen.append(.pong(Array(bytes)))
                case .close(let code, let reason): seen.append(.close(code?.rawValue, reason))
                case .fail(let code, _): seen.append(.fail(code.rawValue))
                }
            }
            if input.count > 0 { seen.append(.fail(0)) }
        }
    }
    return (seen, receiver.isIdle)
}
