// JSON as a tree, for small texts that are to be understood: control messages, tokens, answers. What is only passed on goes
// through `JSONScanner` instead.

/// A JSON value.
///
/// Two values are equal if they have the same shape, order of members included; numbers compare as they were written.
public indirect enum JSON: Equatable, Sendable {
    case null
    case bool(Bool)
    /// The number's own text, so that no precision is lost.
    case number(String)
    case string(String)
    case array([JSON])
    /// Members in order; names may repeat.
    case object([(key: String, value: JSON)])

    /// Reads a whole text: strict RFC 8259, UTF-8 checked, nothing but white space around the value. A lone surrogate escape
    /// becomes U+FFFD.
    /// - Parameters:
    ///   - depthMax: containers that may be open at once, up to 64.
    ///   - valuesMax: values in all; a tree costs many times its text.
    public init(parsing input: UnsafeRawBufferPointer, depthMax: Int = 64, valuesMax: Int = .max) throws(JSONError) {
        // Validated first: building the tree then needs to be neither strict nor careful with its recursion.
        var cursor = JSONCursor(input, at: 0)
        try cursor.validateValue(depthMax: depthMax)
        cursor.skipWhitespace()
        if cursor.p != cursor.end { throw cursor.error("unexpected text behind the value") }
        var builder = JSONCursor(input, at: 0)
        var valuesLeft = valuesMax
        self = try JSON.build(&builder, &valuesLeft)
    }

    public init(parsing text: String, depthMax: Int = 64, valuesMax: Int = .max) throws(JSONError) {
        try self.init(parsing: Array(text.utf8), depthMax: depthMax, valuesMax: valuesMax)
    }

    public init(parsing bytes: [UInt8], depthMax: Int = 64, valuesMax: Int = .max) throws(JSONError) {
        let result: Result<JSON, JSONError> = bytes.withUnsafeBytes { buffer in
            do throws(JSONError) {
                return .success(try JSON(parsing: buffer, depthMax: depthMax, valuesMax: valuesMax))
            } catch {
                return .failure(error)
            }
        }
        self = try result.get()
    }

    private static func build(_ cursor: inout JSONCursor, _ valuesLeft: inout Int) throws(JSONError) -> JSON {
        cursor.skipWhitespace()
        guard cursor.p < cursor.end else { throw cursor.error("unexpected end") }
        if valuesLeft == 0 { throw cursor.error("too many values") }
        valuesLeft -= 1
        let first = cursor.p
        switch first.pointee {
        case UInt8(ascii: "{"):
            var members: [(key: String, value: JSON)] = []
            cursor.p += 1
            while try !closes(&cursor, UInt8(ascii: "}")) {
                let key = cursor.p
                try cursor.validateKey()
                let keyEnd = cursor.p - 1
                members.append((text(key, keyEnd), try build(&cursor, &valuesLeft)))
            }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSON] = []
            cursor.p += 1
            while try !closes(&cursor, UInt8(ascii: "]")) { elements.append(try build(&cursor, &valuesLeft)) }
            return .array(elements)
        case UInt8(ascii: "\""):
            try cursor.validateString()
            return .string(text(first, cursor.p))
        default:
            try cursor.validateValue(depthMax: 0)
            switch first.pointee {
            case UInt8(ascii: "t"): return .bool(true)
            case UInt8(ascii: "f"): return .bool(false)
            case UInt8(ascii: "n"): return .null
            default: return .number(String(decoding: UnsafeBufferPointer(start: first, count: cursor.p - first), as: UTF8.self))
            }
        }
    }

    /// Passes white space and a comma; true, and behind it, where the container closes.
    private static func closes(_ cursor: inout JSONCursor, _ bracket: UInt8) throws(JSONError) -> Bool {
        cursor.skipWhitespace()
        if cursor.p < cursor.end, cursor.p.pointee == UInt8(ascii: ",") {
            cursor.p += 1
            cursor.skipWhitespace()
        }
        guard cursor.p < cursor.end else { throw cursor.error("unexpected end") }
        guard cursor.p.pointee == bracket else { return false }
        cursor.p += 1
        return true
    }

    /// The text of the literal that begins at `start`; white space and a colon may follow its closing quote before `end`.
    private static func text(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> String {
        var count = end - start
        while count > 1, start[count - 1] != UInt8(ascii: "\"") { count -= 1 }
        return String(decoding: JSONScanner.unescape(UnsafeRawBufferPointer(start: start, count: count)), as: UTF8.self)
    }

    // MARK: access

    /// The value of the first member of this name; nil where there is none, and for what is no object.
    public subscript(key: String) -> JSON? {
        if case .object(let members) = self { members.first { $0.key == key }?.value } else { nil }
    }

    public var string: String? { if case .string(let text) = self { text } else { nil } }
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var array: [JSON]? { if case .array(let elements) = self { elements } else { nil } }
    public var object: [(key: String, value: JSON)]? { if case .object(let members) = self { members } else { nil } }
    public var isNull: Bool { if case .null = self { true } else { false } }

    /// The number as an integer: nil for a fraction and for what Int cannot hold exactly. `1.0` and `1e3` are integers.
    public var int: Int? {
        guard case .number(let text) = self else { return nil }
        if let value = Int(text) { return value }
        guard text.contains(where: { ".eE".contains($0) }), let value = Double(text) else { return nil }
        // Beyond 2^53 a Double does not tell neighbours apart.
        guard value.magnitude <= 9_007_199_254_740_992 else { return nil }
        return Int(exactly: value)
    }

    /// The number as a Double; nil for one too large for it.
    public var double: Double? {
        guard case .number(let text) = self, let value = Double(text), value.isFinite else { return nil }
        return value
    }

    public static func == (a: JSON, b: JSON) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.number(let a), .number(let b)): a == b
        case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)):
            a.elementsEqual(b) { $0.key.utf8.elementsEqual($1.key.utf8) && $0.value == $1.value }
        default: false
        }
    }
}
