// How the sources are doing, shared between the sampler thread, which knows, and everyone who asks.

import Base

/// Progress and failures of the sampler's sources. Any thread.
final class SourceHealth: Sendable {
    /// A source that could not be read for this long lags: its channel gets a gap.
    static let lagNanosecondsMax: UInt64 = 5_000_000_000

    private struct Source {
        var lastGood: UInt64
        var hasWorked = false
        var why = ""
        /// What it waits for, which says why once it has waited too long.
        var waitingFor = ""
        /// What the log said last, so that it says everything once.
        var logged = ""
        var isLagging = false
    }

    private let clock: any Clock
    private let sources: Locked<[SourceChannel: Source]>

    init(_ channels: [SourceChannel], clock: any Clock) {
        self.clock = clock
        let now = clock.monotonic()
        sources = Locked(Dictionary(uniqueKeysWithValues: channels.map { ($0, Source(lastGood: now)) }))
    }

    /// Other sources from now on; those that stay keep their state.
    func watch(_ channels: [SourceChannel]) {
        let now = clock.monotonic()
        sources.withLock { sources in
            for channel in SourceChannel.allCases {
                if !channels.contains(channel) {
                    sources[channel] = nil
                } else if sources[channel] == nil {
                    sources[channel] = Source(lastGood: now)
                }
            }
        }
    }

    /// The sources were read up to the present.
    func good(_ channels: [SourceChannel]) {
        let now = clock.monotonic()
        let recovered = sources.withLock { sources in
            channels.filter { channel in
                // Turned off meanwhile.
                guard sources[channel] != nil else { return false }
                let wasLogged = sources[channel].map { !$0.logged.isEmpty } ?? false
                sources[channel] = Source(lastGood: now, hasWorked: true)
                return wasLogged
            }
        }
        if !recovered.isEmpty { Log.info("\(SourceHealth.text(recovered)): working again", .sourceWorking, SourceHealth.fields(recovered)) }
    }

    /// The source cannot be read.
    /// - Parameter why: a sentence.
    func bad(_ channel: SourceChannel, _ why: String) {
        sources.withLock { sources in
            if sources[channel]?.why != why { sources[channel]?.why = why }
        }
    }

    /// The source has to wait, which is usual (a writer's lock), and counts only if it goes on.
    func waits(_ channel: SourceChannel, for reason: String) {
        sources.withLock { sources in
            if sources[channel]?.waitingFor != reason { sources[channel]?.waitingFor = reason }
        }
    }

    /// Looks for sources that have come to lag, and writes to the log what has changed.
    /// - Parameter hanging: why nothing can be read at all just now; nil where nothing hangs.
    /// - Returns: channels that need a gap, each once per lag.
    func check(hanging: String?) -> [SourceChannel] {
        let now = clock.monotonic()
        var news: [String: [SourceChannel]] = [:]
        let lagging = sources.withLock { sources -> [SourceChannel] in
            var lagging: [SourceChannel] = []
            for channel in SourceChannel.allCases {
                guard var source = sources[channel] else { continue }
                let isLate = now > source.lastGood && now - source.lastGood > SourceHealth.lagNanosecondsMax
                if isLate, source.why.isEmpty {
                    source.why = hanging ?? (source.waitingFor.isEmpty ? "not read for more than 5 s" : source.waitingFor)
                }
                if isLate, source.hasWorked, !source.isLagging {
                    source.isLagging = true
                    lagging.append(channel)
                }
                if !source.why.isEmpty, source.why != source.logged {
                    source.logged = source.why
                    news[source.why, default: []].append(channel)
                }
                sources[channel] = source
            }
            return lagging
        }
        for (why, channels) in news {
            Log.warn("\(SourceHealth.text(channels)): \(why); trying again", .sourceFailing, SourceHealth.fields(channels))
        }
        return lagging
    }

    func status() -> [SourceStatus] {
        let now = clock.monotonic()
        return sources.withLock { sources in
            SourceChannel.allCases.compactMap { channel in
                guard let source = sources[channel] else { return nil }
                let lag = now > source.lastGood ? Int64((now - source.lastGood) / 1_000_000) : 0
                let state: SourceStatus.State = !source.why.isEmpty ? .failing : source.hasWorked ? .working : .starting
                return SourceStatus(name: channel.sourceName, state: state, lagMilliseconds: lag, why: source.why)
            }
        }
    }

    /// The field may stand in an entry several times.
    private static func fields(_ channels: [SourceChannel]) -> [LogField] { channels.map { .source($0.sourceName) } }

    private static func text(_ channels: [SourceChannel]) -> String {
        "source \(channels.map(\.sourceName).joined(separator: ", "))"
    }
}
