// Texts with a number in them: what makes each client's filter, and each event's field, another one.

/// A text with at most one place for a number: `c{n%500}`, `c{n}`, or a plain one.
///
/// For a client n is its number, for an event its sequence, both from 0.
public struct Pattern: Equatable, Sendable {
    private let before: String
    private let after: String
    /// 0 where n stands alone; nil where there is no number.
    private let divisor: Int?

    static let divisorMax = 10_000

    /// - Throws: what is wrong between the braces.
    public init(parsing text: some StringProtocol) throws(BenchError) {
        guard let open = text.firstIndex(of: "{") else {
            (before, after, divisor) = (String(text), "", nil)
            return
        }
        let rest = text[open...].dropFirst()
        guard let close = rest.firstIndex(of: "}") else { throw BenchError("\"\(text)\": the brace is not closed") }
        let inside = rest[..<close]
        before = String(text[..<open])
        after = String(rest[rest.index(after: close)...])
        guard !after.contains("{") else { throw BenchError("\"\(text)\": only one number can be in it") }
        if inside == "n" {
            divisor = 0
        } else {
            guard inside.hasPrefix("n%"), let number = Int(inside.dropFirst(2)), (1...Pattern.divisorMax).contains(number) else {
                throw BenchError("\"{\(inside)}\": wanted is {n} or {n%500}, with 1 to \(Pattern.divisorMax)")
            }
            divisor = number
        }
    }

    /// After how many numbers the texts come again.
    /// - Parameter count: of clients; `{n}` is taken as `{n%count}`.
    func period(of count: Int) -> Int {
        switch divisor {
        case nil: 1
        case 0?: max(1, count)
        case let divisor?: divisor
        }
    }

    func text(_ n: Int, of count: Int) -> String {
        divisor == nil ? before : "\(before)\(n % period(of: count))\(after)"
    }
}

/// Named patterns, in order: `component=c{n%500}&level=warn`.
public struct FieldPatterns: Equatable, Sendable {
    struct Field: Equatable, Sendable {
        let name: String
        let pattern: Pattern
    }

    private(set) var fields: [Field] = []

    public init() {}

    public init(parsing text: String) throws(BenchError) {
        for part in text.split(separator: "&", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2, !sides[0].isEmpty else { throw BenchError("\"\(part)\": wanted is name=value, several with & between them") }
            let name = String(sides[0])
            guard !fields.contains(where: { $0.name == name }) else { throw BenchError("\(name) is named twice") }
            fields.append(Field(name: name, pattern: try Pattern(parsing: sides[1])))
        }
    }

    /// These, and those of `others` whose names are not here.
    func filled(by others: FieldPatterns) -> FieldPatterns {
        var all = self
        all.fields += others.fields.filter { other in !fields.contains { $0.name == other.name } }
        return all
    }

    subscript(name: String) -> Pattern? { fields.first { $0.name == name }?.pattern }
}
