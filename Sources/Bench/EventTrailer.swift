// The end of an event's message, by which the bench knows it again: the last field of its data, in each encoding.

import Protocol

/// How the trailer of an event (`EventShape`) looks in what a client receives: a key, and as text the run, the sequence and the instant.
struct EventTrailer: Sendable {
    /// What stands before the digits of the run; eight bytes at least.
    let key: [UInt8]
    /// Bytes behind the digits of the instant.
    let closingBytes: Int
    /// Bytes at the end of `EventShape.pad` that the encoding does not have.
    let padBytesLeftOut: Int
    /// The first byte of a frame with such a message.
    let frameByte: UInt8

    var runAt: Int { key.count }
    var sequenceAt: Int { key.count + 9 }
    var instantAt: Int { key.count + 18 }
    var bytes: Int { key.count + 34 + closingBytes }

    init(_ encoding: BenchPlan.Encoding) {
        switch encoding {
        case .json:
            (key, closingBytes, padBytesLeftOut) = (EventShape.key, EventShape.trailerBytes - EventShape.instantAt - 16, 0)
            frameByte = 0x80 | Opcode.text.rawValue
        case .msgpack:
            // A name of five bytes, and the head of a text of 34. Nothing closes a container, and no quote and comma end the text before.
            (key, closingBytes, padBytesLeftOut) = ([0xA5] + Array("bench".utf8) + [0xD9, 34], 0, 2)
            frameByte = 0x80 | Opcode.binary.rawValue
        }
    }
}
