// The threads on which replays find their place and are read from their sources, so that no shard ever waits for a disk.

import Base
import Dispatch
import Synchronization

/// Runs the steps of replays, of each user in turn, on at most `replay.concurrent` threads of low priority. Any thread.
public final class ReplayPool: Sendable {
    private struct State {
        var queue = FairQueue<ReplayJob>()
        var threads = 0
        /// Threads that wait for something to do.
        var idle = 0
        var isStopping = false
        var limits: Limits
        var archive: (any Archive)?
        /// KeptReader whose threads have ended; what they have found out serves the next ones.
        var readers: [KeptReader] = []
    }
    /// A reader between two threads.
    private struct KeptReader: @unchecked Sendable {  // Sendable because it is one thread's at a time, handed over under the lock.
        let reader: any ArchiveReader
    }
    private let state: Locked<State>
    private let ready = DispatchSemaphore(value: 0)
    let clock: any Clock

    /// Replays begun, those of which something was cut or could not be read, and events read for them. Any thread adds.
    public let begun = Atomic<UInt64>(0)
    public let cut = Atomic<UInt64>(0)
    public let eventsRead = Atomic<UInt64>(0)
    /// Steps of replays that had to wait, since `replay.concurrent` threads were busy.
    public let delayed = Atomic<UInt64>(0)
    /// Replays that have not ended.
    public let running = Atomic<Int>(0)

    init(limits: Limits, clock: any Clock) {
        self.clock = clock
        state = Locked(State(limits: limits))
    }

    var limits: Limits { state.withLock { $0.limits } }

    /// Other limits, for steps that begin from now on; threads that are too many end when they have nothing to do.
    func apply(_ limits: Limits) { state.withLock { $0.limits = limits } }

    /// Replays that begin from now on read this archive; one that is being read goes on with what it has begun with.
    func setArchive(_ archive: any Archive) {
        state.withLock {
            $0.archive = archive
            $0.readers = []
        }
    }

    /// Channels whose events of before can be read.
    var archiveChannels: ChannelSet { state.withLock { $0.archive?.channels ?? [] } }

    /// Replays whose next step waits for a thread.
    public var waiting: Int { state.withLock { $0.queue.count } }

    /// Has a replay's next step done.
    func submit(_ job: ReplayJob) {
        let needsThread = state.withLock { state -> Bool in
            if state.isStopping { return false }
            state.queue.append(job, of: job.user)
            guard state.idle < state.queue.count else { return false }
            guard state.threads < max(1, state.limits.replaysMax) else {
                delayed.add(1, ordering: .relaxed)
                return false
            }
            state.threads += 1
            return true
        }
        ready.signal()
        guard needsThread, let error = Thread.start(named: "replay", { self.run() }) else { return }
        let isAlone = state.withLock { state in
            state.threads -= 1
            return state.threads == 0
        }
        Log.error("no thread for a replay: \(error)")
        // With no other thread to take it, it would wait for ever.
        guard isAlone else { return }
        DispatchQueue.global().asyncAfter(deadline: .now() + 1) {
            self.withdraw(job)
            if !job.isCancelled { self.submit(job) }
        }
    }

    /// A replay is no longer wanted.
    func withdraw(_ job: ReplayJob) { state.withLock { $0.queue.removeAll(of: job.user) { $0 === job } } }

    func stop() {
        let threads = state.withLock { state -> Int in
            state.isStopping = true
            state.queue.removeAll()
            return state.threads
        }
        for _ in 0..<threads { ready.signal() }
    }

    private func run() {
        // Live delivery comes first: threads of ours that wait for the same core go before this one.
        Thread.lowerPriority()
        var archive = state.withLock { $0.archive }
        var reader = state.withLock { $0.archive === archive ? $0.readers.popLast()?.reader : nil } ?? archive?.makeReader()
        defer {
            reader?.close()
            if let reader { state.withLock { if $0.archive === archive { $0.readers.append(KeptReader(reader: reader)) } } }
        }
        while true {
            state.withLock { $0.idle += 1 }
            let result = ready.wait(timeout: .now() + 5)
            let (job, ends) = state.withLock { state -> (ReplayJob?, Bool) in
                state.idle -= 1
                if !state.isStopping, let job = state.queue.popFirst() {
                    if job.archive == nil { job.archive = state.archive }
                    return (job, false)
                }
                // A signal without a job was meant for one that another thread has taken meanwhile.
                guard state.isStopping || result == .timedOut else { return (nil, false) }
                state.threads -= 1
                return (nil, true)
            }
            if ends { return }
            guard let job else { continue }
            if job.archive !== archive {
                reader?.close()
                archive = job.archive
                reader = archive?.makeReader()
            }
            job.step(reader, self)
        }
    }
}
