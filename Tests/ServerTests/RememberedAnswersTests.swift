// Retries: the same answer for the same question, for a while.

import Protocol
import Testing

@testable import Server

@Suite struct RememberedAnswersTests {
    private let second: UInt64 = 1_000_000_000
    private func key(_ text: String, of principal: String = "ann") -> RememberedAnswers.Key { .init(principal: principal, text: text) }

    @Test func forFiveMinutes() {
        var answers = RememberedAnswers()
        answers.keep(key("a"), BodyPrint([1]), Response(status: 200, json: "1"), at: 0)
        answers.keep(key("b"), BodyPrint([2]), Response(status: 200, json: "2"), at: 10 * second)
        #expect(answers.find(key("a"), at: 300 * second - 1)?.response.text == "1")
        #expect(answers.find(key("a"), at: 300 * second - 1)?.print == BodyPrint([1]))
        #expect(answers.find(key("a"), at: 300 * second) == nil)
        #expect(answers.find(key("b"), at: 300 * second)?.response.text == "2")
        #expect(answers.find(key("b"), at: 310 * second) == nil)
        // The same key again, for another five minutes.
        answers.keep(key("a"), BodyPrint([3]), Response(status: 200, json: "3"), at: 310 * second)
        #expect(answers.find(key("a"), at: 609 * second)?.response.text == "3")
        #expect(answers.find(key("a"), at: 610 * second) == nil)
    }

    /// Beyond the limit the oldest goes; those behind it stay, however often that happened.
    @Test func bounded() {
        var answers = RememberedAnswers()
        let most = RememberedAnswers.entriesMax
        let all = 3 * most + 7
        for number in 0..<all { answers.keep(key("\(number)"), BodyPrint([]), Response(status: 200), at: UInt64(number)) }
        #expect(answers.find(key("\(all - most - 1)"), at: UInt64(all)) == nil)
        #expect(answers.find(key("\(all - most)"), at: UInt64(all)) != nil)
        #expect(answers.find(key("\(all - 1)"), at: UInt64(all)) != nil)
        #expect(answers.find(key("\(all - 1)"), at: 301 * second) == nil)
    }

    @Test func ofEachPrincipal() throws {
        var answers = RememberedAnswers()
        answers.keep(key("a"), BodyPrint([1]), Response(status: 200, json: "1"), at: 0)
        #expect(answers.find(key("a", of: "bob"), at: 1) == nil)
        let found = answers.find(key("a"), at: 1)
        let known = try #require(found)
        #expect(try known.response(to: BodyPrint([1])).text == "1")
        #expect(throws: Broadcast.Refusal.self) { try known.response(to: BodyPrint([2])) }
    }

    @Test func bodiesAreToldApart() {
        #expect(BodyPrint([1, 2]) == BodyPrint([1, 2]))
        #expect(BodyPrint([1, 2]) != BodyPrint([2, 1]))
        #expect(BodyPrint([]) != BodyPrint([0]))
    }
}
