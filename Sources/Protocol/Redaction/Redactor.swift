// Masks secrets in events. One pass over the bytes of compact JSON; where nothing is found nothing is allocated or copied.
//
// What may be a secret begins with one of a few texts, and each of these has three bytes that are rare elsewhere. So every second pair of
// bytes is looked up in a table: of three bytes, one of their two pairs is among those. Only a hit is looked at closely.

/// Finds and masks secrets. Immutable; any thread.
public final class Redactor: @unchecked Sendable {  // Sendable because nothing changes after `init`.
    /// What stands in place of a secret.
    public static let mask = "[redacted]"

    /// A text that makes a place worth a look.
    private struct Trigger {
        enum Kind {
            case key(Int)
            case bearer, basic, token, address, escape, field
        }
        var text: [UInt8]
        let kind: Kind
        /// Where in `text` its three bytes are.
        var window = 0
        var ignoresCase = false
    }
    /// A trigger that has a pair of bytes at this offset. Plain memory: looked at many times a second.
    private struct Candidate {
        let text: UnsafePointer<UInt8>
        let count: Int
        let offset: Int
        let kind: Trigger.Kind
        let ignoresCase: Bool
    }

    private let fields: [[UInt8]]
    /// Per pair of bytes (little endian): 1 where some trigger has it. Bits instead of bytes would take half the cache, and twice the work.
    private let known = UnsafeMutablePointer<UInt8>.allocate(capacity: 65_536)
    /// Per pair: the end of its candidates, which begin where those of the number before end; 0 for a pair without any.
    private let numbers = UnsafeMutablePointer<UInt16>.allocate(capacity: 65_536)
    private let ends: UnsafeMutablePointer<Int>
    private let candidates: UnsafeMutablePointer<Candidate>
    private let texts: UnsafeMutablePointer<UInt8>
    private let classes = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)

    /// - Parameter fields: names of members whose values are masked as a whole, in any case; ASCII without quote, backslash, `<`, `>`, `&`
    ///   and `'`, which writers of JSON may escape. Others match nothing.
    public init(fields: [String] = []) {
        for byte in 0..<256 { (classes + byte).initialize(to: SecretClass.of(UInt8(byte))) }
        known.initialize(repeating: 0, count: 65_536)
        numbers.initialize(repeating: 0, count: 65_536)
        let names = Set(fields.map { Array($0.utf8).map(HTTPSyntax.lowercased) }.filter { !$0.isEmpty })
        self.fields = Array(names)
        let triggers = Redactor.triggers(names)
        texts = .allocate(capacity: triggers.reduce(0) { $0 + $1.text.count })
        var lists: [UInt16: [Candidate]] = [:]
        var used = 0
        for trigger in triggers {
            let text = texts + used
            text.initialize(from: trigger.text, count: trigger.text.count)
            used += trigger.text.count
            for offset in trigger.window...trigger.window + 1 {
                let candidate = Candidate(
                    text: text, count: trigger.text.count, offset: offset, kind: trigger.kind, ignoresCase: trigger.ignoresCase)
                for first in trigger.ignoresCase ? Redactor.cases(text[offset]) : [text[offset]] {
                    for second in trigger.ignoresCase ? Redactor.cases(text[offset + 1]) : [text[offset + 1]] {
                        lists[UInt16(first) | UInt16(second) << 8, default: []].append(candidate)
                    }
                }
            }
        }
        ends = .allocate(capacity: lists.count + 1)
        ends.initialize(to: 0)
        candidates = .allocate(capacity: lists.values.reduce(0) { $0 + $1.count })
        for (number, (pair, list)) in lists.enumerated() {
            known[Int(pair)] = 1
            numbers[Int(pair)] = UInt16(number + 1)
            (candidates + ends[number]).initialize(from: list, count: list.count)
            (ends + number + 1).initialize(to: ends[number] + list.count)
        }
    }

    deinit {
        known.deallocate()
        numbers.deallocate()
        ends.deallocate()
        candidates.deallocate()
        texts.deallocate()
        classes.deallocate()
    }

    private static func triggers(_ names: Set<[UInt8]>) -> [Trigger] {
        KeyPattern.all.indices.map { index in
            Trigger(text: KeyPattern.all[index].prefixBytes, kind: .key(index), window: KeyPattern.all[index].window)
        } + [
            Trigger(text: Array("bearer".utf8), kind: .bearer, ignoresCase: true), Trigger(text: Array("basic ".utf8), kind: .basic, ignoresCase: true),
            Trigger(text: Array("eyJ".utf8), kind: .token), Trigger(text: Array("://".utf8), kind: .address),
            Trigger(text: Array("\\u0".utf8), kind: .escape), Trigger(text: Array("\\/\\".utf8), kind: .escape),
        ] + names.map { Trigger(text: Array("\"".utf8) + $0 + Array("\":".utf8), kind: .field, ignoresCase: true) }
    }

    private static func cases(_ byte: UInt8) -> [UInt8] {
        let lower = HTTPSyntax.lowercased(byte)
        return (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(lower) ? [lower, lower - 32] : [byte]
    }

    // MARK: using it

    /// A replacement in the text that was given.
    struct Edit {
        var range: Range<Int>
        let rule: RedactionRule
        /// What is replaced is no string, so the mask brings its quotes.
        var isQuoted = false
    }

    /// Masks the secrets of one JSON value.
    ///
    /// Strings only are changed, keys never; the value of a named field becomes a string. What was escaped is seen as what it stands for. A
    /// value grows by 12 bytes at most.
    /// - Parameters:
    ///   - json: validated and compact; anything else is memory-safe but yields nonsense.
    ///   - found: is told the rule of each mask.
    /// - Returns: nil where there is nothing to mask, which is the rule.
    /// - Complexity: O(bytes). Counted: 1440 instructions for an event of 400 bytes in which nothing is found, 1750 with three fields.
    public func masked(_ json: [UInt8], _ found: (RedactionRule) -> Void) -> [UInt8]? {
        json.withUnsafeBufferPointer { bytes -> [UInt8]? in
            guard let base = bytes.baseAddress else { return nil }
            var edits: [Edit] = []
            scan(SecretText(bytes: base, count: bytes.count, isRaw: true, classes: classes), &edits)
            return Redactor.apply(edits, to: bytes, found)
        }
    }

    /// Masks the secrets of a plain text, such as the type of an event.
    public func masked(text: String, _ found: (RedactionRule) -> Void) -> String? {
        var copy = text
        return copy.withUTF8 { bytes -> [UInt8]? in
            guard let base = bytes.baseAddress else { return nil }
            var edits: [Edit] = []
            scan(SecretText(bytes: base, count: bytes.count, isRaw: false, classes: classes), &edits)
            return Redactor.apply(edits, to: bytes, found)
        }.map { String(decoding: $0, as: UTF8.self) }
    }

    private static func apply(_ edits: [Edit], to bytes: UnsafeBufferPointer<UInt8>, _ found: (RedactionRule) -> Void) -> [UInt8]? {
        if edits.isEmpty { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count + edits.count * 12)
        var done = 0
        for edit in edits {
            out.append(contentsOf: bytes[done..<edit.range.lowerBound])
            if edit.isQuoted { out.append(UInt8(ascii: "\"")) }
            out.append(contentsOf: mask.utf8)
            if edit.isQuoted { out.append(UInt8(ascii: "\"")) }
            done = edit.range.upperBound
            found(edit.rule)
        }
        out.append(contentsOf: bytes[done...])
        return out
    }

    // MARK: the pass

    private func scan(_ text: SecretText, _ edits: inout [Edit]) {
        var pass = Pass(text: text)
        let known = UnsafePointer(known)
        var at = 0
        let last = text.count - 1
        while at < last {
            // Four pairs at once, while none is known; then the first that is.
            while at + 8 <= text.count {
                let eight = UInt64(littleEndian: UnsafeRawPointer(text.bytes + at).loadUnaligned(as: UInt64.self))
                let first = known[Int(eight & 0xFFFF)]
                let second = known[Int(eight >> 16 & 0xFFFF)]
                let third = known[Int(eight >> 32 & 0xFFFF)]
                if first | second | third | known[Int(eight >> 48)] != 0 {
                    at += first != 0 ? 0 : second != 0 ? 2 : third != 0 ? 4 : 6
                    break
                }
                at += 8
            }
            guard at < last else { return }
            let pair = UInt16(text.bytes[at]) | UInt16(text.bytes[at + 1]) << 8
            at = known[Int(pair)] == 0 ? at + 2 : look(at, pair, &pass, &edits)
        }
    }

    /// What is known of a text while it is passed.
    private struct Pass {
        let text: SecretText
        /// What is before this is done with.
        var floor = 0
        /// Up to here it is known to be inside a string that is a value.
        var valueEnd = -1
        var deadEnd = 0
    }

    /// Looks closely at a pair that some trigger has.
    /// - Returns: where to go on.
    private func look(_ at: Int, _ pair: UInt16, _ pass: inout Pass, _ edits: inout [Edit]) -> Int {
        let text = pass.text
        let number = Int(numbers[Int(pair)])
        guard number > 0 else { return at + 2 }
        for index in ends[number - 1]..<ends[number] {
            let candidate = candidates + index
            let start = at - candidate.pointee.offset
            let behind = start + candidate.pointee.count
            guard start >= pass.floor, behind <= text.count, Redactor.matches(candidate, text.bytes + start) else { continue }
            let verdict: SecretText.Verdict
            switch candidate.pointee.kind {
            case .key(let index): verdict = text.key(KeyPattern.all[index], prefixBytes: candidate.pointee.count, at: behind)
            case .bearer: verdict = text.bearer(at: behind)
            case .basic: verdict = text.basic(at: behind)
            case .token: verdict = text.token(at: start, deadEnd: &pass.deadEnd)
            case .address: verdict = text.address(at: behind)
            case .escape: verdict = text.isHiding(start) && !text.isCommonEscape(start) ? .hidden : .no
            case .field:
                // An unescaped quote behind a brace or comma begins a key: nowhere else does a colon follow its end.
                guard text.isRaw, start > 0, text.bytes[start - 1] == UInt8(ascii: "{") || text.bytes[start - 1] == UInt8(ascii: ",") else { continue }
                return maskValue(at: behind, &pass, &edits)
            }
            switch verdict {
            case .no: continue
            case .found(let found): if let next = take(found, &pass, &edits) { return next }
            case .hidden: return decode(around: start, &pass, &edits)
            }
        }
        return at + 2
    }

    private static func matches(_ candidate: UnsafeMutablePointer<Candidate>, _ bytes: UnsafePointer<UInt8>) -> Bool {
        for index in 0..<candidate.pointee.count {
            let byte = bytes[index]
            let wanted = candidate.pointee.text[index]
            guard byte == wanted || candidate.pointee.ignoresCase && HTTPSyntax.lowercased(byte) == wanted else { return false }
        }
        return true
    }

    /// Notes a mask, if what was found is part of a value.
    private func take(_ found: SecretText.Found, _ pass: inout Pass, _ edits: inout [Edit]) -> Int? {
        if pass.text.isRaw, found.lower >= pass.valueEnd {
            let end = pass.text.stringEnd(from: found.lower)
            if pass.text.isColon(end) {
                pass.floor = end
                return end
            }
            pass.valueEnd = end
        }
        if pass.text.isMask(found.lower..<found.upper) { return nil }
        edits.append(Edit(range: found.lower..<found.upper, rule: found.rule))
        pass.floor = found.upper
        return found.upper
    }

    /// Masks the value that begins here.
    private func maskValue(at start: Int, _ pass: inout Pass, _ edits: inout [Edit]) -> Int {
        let text = pass.text
        let end = text.valueEnd(from: start)
        pass.floor = max(end, start)
        guard end > start, text.bytes[start] != UInt8(ascii: "n") else { return pass.floor }
        let isString = text.bytes[start] == UInt8(ascii: "\"") && end - start >= 2
        let range = isString ? start + 1..<end - 1 : start..<end
        if !text.isMask(range) { edits.append(Edit(range: range, rule: .field, isQuoted: !isString)) }
        return pass.floor
    }

    // MARK: escapes

    /// Looks through the string around a place as what it stands for; the masks are put where that is written.
    ///
    /// The only part that allocates where nothing is found: a string that writes a letter or a slash with an escape. Each is decoded once.
    private func decode(around place: Int, _ pass: inout Pass, _ edits: inout [Edit]) -> Int {
        let text = pass.text
        let start = text.stringStart(before: place)
        let end = text.stringEnd(from: start)
        let contentEnd = max(start, end - 1)
        defer { pass.floor = max(pass.floor, end) }
        let (decoded, origins) = text.decoded(start..<contentEnd)
        if text.isColon(end) {
            if fields.contains(decoded.map(HTTPSyntax.lowercased)) { return maskValue(at: end + 1, &pass, &edits) }
            return max(end, place + 2)
        }
        var found: [Edit] = []
        decoded.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            scan(SecretText(bytes: base, count: bytes.count, isRaw: false, classes: classes), &found)
        }
        for edit in found {
            let range = Int(origins[edit.range.lowerBound])..<Int(origins[edit.range.upperBound])
            // What was found before has been masked already.
            if range.lowerBound >= pass.floor { edits.append(Edit(range: range, rule: edit.rule)) }
        }
        return max(end, place + 2)
    }
}

extension KeyPattern {
    var prefixBytes: [UInt8] { prefix.withUTF8Buffer { Array($0) } }
}
