// The coordinator: starts the workers, leads them through the parts of a run, and looks at the server meanwhile.

import Base
import Glibc
import Host

/// One run. Owner: one thread, which should be the process's only one; SIGINT and SIGTERM end the run early, a second one the process.
public final class Coordinator {
    private let plan: BenchPlan
    private let arguments: [String]
    private let say: ((String) -> Void)?
    private let clock = SystemClock()
    private let signals = SignalSet([SIGINT, SIGTERM])
    private let run: UInt32
    private var workers: [WorkerProcess] = []
    private var isInterrupted = false
    private var server: ServerProcess?
    private var nextLine: UInt64 = 0

    /// - Parameters:
    ///   - arguments: all words by which this program makes a worker of the same plan; its number is added.
    ///   - progress: is told some times a second what goes on, in one line.
    public init(_ plan: BenchPlan, arguments: [String], progress: ((String) -> Void)?) {
        self.plan = plan
        self.arguments = arguments
        say = progress
        run = UInt32.random(in: 1 ... .max)
    }

    /// Runs to the end.
    /// - Throws: when nothing could be measured. What was measured and is wrong is in the report.
    public func measure() throws(BenchError) -> BenchReport {
        // Faults of the plan, before anything is started.
        let shape = try EventShape(
            channel: plan.channels[0], fields: plan.eventFields, clients: plan.clients, eventBytes: plan.eventBytes, run: run)
        signal(SIGPIPE, SIG_IGN)
        signals.block()
        let address = try reachable()
        if address.isLoopback || plan.serverProcess != nil {
            server = plan.serverProcess.map { ServerProcess(number: $0) } ?? ServerProcess.listening(on: plan.target.port)
        }
        if let process = plan.serverProcess, server?.cpu() == nil { throw BenchError("--pid \(process): there is no such process") }
        var report = BenchReport(plan)
        report.serverProcess = server?.number
        report.memoryBefore = server?.memory()
        let before = server?.cpu()
        for index in 0..<plan.processes { workers.append(try WorkerProcess(index: index, arguments: arguments + ["--worker", "\(index)"])) }
        for worker in workers { worker.send(.connect(host: address.text, run: run)) }
        try wait { workers.allSatisfy { $0.connectNanoseconds != nil } }
        if isInterrupted { throw BenchError("interrupted before anything was measured") }
        report.connectNanoseconds = workers.compactMap(\.connectNanoseconds).max() ?? 0
        report.connectCPU = cpu(since: before)
        // What belongs to handshakes is freed by then.
        try pause(nanoseconds: 300_000_000)
        report.memoryConnected = server?.memory()
        var first: UInt32 = 0
        if plan.publishes, plan.warmUpNanoseconds > 0 {
            let warmUp = try part(from: first, nanoseconds: plan.warmUpNanoseconds, events: nil)
            report.addFaults(of: warmUp)
            first = warmUp.publishing?.next ?? first
        }
        let measured = try part(from: first, nanoseconds: plan.events == nil ? plan.nanoseconds : nil, events: plan.events.map { UInt64($0) })
        report.take(measured, eventBytes: shape.eventBytes)
        report.memoryAfter = server?.memory()
        report.isInterrupted = isInterrupted
        for worker in workers { worker.send(.finish) }
        workers = []
        return report
    }

    /// The first of the target's addresses that can be connected to.
    private func reachable() throws(BenchError) -> ServerAddress {
        var code: Int32 = 0
        for address in try Worker.addresses(of: plan.target.host, port: plan.target.port) {
            do throws(SystemError) {
                _ = try address.connect(within: 10_000)
                return address
            } catch {
                code = error.code
            }
        }
        let hint = code == ECONNREFUSED ? "; is the daemon running? --url names another address" : ""
        throw BenchError("cannot connect to \(plan.target): \(SystemError.text(of: code))\(hint)")
    }

    private func cpu(since before: ServerProcess.CPU?) -> ServerProcess.CPU? {
        guard let before, let now = server?.cpu() else { return nil }
        return now - before
    }

    // MARK: parts

    /// One part of a run, from its first event to the fate of its last one.
    private func part(from first: UInt32, nanoseconds: UInt64?, events: UInt64?) throws(BenchError) -> BenchReport.Part {
        let before = server?.cpu()
        for worker in workers { worker.send(.begin(first: first)) }
        let start = clock.monotonic()
        var result: Publisher.Result?
        if plan.publishes, let publishing = workers.first {
            publishing.send(.publish(first: first, events: events, nanoseconds: nanoseconds))
            var hasStopped = false
            try wait {
                if isInterrupted, !hasStopped {
                    publishing.send(.stop)
                    hasStopped = true
                }
                return publishing.result != nil
            }
            result = publishing.result
        } else {
            try pause(nanoseconds: nanoseconds ?? plan.nanoseconds)
        }
        for worker in workers { worker.send(.settle(before: result?.next)) }
        try wait { workers.allSatisfy { $0.part != nil } }
        let end = clock.monotonic()
        return BenchReport.Part(
            start: result?.start ?? start, end: end, publishing: result, workers: workers.compactMap(\.part), serverCPU: cpu(since: before))
    }

    private func pause(nanoseconds: UInt64) throws(BenchError) {
        let end = clock.monotonic() + nanoseconds
        try wait { isInterrupted || clock.monotonic() >= end }
    }

    /// Listens to the workers until `isDone`.
    private func wait(_ isDone: () -> Bool) throws(BenchError) {
        while !isDone() {
            var waiting = workers.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
            if poll(&waiting, nfds_t(waiting.count), 50) > 0 {
                for (worker, state) in zip(workers, waiting) where state.revents != 0 { worker.receive() }
            }
            if !isInterrupted, signals.takePending() != nil {
                isInterrupted = true
                // From now on they end the process.
                signals.unblock()
            }
            if let failure = workers.compactMap(\.failure).first { throw BenchError(failure) }
            tell()
        }
    }

    // MARK: progress

    private func tell() {
        guard let say, clock.monotonic() >= nextLine else { return }
        nextLine = clock.monotonic() + 250_000_000
        let connected = workers.reduce(0) { $0 + $1.connected }
        let delivered = workers.reduce(0) { $0 + $1.delivered }
        var line = "\(connected) of \(plan.clients) clients connected"
        if connected == plan.clients {
            line += ", \(workers.first?.published ?? 0) events published, \(delivered) delivered"
        }
        say(isInterrupted ? line + ", stopping" : line)
    }
}
