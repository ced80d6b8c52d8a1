// From how a connection ended to when the next one is tried. A value: the caller has the clock.

/// What has happened to the connections of one client so far, as far as the next one depends on it.
struct Reconnect: Sendable {
    /// A connection that stood for so long was a good one: what failed before it counts no more. In nanoseconds, as all times here.
    static let healthyTime: UInt64 = 30_000_000_000
    /// Where a daemon that stops has not told when to come back.
    static let drainTimeMax: UInt64 = 5_000_000_000
    /// No server may ask for more patience than this.
    static let retryAfterSecondsMax = 300

    enum Step: Equatable {
        case stop
        case wait(nanoseconds: UInt64, renewsToken: Bool)
    }

    private var backoff: Backoff
    private var openedAt: UInt64?
    private var drainNanoseconds: UInt64?
    /// The credential was renewed, and nothing has opened since.
    private var hasRenewed = false
    /// Whether there is a way to get a fresh credential.
    let canRenew: Bool

    /// Attempts that have failed in a row.
    var failures: Int { backoff.failures }

    init(seed: UInt64, canRenew: Bool) {
        backoff = Backoff(seed: seed)
        self.canRenew = canRenew
    }

    /// A connection is open.
    mutating func opened(at now: UInt64) {
        openedAt = now
        drainNanoseconds = nil
    }

    /// The daemon is about to stop, and has told when to come back.
    mutating func drains(milliseconds: Int) { drainNanoseconds = UInt64(clamping: min(max(0, milliseconds), 600_000)) * 1_000_000 }

    mutating func ended(_ ending: Ending, at now: UInt64) -> Step {
        if let openedAt {
            if now &- openedAt >= Reconnect.healthyTime { backoff.reset() }
            // Refused when it was opened is something else than refused in spite of a fresh credential.
            hasRenewed = hasRenewed && now &- openedAt < Reconnect.healthyTime
        }
        openedAt = nil
        let told = drainNanoseconds
        drainNanoseconds = nil
        switch ending.reaction {
        case .stop: return .stop
        case .renew:
            guard canRenew, !hasRenewed else { return .stop }
            hasRenewed = true
            return .wait(nanoseconds: backoff.failures == 0 ? 0 : backoff.next(), renewsToken: true)
        case .atOnce: return .wait(nanoseconds: backoff.next(), renewsToken: false)
        case .backOff:
            // A daemon that has said when it will be back has been cut off before its close frame.
            return .wait(nanoseconds: told ?? backoff.next(), renewsToken: false)
        case .backOffDoubled: return .wait(nanoseconds: backoff.next() * 2, renewsToken: false)
        case .afterDrain: return .wait(nanoseconds: told ?? backoff.below(Reconnect.drainTimeMax), renewsToken: false)
        case .after(let seconds):
            let least = UInt64(min(max(0, seconds), Reconnect.retryAfterSecondsMax)) * 1_000_000_000
            return .wait(nanoseconds: least + backoff.next(), renewsToken: false)
        }
    }
}
