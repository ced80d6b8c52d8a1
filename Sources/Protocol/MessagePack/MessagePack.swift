// MessagePack (its specification has no number: msgpack/spec.md), as another form of the same JSON. Nothing is kept as a tree on the way.

/// Turns JSON into MessagePack and back. Nothing here keeps state.
public enum MessagePack {
    /// Bytes that JSON texts of `bytes` bytes in all, `texts` of them, take as MessagePack at most.
    ///
    /// The shortest text of a float64, which takes nine bytes, is of three characters and a separator. With 5/2 for a character, the longest head
    /// of a container (5) is paid for by its brackets, and that of a string by its quotes.
    public static func bytesMax(texts: Int, bytes: Int) -> Int { (bytes + texts) * 5 / 2 }

    /// Writes a JSON text as MessagePack: the shortest form of everything, integers as integers where 64 bits will do, other numbers as float64
    /// (what has a fraction or an exponent stays a float, however whole it is; what is too large for one is infinite). Members keep their
    /// order, and equal names stay; a lone surrogate becomes U+FFFD.
    ///
    /// - Parameters:
    ///   - json: one value, validated and compact; anything else yields nonsense, or traps.
    ///   - target: room for `bytesMax` of it.
    /// - Returns: bytes written.
    /// - Complexity: O(bytes of the text); what a container of 16 elements or more holds is moved once more. Allocates for strings with escapes only.
    public static func write(_ json: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) -> Int {
        var writer = MessagePackWriter(json, target, room: bytesMax(texts: 1, bytes: json.count))
        return writer.write()
    }

    /// The same as an array of its own.
    public static func bytes(of json: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: bytesMax(texts: 1, bytes: json.count)) { buffer, initialized in
            guard let base = buffer.baseAddress else { return }
            initialized = json.withUnsafeBytes { write($0, to: UnsafeMutableRawPointer(base)) }
        }
    }

    /// Whose MessagePack is read.
    public enum Origin: Sendable {
        /// A stranger's: of equal names there is one only, and numbers are finite.
        case peer
        /// The daemon's own: equal names come as a publisher wrote them, and a number that is too large for a float64 is infinite.
        case daemon
    }

    /// The JSON text, compact, of one MessagePack value; whole floats keep their `.0`.
    ///
    /// - Parameters:
    ///   - depthMax: containers that may be open at once.
    ///   - valuesMax: values in all.
    /// - Throws: for what JSON cannot say (binary, extensions, names that are no strings, NaN), strings that are not UTF-8, bytes that are missing
    ///   or left over, and by `origin`. What a length claims is believed only as far as bytes are there.
    /// - Complexity: O(bytes of the input); the text has at most six bytes for one.
    public static func json(of input: UnsafeRawBufferPointer, depthMax: Int = 64, valuesMax: Int = .max, from origin: Origin) throws(MessagePackError) -> [UInt8] {
        var reader = MessagePackReader(input, origin, valuesMax: valuesMax)
        return try reader.read(depthMax: depthMax)
    }
}

/// The first byte of a value.
enum MessagePackFormat {
    // Of the ranges 00...7f, 80...8f, 90...9f, a0...bf and e0...ff, the low bits are the value or the count.
    static let map15: UInt8 = 0x80
    static let array15: UInt8 = 0x90
    static let string31: UInt8 = 0xA0
    static let null: UInt8 = 0xC0
    static let no: UInt8 = 0xC2
    static let yes: UInt8 = 0xC3
    static let float32: UInt8 = 0xCA
    static let float64: UInt8 = 0xCB
    /// The first of four: 8, 16, 32 and 64 bits.
    static let unsigned8: UInt8 = 0xCC
    static let signed8: UInt8 = 0xD0
    /// The first of three: a length of 8, 16 and 32 bits.
    static let string8: UInt8 = 0xD9
    /// The first of two: a count of 16 and 32 bits.
    static let array16: UInt8 = 0xDC
    static let map16: UInt8 = 0xDE
}
