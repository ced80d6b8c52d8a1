// The gateway's providers: what is known of each, and whether the gateway would use it.

import Base
import Protocol
import Storage

/// A row of `providers`.
struct Provider: Equatable {
    let id: String
    let name: String
    let status: String
    let healthScore: Double
    let latencyMilliseconds: Int64
    /// Nil: never.
    let lastCheck: Instant?
    let updated: Instant?

    /// Health checks this old do not count any more; sharp is too old.
    static let checkAgeMaxMilliseconds: Int64 = 600_000

    /// When it turns unavailable if nobody checks it again.
    var expiry: Instant? { lastCheck?.advanced(byMilliseconds: Provider.checkAgeMaxMilliseconds) }

    /// The gateway's own rule.
    func isAvailable(at now: Instant) -> Bool {
        guard let expiry else { return false }
        return status == "active" && healthScore > 0.5 && now < expiry
    }

    /// What clients are told, at an instant.
    struct Verdict: Equatable {
        let status: String
        let isAvailable: Bool
        let latencyMilliseconds: Int64
        /// Why it is not healthy; changes only with the row, or when time makes a difference.
        let message: String
    }

    func verdict(at now: Instant) -> Verdict {
        let available = isAvailable(at: now)
        let isDegraded = healthScore < 0.8
        var reasons: [String] = []
        if !available {
            if status != "active" { reasons.append("status is \(status.isEmpty ? "empty" : status)") }
            if !(healthScore > 0.5) { reasons.append("health score \(Provider.text(healthScore)) is not above 0.5") }
            if let lastCheck, let expiry {
                if now >= expiry { reasons.append("last health check \(lastCheck.rfc3339) is 10 minutes ago or more") }
            } else {
                reasons.append("health never checked")
            }
        } else if isDegraded {
            reasons.append("health score \(Provider.text(healthScore)) is under 0.8")
        }
        return Verdict(
            status: !available ? "unhealthy" : isDegraded ? "degraded" : "healthy", isAvailable: available,
            latencyMilliseconds: latencyMilliseconds, message: reasons.joined(separator: "; "))
    }

    private static func text(_ score: Double) -> String {
        var json = JSONWriter()
        json.double(score)
        return json.text
    }
}

/// Reads `providers`. Owner: the sampler.
struct ProviderQueries {
    /// More rows than this are not a gateway's (usual: dozens).
    static let rowsMax = 10_000

    private let all: Statement

    init(_ connection: Connection) throws(DatabaseError) {
        all = try connection.prepare(
            """
            SELECT id, name, status, health_score, avg_latency_ms, last_health_check, updated_at FROM providers
            WHERE id IS NOT NULL ORDER BY id LIMIT \(ProviderQueries.rowsMax)
            """)
    }

    /// - Returns: sorted by id, in the order of its bytes.
    func read() throws(DatabaseError) -> [Provider] {
        var providers: [Provider] = []
        defer { all.reset() }
        while try all.step() {
            providers.append(
                Provider(
                    id: all.string(0), name: all.string(1), status: all.string(2), healthScore: all.double(3),
                    latencyMilliseconds: all.int64(4), lastCheck: instant(5), updated: instant(6)))
        }
        return providers
    }

    /// The year 1 is how the gateway writes "never".
    private func instant(_ column: Int32) -> Instant? {
        let instant = all.withText(column) { Instant(parsing: $0) }
        return instant.flatMap { $0.microseconds <= 0 ? nil : $0 }
    }
}
