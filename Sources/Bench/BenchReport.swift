// What a run has found.

import Host
import Protocol

/// Results of one run.
public struct BenchReport {
    /// One part of it: what was published, and all that became of it.
    struct Part {
        var start: UInt64
        /// When the fate of the last event was known.
        var end: UInt64
        /// nil where we do not publish.
        var publishing: Publisher.Result?
        var workers: [WorkerReport.Part]
        var serverCPU: ServerProcess.CPU?
    }

    let plan: BenchPlan
    var serverProcess: Int?
    var memoryBefore: ServerProcess.Memory?
    var memoryConnected: ServerProcess.Memory?
    var memoryAfter: ServerProcess.Memory?
    var connectNanoseconds: UInt64 = 0
    var connectCPU: ServerProcess.CPU?
    var isInterrupted = false

    private(set) var counts = DeliveryCheck.Counts()
    private(set) var latency = Histogram()
    private(set) var answers = Histogram()
    private(set) var slowEnded = 0
    private(set) var faults: [String] = []
    private(set) var events: UInt64 = 0
    private(set) var publishSeconds = 0.0
    /// From the start to the last delivery.
    private(set) var seconds = 0.0
    private(set) var serverCPU: ServerProcess.CPU?
    /// Of each worker, in cores.
    private(set) var generatorCores: [Double] = []
    private(set) var generatorNanoseconds: UInt64 = 0
    /// Faults of the warm-up; its numbers are not kept.
    private var earlierFaults: UInt64 = 0

    init(_ plan: BenchPlan) { self.plan = plan }

    /// Nothing lost in silence, doubled or changed, and nobody disconnected.
    public var isFine: Bool { faultCount == 0 }

    var faultCount: UInt64 { earlierFaults + BenchReport.faultCount(counts) }

    private static func faultCount(_ counts: DeliveryCheck.Counts) -> UInt64 { counts.lost + counts.repeated + counts.wrong }

    mutating func addFaults(of part: Part) {
        for worker in part.workers {
            earlierFaults += BenchReport.faultCount(worker.counts)
            faults += worker.faults
        }
    }

    mutating func take(_ part: Part, eventBytes: Int) {
        for worker in part.workers {
            counts += worker.counts
            latency.add(worker.histogram)
            slowEnded += worker.slowEnded
            faults += worker.faults
            generatorNanoseconds += worker.cpuNanoseconds
        }
        let last = part.workers.map(\.lastDelivery).max() ?? 0
        let end = max(last, part.publishing?.end ?? 0)
        seconds = Double((end > part.start ? end : part.end) - part.start) / 1e9
        if let publishing = part.publishing {
            events = publishing.events
            publishSeconds = Double(publishing.end - publishing.start) / 1e9
            answers = publishing.answers
        }
        serverCPU = part.serverCPU
        generatorCores = part.workers.map { Double($0.cpuNanoseconds) / 1e9 / max(seconds, 1e-9) }
    }

    // MARK: derived

    var deliveriesPerSecond: Double { seconds > 0 ? Double(counts.delivered) / seconds : 0 }

    /// Events a second: of a fixed rate the last request closes no interval of its own.
    var eventsPerSecond: Double {
        guard publishSeconds > 0 else { return 0 }
        if case .perSecond = plan.pace, events > UInt64(plan.batch) { return Double(events - UInt64(plan.batch)) / publishSeconds }
        return Double(events) / publishSeconds
    }

    /// A worker that has no time left measures itself.
    static let generatorCoresMax = 0.9
    var generatorIsBottleneck: Bool { generatorCores.contains { $0 > BenchReport.generatorCoresMax } }

    func perDelivery(_ nanoseconds: UInt64) -> Double? {
        counts.delivered > 0 ? Double(nanoseconds) / 1000 / Double(counts.delivered) : nil
    }

    func perClient(_ after: ServerProcess.Memory?, _ field: KeyPath<ServerProcess.Memory, Int>) -> Double? {
        guard let before = memoryBefore, let after, plan.clients > 0 else { return nil }
        return Double(after[keyPath: field] - before[keyPath: field]) / Double(plan.clients)
    }
}
