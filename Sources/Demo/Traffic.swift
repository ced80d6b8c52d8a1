// The story that the demo tells: requests at random, health checks in turn, an outage now and then. Pure: time goes in,
// rows and log lines come out; the same seed and times give the same story.

import Base
import Glibc
import Protocol

/// A row of `request_logs`.
struct RequestRow: Equatable, Sendable {
    let id: String
    let providerID: String
    let modelID: String
    let userID: String
    let endpoint: String
    let status: Int64
    let latencyMilliseconds: Int64
    let inputTokens: Int64
    let outputTokens: Int64
    let errorMessage: String
    let cost: Double
    let timestamp: GatewayTime
    let createdAt: GatewayTime

    var isSuccess: Bool { status == 200 }
}

/// What the health monitor knows of a provider, and writes as a whole row.
struct ProviderState: Equatable, Sendable {
    let id: String
    /// Into `Catalog.providers`.
    let index: Int
    var status: String
    var healthScore: Double
    var latencyMilliseconds: Int64
    var lastCheck: GatewayTime
    let createdAt: GatewayTime
    var updatedAt: GatewayTime
}

/// What happened in a stretch of time.
struct TrafficStep {
    /// In order of insertion.
    var requests: [RequestRow] = []
    /// States to write, in order; a provider may come twice.
    var providers: [ProviderState] = []
    var log: [DemoLogLine] = []
}

struct Traffic {
    /// Time between two providers' health checks. The gateway checks all every 5 minutes; nobody watches a demo that long.
    static let checkMilliseconds: Int64 = 1000
    /// The first outage comes early enough for somebody who has just connected.
    static let firstOutageMilliseconds: ClosedRange<Int64> = 5000...8000
    static let outageMilliseconds: ClosedRange<Int64> = 12_000...25_000
    static let quietMilliseconds: ClosedRange<Int64> = 25_000...50_000
    /// Every so often somebody embeds a heap of documents: that many rows in one transaction, in proportion to the rate.
    static let batchMilliseconds: ClosedRange<Int64> = 40_000...80_000
    static let batchRowsMax = 100
    static let remarkMilliseconds: ClosedRange<Int64> = 2000...6000
    static let failureShare = 0.03

    let rate: Double
    let modelIDs: [String]
    let userIDs: [String]
    private(set) var providers: [ProviderState]
    var random: SeededRandom

    // When what happens next.
    private var nextRequest: Instant
    private var nextCheck: Instant
    private var nextOutage: Instant
    private var nextBatch: Instant
    private var nextRemark: Instant
    private var last: Instant
    private var outage: (provider: Int, end: Instant)?
    private var checkTurn = 0

    init(rate: Int, seed: UInt64, start: Instant) {
        var random = SeededRandom(seed: seed)
        self.rate = Double(rate)
        modelIDs = Catalog.models.map { _ in random.uuid() }
        userIDs = Catalog.users.map { _ in random.uuid() }
        let created = GatewayTime(nanoseconds: start.microseconds * 1000 - 30 * 86_400 * 1_000_000_000 + 768_721_325)
        providers = Catalog.providers.enumerated().map { index, provider in
            // All were checked within the last minute, and one is not quite well.
            let checked = GatewayTime(start.advanced(byMilliseconds: -Int64.random(in: 1000...60_000, using: &random)))
            return ProviderState(
                id: random.uuid(), index: index, status: provider.status, healthScore: index == 5 ? 0.75 : 1,
                latencyMilliseconds: Int64(provider.latencyMedian), lastCheck: checked, createdAt: created, updatedAt: checked)
        }
        last = start
        nextRequest = start
        nextCheck = start.advanced(byMilliseconds: Traffic.checkMilliseconds)
        nextOutage = start.advanced(byMilliseconds: .random(in: Traffic.firstOutageMilliseconds, using: &random))
        nextBatch = start.advanced(byMilliseconds: .random(in: Traffic.batchMilliseconds, using: &random))
        nextRemark = start.advanced(byMilliseconds: .random(in: Traffic.remarkMilliseconds, using: &random))
        self.random = random
        scheduleRequest(after: start)
    }

    /// The next instant at which anything happens.
    var nextDue: Instant {
        min(rate > 0 ? nextRequest : nextCheck, nextCheck, outage?.end ?? nextOutage, nextBatch, nextRemark)
    }

    // MARK: History

    /// A day of requests before the start, oldest first: the last minute at full rate (at most 12/s), and ever fewer before.
    mutating func history() -> [RequestRow] {
        let perSecond = max(1, min(rate, 12))
        let day = 86_400.0
        // Density is `perSecond` up to one minute ago, and falls with the age from there on: 60 · (1 + ln(day / 60)) in all.
        let tail = log(day / 60)
        let count = Int(perSecond * 60 * (1 + tail))
        let ages = (0..<count).map { _ -> Double in
            random.chance(1 / (1 + tail)) ? random.unit() * 60 : 60 * exp(random.unit() * tail)
        }
        return ages.sorted(by: >).map { age in
            // Short of the edges, so that a row neither lies in the future nor beyond the day.
            request(at: last.advanced(byMilliseconds: -Int64(min(max(age, 0.01), day - 1) * 1000)))
        }
    }

    // MARK: Life

    /// Everything between the last call and `now`, in order.
    mutating func advance(to now: Instant) -> TrafficStep {
        var step = TrafficStep()
        followClock(now)
        last = now
        while nextDue <= now {
            let due = nextDue
            if let end = outage?.end, end == due {
                endOutage(at: due, &step)
            } else if outage == nil, nextOutage == due {
                beginOutage(at: due, &step)
            } else if nextCheck == due {
                check(at: due, &step)
            } else if nextRemark == due {
                step.log.append(remark(at: due))
                nextRemark = due.advanced(byMilliseconds: .random(in: Traffic.remarkMilliseconds, using: &random))
            } else if nextBatch == due {
                batch(at: due, &step)
            } else {
                let row = request(at: due)
                step.requests.append(row)
                step.log.append(completed(row))
                scheduleRequest(after: due)
            }
        }
        return step
    }

    /// A clock that was set, or a machine that slept: the story goes on at the new time, with nothing to catch up.
    private mutating func followClock(_ now: Instant) {
        let jump = now.milliseconds - last.milliseconds
        guard !(-100...10_000).contains(jump) else { return }
        for path in [\Traffic.nextRequest, \.nextCheck, \.nextOutage, \.nextBatch, \.nextRemark] {
            self[keyPath: path] = self[keyPath: path].advanced(byMilliseconds: jump)
        }
        if let (provider, end) = outage { outage = (provider, end.advanced(byMilliseconds: jump)) }
    }

    private mutating func scheduleRequest(after instant: Instant) {
        guard rate > 0 else { return }
        nextRequest = Instant(microseconds: instant.microseconds + max(1, Int64(random.exponential(rate: rate) * 1_000_000)))
    }

    private mutating func request(at instant: Instant, model chosen: Int? = nil) -> RequestRow {
        let weights = providers.map { state in
            // The router prefers whom it believes to be well, and tries the others now and then.
            Catalog.providers[state.index].weight * (state.status == "active" && state.healthScore > 0.5 ? 1 : 0.25)
        }
        let model = chosen ?? {
            let provider = random.index(weights: weights)
            let models = Catalog.models.indices.filter { Catalog.models[$0].provider == provider }
            return models.randomElement(using: &random) ?? 0
        }()
        let catalog = Catalog.models[model]
        let provider = Catalog.providers[catalog.provider]
        let isOut = outage?.provider == catalog.provider
        var failure: Catalog.Failure?
        if random.chance(isOut ? 0.85 : Traffic.failureShare) {
            let failures = isOut ? Catalog.outageFailures : Catalog.failures
            failure = failures[random.index(weights: failures.map(\.weight))]
        }
        let isEmbedding = catalog.modality == "embedding"
        let median = failure.map { $0.latencyMedian > 0 ? $0.latencyMedian : provider.latencyMedian } ?? provider.latencyMedian
        let latency = random.logNormal(median: median, sigma: failure.map { $0.latencyMedian >= 1000 } == true ? 0.001 : 0.55)
        let input = Int64(min(random.logNormal(median: 220, sigma: 0.9), 60_000))
        let output = failure != nil || isEmbedding ? 0 : Int64(min(random.logNormal(median: 160, sigma: 0.9), 8000))
        // Most rows are written when the answer is complete; some wait in the gateway's queue for a moment.
        let began = GatewayTime(nanoseconds: instant.microseconds * 1000 - (random.chance(0.05) ? Int64.random(in: 0...1_800_000_000, using: &random) : 0) + Int64.random(in: 0...999, using: &random))
        return RequestRow(
            id: random.uuid(), providerID: providers[catalog.provider].id,
            modelID: failure?.status == 400 ? Catalog.nilUUID : modelIDs[model],
            userID: random.chance(0.06) ? Catalog.nilUUID : userIDs[random.index(weights: [1, 6, 4, 4, 2])],
            endpoint: isEmbedding ? "/v1/embeddings" : random.chance(0.13) ? "/v1/messages" : "/v1/chat/completions",
            status: failure?.status ?? 200, latencyMilliseconds: max(1, Int64(latency)), inputTokens: max(1, input),
            outputTokens: output, errorMessage: failure?.message ?? "",
            cost: Double(input) / 1000 * catalog.inputPrice + Double(output) / 1000 * catalog.outputPrice, timestamp: began,
            createdAt: GatewayTime(nanoseconds: instant.microseconds * 1000 + Int64.random(in: 100_000...2_000_000, using: &random)))
    }

    private mutating func batch(at due: Instant, _ step: inout TrafficStep) {
        nextBatch = due.advanced(byMilliseconds: .random(in: Traffic.batchMilliseconds, using: &random))
        let model = Catalog.models.firstIndex { $0.modality == "embedding" }
        for _ in 0..<min(Traffic.batchRowsMax, Int(rate * 5)) {
            step.requests.append(request(at: due, model: model))
        }
    }

    // MARK: Health

    private mutating func check(at due: Instant, _ step: inout TrafficStep) {
        nextCheck = due.advanced(byMilliseconds: Traffic.checkMilliseconds)
        let active = providers.indices.filter { Catalog.providers[$0].status == "active" }
        checkTurn = (checkTurn + 1) % max(1, active.count)
        let index = active[checkTurn]
        let isOut = outage?.provider == index
        let median = Catalog.providers[index].latencyMedian * (isOut ? 8 : 1)
        update(index, at: due) { state, random in
            state.latencyMilliseconds = max(1, Int64(random.logNormal(median: median, sigma: 0.15)))
            state.healthScore = isOut ? random.chance(0.5) ? 0.2 : 0.3 : min(1, (state.healthScore * 100 + 10).rounded() / 100)
        }
        step.providers.append(providers[index])
        step.log.append(health(index, at: due, level: isOut ? "warn" : "debug", isOut ? "Health check failed" : "Health check completed"))
    }

    private mutating func beginOutage(at due: Instant, _ step: inout TrafficStep) {
        let candidates = providers.indices.filter { Catalog.providers[$0].status == "active" }
        let index = candidates[random.index(weights: candidates.map { Catalog.providers[$0].weight })]
        outage = (index, due.advanced(byMilliseconds: .random(in: Traffic.outageMilliseconds, using: &random)))
        update(index, at: due) { state, random in
            state.healthScore = 0.3
            state.latencyMilliseconds = Int64(random.logNormal(median: 6000, sigma: 0.2))
            // Sometimes the monitor gives up on it altogether.
            if random.chance(0.3) { state.status = "down" }
        }
        step.providers.append(providers[index])
        step.log.append(health(index, at: due, level: "error", "Provider is not answering, taking it out of rotation"))
    }

    private mutating func endOutage(at due: Instant, _ step: inout TrafficStep) {
        guard let index = outage?.provider else { return }
        outage = nil
        nextOutage = due.advanced(byMilliseconds: .random(in: Traffic.quietMilliseconds, using: &random))
        let median = Catalog.providers[index].latencyMedian * 1.5
        update(index, at: due) { state, random in
            state.status = "active"
            state.healthScore = 0.65
            state.latencyMilliseconds = max(1, Int64(random.logNormal(median: median, sigma: 0.15)))
        }
        step.providers.append(providers[index])
        step.log.append(health(index, at: due, level: "info", "Provider answers again"))
    }

    private mutating func update(_ index: Int, at due: Instant, _ change: (inout ProviderState, inout SeededRandom) -> Void) {
        change(&providers[index], &random)
        providers[index].lastCheck = GatewayTime(due)
        providers[index].updatedAt = GatewayTime(nanoseconds: due.microseconds * 1000 + Int64.random(in: 100_000...9_000_000, using: &random))
    }
}
