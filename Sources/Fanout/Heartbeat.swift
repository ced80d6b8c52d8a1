// The loop that asks every part whether it lives, and feeds the watchdog while all do.

import Base
import Dispatch

/// Asks every part for a sign of life, and when all have answered, asks again: so a part that hangs is asked once and no more.
///
/// All state is confined to `queue`.
public final class Heartbeat: @unchecked Sendable {  // Sendable because its state is used on `queue` only.
    /// Something that can be asked.
    public struct Part: Sendable {
        public let name: String
        /// Asks for the sign of life with this number; must not block.
        public let ask: @Sendable (UInt64) -> Void
        /// The newest number answered; must not block.
        public let answered: @Sendable () -> UInt64

        public init(name: String, ask: @escaping @Sendable (UInt64) -> Void, answered: @escaping @Sendable () -> UInt64) {
            self.name = name
            self.ask = ask
            self.answered = answered
        }
    }

    /// Between two looks at the answers.
    private static let interval: UInt64 = 250_000_000
    /// A part that has not answered for so long is named in the log.
    private static let lateNanoseconds: UInt64 = 5_000_000_000
    private static let second: UInt64 = 1_000_000_000

    private let queue = DispatchQueue(label: "heartbeat")
    private let clock: any Clock
    private let parts: [Part]
    private let allAnswered: @Sendable () -> Void
    private let everySecond: @Sendable () -> Void
    private var timer: (any DispatchSourceTimer)?
    private var beat: UInt64 = 0
    private var askedAt: UInt64 = 0
    private var isLate = false
    private var secondAt: UInt64 = 0

    /// - Parameters:
    ///   - allAnswered: called after each beat that every part has answered; feeds the watchdog.
    ///   - everySecond: called about once a second whether they answer or not.
    public init(
        clock: any Clock, parts: [Part], allAnswered: @escaping @Sendable () -> Void, everySecond: @escaping @Sendable () -> Void
    ) {
        self.clock = clock
        self.parts = parts
        self.allAnswered = allAnswered
        self.everySecond = everySecond
    }

    /// The parts that every hub has: its shards.
    public static func parts(of hub: Hub) -> [Part] {
        hub.shards.map { shard in
            Part(
                name: "shard-\(shard.number)", ask: { beat in shard.post { $0.answeredBeat.store(beat, ordering: .releasing) } },
                answered: { shard.answeredBeat.load(ordering: .acquiring) })
        }
    }

    /// Begins to beat. Once.
    /// - Parameter watchdog: how long somebody waits for `allAnswered`, who then takes the daemon for hung; nil for nobody.
    public func start(watchdog: Duration? = nil) {
        // Several looks in that time, however short it is, so that one slow answer is no alarm.
        let patience = watchdog.map { UInt64(clamping: $0.components.seconds) * Heartbeat.second + UInt64(clamping: $0.components.attoseconds / 1_000_000_000) }
        let interval = min(Heartbeat.interval, max(10_000_000, (patience ?? .max) / 8))
        queue.sync {
            askedAt = clock.monotonic()
            let timer = DispatchSource.makeTimerSource(queue: queue)
            timer.schedule(deadline: .now(), repeating: .nanoseconds(Int(interval)))
            timer.setEventHandler { [self] in tick() }
            timer.activate()
            self.timer = timer
        }
    }

    private func tick() {
        dispatchPrecondition(condition: .onQueue(queue))
        let now = clock.monotonic()
        let late = parts.filter { $0.answered() < beat }
        if late.isEmpty {
            if isLate { Log.info("all parts answer again after \((now &- askedAt) / Heartbeat.second) s", .partsAnswer) }
            isLate = false
            allAnswered()
            beat += 1
            askedAt = now
            for part in parts { part.ask(beat) }
        } else if !isLate, now &- askedAt >= Heartbeat.lateNanoseconds {
            isLate = true
            Log.error("no answer for 5 s from \(late.map(\.name).joined(separator: ", "))", .partHangs)
        }
        if now &- secondAt >= Heartbeat.second {
            secondAt = now
            everySecond()
        }
    }
}
