// How many requests there were, and how slow they were, over the last minutes: what the sparklines show.

import Base

/// Requests in steps of time, by the instant at which they happened. Bounded; a value.
struct TrafficSeries: Equatable, Sendable {
    static let stepSeconds = 5
    /// Half an hour.
    static let stepsMax = 360

    private struct Step: Equatable {
        var requests = 0
        var latencySum = 0
    }

    /// The number of the first step, counted from 1970.
    private var first = 0
    private var steps: [Step] = []

    /// The step in which the connection was lost, for as long as there is none.
    private var lostSince: Int?
    /// The same when it is there again, until a gap tells that something is missing.
    private var lostBefore: Int?
    /// Steps of which it is not known how many requests there were; the newest last.
    private var holes: [ClosedRange<Int>] = []
    private static let holesMax = 50

    static func number(of instant: Instant) -> Int { Int(instant.milliseconds / Int64(stepSeconds * 1000)) }

    /// Counts a request. What lies in the future is counted as of now, and what is too old is left out.
    mutating func add(latency: Int, at instant: Instant, now: Instant) {
        let newest = TrafficSeries.number(of: now)
        let number = min(TrafficSeries.number(of: instant), newest)
        guard number > newest - TrafficSeries.stepsMax else { return }
        if steps.isEmpty { first = number }
        if number < first {
            steps.insert(contentsOf: repeatElement(Step(), count: min(first - number, TrafficSeries.stepsMax)), at: 0)
            first = number
        }
        // A clock that was set back by hours: what is then in the future is worth nothing.
        if number - first >= TrafficSeries.stepsMax * 2 || steps.count > TrafficSeries.stepsMax * 2 {
            steps = []
            first = number
        }
        while first + steps.count <= number { steps.append(Step()) }
        steps[number - first].requests += 1
        // A latency is what the gateway says it is.
        steps[number - first].latencySum = steps[number - first].latencySum.addingReportingOverflow(max(0, latency)).partialValue
        if steps.count > TrafficSeries.stepsMax {
            first += steps.count - TrafficSeries.stepsMax
            steps.removeFirst(steps.count - TrafficSeries.stepsMax)
        }
    }

    // MARK: What is not known

    /// The connection is lost: from now on nothing is known, until it is there again.
    mutating func lose(at now: Instant) { lostSince = lostSince ?? TrafficSeries.number(of: now) }

    /// The connection is there again. What happened meanwhile is told by the events that come now, or by a gap.
    mutating func find() {
        lostBefore = lostSince ?? lostBefore
        lostSince = nil
    }

    /// All of meanwhile has come: a later gap is not about it.
    mutating func settle() { lostBefore = nil }

    /// Something is missing since the last loss.
    mutating func miss(until now: Instant) {
        guard let from = lostBefore, from <= TrafficSeries.number(of: now) else { return }
        lostBefore = nil
        holes = holes.suffix(TrafficSeries.holesMax - 1) + [from...TrafficSeries.number(of: now)]
    }

    /// Requests a minute in each of the last `count` whole steps before `now`, oldest first; nil where they are not known.
    func requestsPerMinute(_ count: Int, now: Instant) -> [Double?] {
        last(count, now) { Double($0.requests * (60 / TrafficSeries.stepSeconds)) }
    }

    /// The mean latency in milliseconds; nil where there was no request.
    func latencies(_ count: Int, now: Instant) -> [Double?] {
        last(count, now) { $0.requests > 0 ? Double(max(0, $0.latencySum)) / Double($0.requests) : nil }
    }

    private func last(_ count: Int, _ now: Instant, _ value: (Step) -> Double?) -> [Double?] {
        let end = TrafficSeries.number(of: now)
        return (0..<max(0, count)).map { index in
            let at = end - count + index - first
            if steps.isEmpty || at < 0 { return nil }
            let step = at < steps.count ? steps[at] : Step()
            return step.requests == 0 && isHole(first + at) ? nil : value(step)
        }
    }

    private func isHole(_ number: Int) -> Bool { lostSince.map { number >= $0 } ?? false || holes.contains { $0.contains(number) } }
}
