// Answers of several queues, gathered.

import Base

/// Gathers a known number of answers; any thread may add.
final class Collected<Answer: Sendable>: Sendable {
    private let answers = Locked<[Answer]>([])
    private let expected: Int

    init(_ expected: Int) { self.expected = expected }

    /// - Returns: all answers, when this was the last.
    func add(_ answer: Answer) -> [Answer]? {
        answers.withLock {
            $0.append(answer)
            return $0.count == expected ? $0 : nil
        }
    }
}
