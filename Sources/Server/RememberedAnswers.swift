// Answers that are given again to whoever asks the same again: what makes publishing safe to retry.

import Protocol

/// Tells bodies apart without keeping them.
struct BodyPrint: Hashable {
    let count: Int
    let hash: Int

    init(_ body: [UInt8]) {
        count = body.count
        var hasher = Hasher()
        body.withUnsafeBytes { hasher.combine(bytes: $0) }
        hash = hasher.finalize()
    }
}

/// Answers by Idempotency-Key, for five minutes, bounded.
struct RememberedAnswers {
    /// Keys of one principal are nothing to another.
    struct Key: Hashable {
        var principal: String
        var text: String
    }
    struct Entry {
        var print: BodyPrint
        var response: Response
        var until: UInt64

        /// The answer, if the question is the same.
        func response(to print: BodyPrint) throws(Broadcast.Refusal) -> Response {
            guard print == self.print else { throw Broadcast.Refusal(status: 422, what: "this Idempotency-Key was used with another body") }
            return response
        }
    }
    /// Beyond this the oldest goes before its time.
    static let entriesMax = 10_000
    static let nanoseconds: UInt64 = 300 * 1_000_000_000

    private var entries: [Key: Entry] = [:]
    /// Keys, oldest first; `first` is where the living ones begin.
    private var order: [Key] = []
    private var first = 0

    mutating func find(_ key: Key, at now: UInt64) -> Entry? {
        forget(before: now)
        return entries[key]
    }

    mutating func keep(_ key: Key, _ print: BodyPrint, _ response: Response, at now: UInt64) {
        if entries.count >= RememberedAnswers.entriesMax, first < order.count {
            entries[order[first]] = nil
            first += 1
        }
        entries[key] = Entry(print: print, response: response, until: now + RememberedAnswers.nanoseconds)
        order.append(key)
        if first > RememberedAnswers.entriesMax {
            order.removeFirst(first)
            first = 0
        }
    }

    private mutating func forget(before now: UInt64) {
        while first < order.count, let entry = entries[order[first]], entry.until <= now {
            entries[order[first]] = nil
            first += 1
        }
    }
}
