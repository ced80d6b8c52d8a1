// RFC 8259 once more, as plainly as it can be said, to compare the fast reader with. Shares no code with it.

struct JSONReference {
    private let bytes: [UInt8]
    private var i = 0
    /// The text without insignificant white space.
    private var compact: [UInt8] = []

    /// The one value of a whole text, compacted; nil if it is not valid.
    static func compacted(_ bytes: [UInt8], depthMax: Int = 64) -> [UInt8]? {
        var reader = JSONReference(bytes: bytes)
        guard reader.value(depthMax) else { return nil }
        reader.blanks()
        return reader.i == bytes.count ? reader.compact : nil
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private func peek() -> Character? { i < bytes.count ? Character(Unicode.Scalar(bytes[i])) : nil }

    private mutating func blanks() {
        while let c = peek(), " \t\n\r".unicodeScalars.contains(where: { Character($0) == c }) { i += 1 }
    }

    private mutating func take(_ wanted: Character) -> Bool {
        guard peek() == wanted else { return false }
        compact.append(bytes[i])
        i += 1
        return true
    }

    private mutating func value(_ depth: Int) -> Bool {
        blanks()
        switch peek() {
        case "{":
            return depth > 0
                && container("{", "}", depth) {
                    $0.blanks()
                    return $0.string()
                        && {
                            $0.blanks()
                            return $0.take(":")
                        }(&$0)
                }
        case "[": return depth > 0 && container("[", "]", depth) { _ in true }
        case "\"": return string()
        case "t": return "true".allSatisfy { take($0) }
        case "f": return "false".allSatisfy { take($0) }
        case "n": return "null".allSatisfy { take($0) }
        default: return number()
        }
    }

    private mutating func container(_ open: Character, _ close: Character, _ depth: Int, _ prefix: (inout JSONReference) -> Bool)
        -> Bool
    {
        guard take(open) else { return false }
        blanks()
        if take(close) { return true }
        repeat {
            guard prefix(&self), value(depth - 1) else { return false }
            blanks()
        } while take(",")
        return take(close)
    }

    private mutating func digits() -> Bool {
        let start = i
        while let c = peek(), "0123456789".contains(c) { _ = take(c) }
        return i > start
    }

    private mutating func number() -> Bool {
        _ = take("-")
        if !take("0") { guard digits() else { return false } }
        if take(".") { guard digits() else { return false } }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            return digits()
        }
        return true
    }

    private mutating func string() -> Bool {
        guard take("\"") else { return false }
        let start = i
        while let c = peek(), c != "\"" {
            if bytes[i] < 0x20 { return false }
            _ = take(c)
            guard c == "\\" else { continue }
            if take("u") {
                for _ in 0..<4 {
                    guard let c = peek(), c.isASCII, c.isHexDigit, take(c) else { return false }
                }
            } else if !"\"\\/bfnrt".contains(where: { take($0) }) {
                return false
            }
        }
        return String(validating: bytes[start..<i], as: UTF8.self) != nil && take("\"")
    }
}
