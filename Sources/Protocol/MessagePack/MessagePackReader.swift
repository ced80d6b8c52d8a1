// From MessagePack to JSON. Takes bytes of strangers: every read is preceded by a check of what is left, and nothing is made as large as a
// length claims before its bytes are there.

/// A place in bytes that are read as MessagePack. Borrows them; lives as long as one call.
struct MessagePackReader {
    private let input: UnsafeRawBufferPointer
    private let origin: MessagePack.Origin
    private var offset = 0
    private var valuesLeft: Int
    private var writer: JSONWriter

    init(_ input: UnsafeRawBufferPointer, _ origin: MessagePack.Origin, valuesMax: Int) {
        valuesLeft = valuesMax
        self.input = input
        self.origin = origin
        writer = JSONWriter(reserving: input.count * 3 / 2)
    }

    mutating func read(depthMax: Int) throws(MessagePackError) -> [UInt8] {
        try value(depthMax)
        if offset != input.count { throw MessagePackError(offset: offset, what: "unexpected bytes behind the value") }
        return writer.bytes
    }

    /// One value, in which so many containers may be open at once.
    private mutating func value(_ depth: Int) throws(MessagePackError) {
        let start = offset
        let format = try byte()
        if valuesLeft == 0 { throw MessagePackError(offset: start, what: "too many values") }
        valuesLeft -= 1
        switch format {
        case 0x00...0x7F: writer.int(UInt64(format))
        case 0xE0...0xFF: writer.int(Int64(Int8(bitPattern: format)))
        case MessagePackFormat.map15...MessagePackFormat.map15 + 15: try map(UInt64(format & 0x0F), depth, start)
        case MessagePackFormat.array15...MessagePackFormat.array15 + 15: try array(UInt64(format & 0x0F), depth, start)
        case MessagePackFormat.null: writer.null()
        case MessagePackFormat.no: writer.bool(false)
        case MessagePackFormat.yes: writer.bool(true)
        case MessagePackFormat.float32: try real(Double(Float(bitPattern: UInt32(truncatingIfNeeded: number(4)))), start)
        case MessagePackFormat.float64: try real(Double(bitPattern: number(8)), start)
        case MessagePackFormat.unsigned8...MessagePackFormat.unsigned8 + 3:
            writer.int(try number(1 << Int(format - MessagePackFormat.unsigned8)))
        case MessagePackFormat.signed8...MessagePackFormat.signed8 + 3:
            let bytes = 1 << Int(format - MessagePackFormat.signed8)
            // Shifted up and down again, so that the sign fills the bits above.
            writer.int(Int64(bitPattern: try number(bytes) << UInt64(64 - 8 * bytes)) >> Int64(64 - 8 * bytes))
        case MessagePackFormat.array16, MessagePackFormat.array16 + 1:
            try array(number(format == MessagePackFormat.array16 ? 2 : 4), depth, start)
        case MessagePackFormat.map16, MessagePackFormat.map16 + 1:
            try map(number(format == MessagePackFormat.map16 ? 2 : 4), depth, start)
        default:
            guard let content = try text(format, start) else { throw MessagePackError(offset: start, what: MessagePackReader.name(of: format)) }
            writer.string(utf8: content)
        }
    }

    /// What JSON has nothing for.
    private static func name(of format: UInt8) -> String {
        switch format {
        case 0xC4...0xC6: "binary is not accepted"
        case 0xC7...0xC9, 0xD4...0xD8: "extension types are not accepted"
        default: "a byte that begins no value"
        }
    }

    private mutating func real(_ value: Double, _ start: Int) throws(MessagePackError) {
        if value.isFinite { return writer.raw(value.description) }
        guard !value.isNaN, case .daemon = origin else { throw MessagePackError(offset: start, what: "a number that is not finite") }
        // No Double is so large, so it is read as what it was written as.
        writer.raw(value < 0 ? "-1e999" : "1e999")
    }

    // MARK: containers

    private mutating func array(_ count: UInt64, _ depth: Int, _ start: Int) throws(MessagePackError) {
        try enter(depth, start, bytesLeast: count)
        writer.beginArray()
        for _ in 0..<count { try value(depth - 1) }
        writer.endArray()
    }

    private mutating func map(_ count: UInt64, _ depth: Int, _ start: Int) throws(MessagePackError) {
        try enter(depth, start, bytesLeast: 2 * count)
        writer.beginObject()
        var names: Set<[UInt8]> = []
        for _ in 0..<count {
            let start = offset
            guard let name = try text(byte(), start) else { throw MessagePackError(offset: start, what: "a name that is no string") }
            if case .peer = origin, !names.insert(Array(name)).inserted { throw MessagePackError(offset: start, what: "a name for the second time") }
            writer.key(utf8: name)
            try value(depth - 1)
        }
        writer.endObject()
    }

    /// - Parameter bytesLeast: what the elements take at least.
    private func enter(_ depth: Int, _ start: Int, bytesLeast: UInt64) throws(MessagePackError) {
        guard depth > 0 else { throw MessagePackError(offset: start, what: "nested too deeply") }
        guard bytesLeast <= UInt64(input.count - offset) else { throw end }
    }

    // MARK: bytes

    /// The text of a string whose format has been read; nil for another format.
    private mutating func text(_ format: UInt8, _ start: Int) throws(MessagePackError) -> UnsafeRawBufferPointer? {
        let length: UInt64
        switch format {
        case MessagePackFormat.string31...MessagePackFormat.string31 + 31: length = UInt64(format & 0x1F)
        case MessagePackFormat.string8...MessagePackFormat.string8 + 2: length = try number(1 << Int(format - MessagePackFormat.string8))
        default: return nil
        }
        guard length <= UInt64(input.count - offset) else { throw end }
        let content = UnsafeRawBufferPointer(rebasing: input[offset..<(offset + Int(length))])
        offset += content.count
        guard UTF8Validator.isValid(content) else { throw MessagePackError(offset: start, what: "invalid UTF-8") }
        return content
    }

    private mutating func byte() throws(MessagePackError) -> UInt8 { UInt8(truncatingIfNeeded: try number(1)) }

    /// A number of 1, 2, 4 or 8 bytes, the highest first.
    private mutating func number(_ bytes: Int) throws(MessagePackError) -> UInt64 {
        guard input.count - offset >= bytes else { throw end }
        var value: UInt64 = 0
        for i in offset..<(offset + bytes) { value = value << 8 | UInt64(input[i]) }
        offset += bytes
        return value
    }

    private var end: MessagePackError { MessagePackError(offset: input.count, what: "unexpected end") }
}
