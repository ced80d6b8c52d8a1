// The source of the events: requests over one connection, several on their way at once, at a fixed rate or as fast as they are answered.

import Glibc
import Host
import Protocol

/// Publishes over POST /admin/ws/broadcast. Owner: the worker's thread, which calls `pump` when something may be due and `receive` when
/// the socket has something.
final class Publisher {
    /// What one part of the run is to publish.
    struct Order: Equatable {
        /// The sequence of the first event.
        var first: UInt32
        /// nil: until `nanoseconds` have passed, or `stop`.
        var events: UInt64?
        var nanoseconds: UInt64?
    }

    /// What became of an order.
    struct Result: Equatable {
        var first: UInt32 = 0
        /// The sequence behind the last event.
        var next: UInt32 = 0
        var start: UInt64 = 0
        /// When the last request was written.
        var end: UInt64 = 0
        /// From the instant a request was due to its answer.
        var answers = Histogram()

        var events: UInt64 { UInt64(next - first) }
    }

    private let plan: BenchPlan
    private let shape: EventShape
    private let link: Link
    private let requestsMax: Int
    /// How many events the average client may be behind at full speed: beyond it nothing would be measured but buffers.
    let lagMax: UInt64

    private var order: Order?
    private var result = Result()
    private var schedule = Schedule(start: 0, eventsPerSecond: 1, batch: 1)
    private var requestsBegun: UInt64 = 0
    /// Instants at which the requests without an answer were due, oldest first: a ring.
    private var unanswered: [UInt64]
    private var unansweredFirst = 0
    private var unansweredCount = 0
    /// Written, but not yet taken by the socket.
    private var output: [UInt8] = []
    private var outputSent = 0
    private let input = UnsafeMutableRawPointer.allocate(byteCount: inputBytes, alignment: 64)
    private static let inputBytes = 262_144
    private var inputUsed = 0
    private var inputCount = 0
    private var fullHead: [UInt8] = []

    /// Whether the socket must become writable before anything goes on.
    var wantsToWrite: Bool { outputSent < output.count }
    /// When `pump` has something to do again, by the clock; `.max`: not before an answer.
    private(set) var due = UInt64.max
    /// When the last request was written, or answered.
    private var lastStep: UInt64 = 0
    /// The first failure ends the run.
    private(set) var failure: String?

    /// - Parameter link: connected, and ready to be written to.
    init(_ plan: BenchPlan, _ shape: EventShape, _ link: Link) {
        self.plan = plan
        self.shape = shape
        self.link = link
        let outstanding = plan.outstanding ?? BenchPlan.outstandingDefault
        requestsMax = max(1, outstanding / plan.batch)
        lagMax = UInt64(max(256, 4 * outstanding))
        unanswered = [UInt64](repeating: 0, count: requestsMax)
        fullHead = head(events: plan.batch)
    }

    deinit {
        link.close()
        input.deallocate()
    }

    var descriptor: Int32 { link.descriptor }
    /// Nothing goes on before an answer comes.
    var isBlocked: Bool { unansweredCount == requestsMax }
    var isBusy: Bool { order != nil }
    var published: UInt64 { result.events }

    func begin(_ order: Order, at now: UInt64) {
        self.order = order
        result = Result(first: order.first, next: order.first, start: now, end: now)
        requestsBegun = 0
        lastStep = now
        if case .perSecond(let rate) = plan.pace {
            schedule = Schedule(start: now, eventsPerSecond: rate, batch: plan.batch)
            // All that are due in this time are published, late ones too; but a server that is far too slow does not hold the run for ever.
            if let nanoseconds = order.nanoseconds {
                self.order?.events = schedule.count(within: nanoseconds)
                self.order?.nanoseconds = 2 * nanoseconds
            }
        }
        due = now
    }

    /// No further requests; those on their way are waited for.
    func stop() {
        order?.events = result.events
        due = 0
    }

    /// Ends the waiting for what does not come: answers, or at full speed deliveries.
    /// - Parameter lastDelivery: to the clients.
    func lookForStandstill(at now: UInt64, lastDelivery: UInt64) {
        guard isBusy else { return }
        if unansweredCount > 0 {
            guard now > lastStep + BenchPlan.giveUpNanoseconds else { return }
            fail("the server has not answered a request for \(BenchPlan.giveUpNanoseconds / 1_000_000_000) s")
        } else if plan.pace == .fullSpeed, now > max(lastStep, lastDelivery) + BenchPlan.patienceNanoseconds {
            stop()
        }
    }

    /// The result, once everything is answered; the order is then done.
    func takeResult() -> Result? {
        guard order != nil, remaining(at: result.end) == 0, unansweredCount == 0, !wantsToWrite else { return nil }
        order = nil
        due = .max
        return result
    }

    private func remaining(at now: UInt64) -> UInt64 {
        guard let order else { return 0 }
        if let nanoseconds = order.nanoseconds, now &- result.start >= nanoseconds {
            self.order?.events = result.events
            return 0
        }
        return order.events.map { $0 > result.events ? $0 - result.events : 0 } ?? .max
    }

    // MARK: out

    /// Writes the requests that are due.
    /// - Parameter lag: how many events the average client is behind.
    func pump(at now: UInt64, lag: UInt64) {
        guard order != nil, failure == nil else { return }
        due = .max
        while unansweredCount < requestsMax {
            let remaining = remaining(at: now)
            guard remaining > 0 else { break }
            var instant = now
            if case .perSecond = plan.pace {
                instant = schedule.due(requestsBegun)
                guard instant <= now else {
                    due = instant
                    break
                }
            } else if lag > lagMax {
                // Comes back with the next deliveries.
                due = now + 100_000
                break
            }
            write(events: Int(min(remaining, UInt64(plan.batch))), due: instant)
            result.end = now
            lastStep = now
            if output.count - outputSent > 1_048_576 { flush() }
        }
        flush()
    }

    private func write(events: Int, due: UInt64) {
        if outputSent == output.count {
            output.removeAll(keepingCapacity: true)
            outputSent = 0
        }
        output += events == plan.batch ? fullHead : head(events: events)
        let at = output.count
        let bytes = bodyBytes(events)
        output.append(contentsOf: repeatElement(UInt8(ascii: "\n"), count: bytes))
        output.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            for index in 0..<events {
                shape.write(
                    sequence: result.next &+ UInt32(truncatingIfNeeded: index), due: due, to: base + (at + index * (shape.eventBytes + 1)))
            }
        }
        result.next &+= UInt32(truncatingIfNeeded: events)
        requestsBegun += 1
        unanswered[(unansweredFirst + unansweredCount) % requestsMax] = due
        unansweredCount += 1
    }

    /// Events with a line feed between them.
    private func bodyBytes(_ events: Int) -> Int { events * (shape.eventBytes + 1) - 1 }

    private func head(events: Int) -> [UInt8] {
        var text = "POST \(plan.target.basePath)/admin/ws/broadcast HTTP/1.1\r\nHost: \(plan.target.hostField)\r\n"
        text += "Content-Type: application/\(plan.batch == 1 ? "json" : "x-ndjson")\r\n"
        if let authorization = plan.authorization { text += "Authorization: \(authorization)\r\n" }
        text += "Content-Length: \(bodyBytes(events))\r\n\r\n"
        return Array(text.utf8)
    }

    func flush() {
        while outputSent < output.count {
            let outcome = output.withUnsafeBytes { link.write(UnsafeRawBufferPointer(rebasing: $0[outputSent...])) }
            switch outcome {
            case .bytes(let count): outputSent += count
            // TLS without renegotiation does not wait for reading; if it did, the answer would come to `receive`.
            case .wait, .waitToWrite: return
            case .closed: return fail("the server has closed the publisher's connection")
            case .failed(let why): return fail("publishing: \(why)")
            }
        }
    }

    // MARK: in

    /// Reads answers.
    /// - Returns: whether one came.
    @discardableResult
    func receive(at now: UInt64) -> Bool {
        var cameIn = false
        while failure == nil {
            if inputUsed > 0 {
                inputCount -= inputUsed
                memmove(input, input + inputUsed, inputCount)
                inputUsed = 0
            }
            let room = Publisher.inputBytes - inputCount
            switch link.read(into: UnsafeMutableRawBufferPointer(start: input + inputCount, count: room)) {
            case .bytes(let count):
                inputCount += count
                if takeAnswers(at: now) { cameIn = true }
                if count < room { return cameIn }
            case .wait, .waitToWrite: return cameIn
            case .closed: fail("the server has closed the publisher's connection")
            case .failed(let why): fail("publishing: \(why)")
            }
        }
        return cameIn
    }

    private func takeAnswers(at now: UInt64) -> Bool {
        var cameIn = false
        while inputUsed < inputCount, failure == nil {
            let bytes = UnsafeRawBufferPointer(start: input + inputUsed, count: inputCount - inputUsed)
            guard case .head(let head) = AnswerHead.parse(bytes) else {
                if AnswerHead.parse(bytes) == .broken { fail("publishing: this is no answer: \(String(decoding: bytes.prefix(80), as: UTF8.self))") }
                break
            }
            guard let bodyBytes = head.bodyBytes, bodyBytes < AnswerHead.bytesMax else {
                fail("publishing: an answer of unknown or endless length (status \(head.status))")
                break
            }
            guard bytes.count >= head.headBytes + bodyBytes else { break }
            inputUsed += head.headBytes + bodyBytes
            guard head.status == 200 else {
                let body = String(decoding: bytes[head.headBytes..<(head.headBytes + bodyBytes)], as: UTF8.self)
                fail("the server refuses an event: \(head.status) \(body)\(Publisher.hint(head.status))")
                break
            }
            guard unansweredCount > 0 else {
                fail("publishing: an answer to nothing")
                break
            }
            let due = unanswered[unansweredFirst]
            result.answers.add(now > due ? now - due : 0)
            unansweredFirst = (unansweredFirst + 1) % requestsMax
            unansweredCount -= 1
            lastStep = now
            cameIn = true
        }
        return cameIn
    }

    private static func hint(_ status: Int) -> String {
        switch status {
        case 401, 403: "; --token-file names the credential of an admin"
        case 413, 429: "; see broadcast.* in the daemon's configuration"
        default: ""
        }
    }

    private func fail(_ sentence: String) {
        if failure == nil { failure = sentence }
    }
}
