// Instants as the gateway's database driver writes them.

import Base
import Glibc

/// A time with nanoseconds, which `Instant` does not have: the gateway writes up to nine digits.
struct GatewayTime: Equatable, Comparable, Sendable {
    /// Since 1970-01-01T00:00:00Z; enough until 2262.
    var nanoseconds: Int64

    init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
    init(_ instant: Instant) { nanoseconds = instant.microseconds &* 1000 }

    static func < (a: GatewayTime, b: GatewayTime) -> Bool { a.nanoseconds < b.nanoseconds }

    /// Microseconds, rounded down.
    var instant: Instant { Instant(microseconds: nanoseconds >= 0 ? nanoseconds / 1000 : (nanoseconds - 999) / 1000) }

    /// No instant, in columns that must have one.
    static let noneText = "0001-01-01 00:00:00+00:00"

    /// go-sqlite3's form `2006-01-02 15:04:05.999999999-07:00`: end zeros of the fraction are cut, with the point if
    /// nothing is left.
    ///
    /// - Parameter offsetMinutes: of the machine's time zone, east of Greenwich positive.
    func text(offsetMinutes: Int = 0) -> String {
        let local = instant.advanced(byMilliseconds: Int64(offsetMinutes) * 60_000).rfc3339
        let fraction = ((nanoseconds % 1_000_000_000) + 1_000_000_000) % 1_000_000_000
        var text = "\(local.prefix(10)) \(local.dropFirst(11).prefix(8))"
        if fraction != 0 {
            let digits = String(fraction)
            let padded = String(repeating: "0", count: 9 - digits.count) + digits
            text += "." + padded.prefix(1 + (padded.lastIndex { $0 != "0" }.map { padded.distance(from: padded.startIndex, to: $0) } ?? 0))
        }
        let (hours, minutes) = (abs(offsetMinutes) / 60, abs(offsetMinutes) % 60)
        return text + (offsetMinutes < 0 ? "-" : "+") + (hours < 10 ? "0\(hours)" : "\(hours)") + ":" + (minutes < 10 ? "0\(minutes)" : "\(minutes)")
    }

    /// What the machine's time zone is at that time. The gateway writes its own zone into `timestamp` and
    /// `last_health_check`, and UTC into `created_at` and `updated_at`.
    var localOffsetMinutes: Int {
        var seconds = time_t(nanoseconds / 1_000_000_000)
        var fields = tm()
        guard localtime_r(&seconds, &fields) != nil else { return 0 }
        return fields.tm_gmtoff / 60
    }
}
