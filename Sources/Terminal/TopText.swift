// Numbers and times as a dashboard shows them: short, and of one width where they stand below each other.

import Base

/// Pure.
enum TopText {
    /// `12.3`; without a fraction where `digits` is 0.
    static func fixed(_ value: Double, digits: Int) -> String {
        guard value.isFinite else { return "-" }
        let scale = [1.0, 10, 100, 1000][min(max(digits, 0), 3)]
        let scaled = (value.magnitude * scale).rounded()
        guard scaled < 9e15 else { return value < 0 ? "-inf" : "inf" }
        let whole = Int(scaled)
        let unit = Int(scale)
        let sign = value < 0 && whole > 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(whole)" }
        let fraction = String(whole % unit)
        return "\(sign)\(whole / unit).\(String(repeating: "0", count: min(digits, 3) - fraction.count))\(fraction)"
    }

    /// `950`, `12.3k`, `4.56M`: at most six places for what a gateway counts.
    static func count(_ value: Int) -> String {
        let size = Double(value)
        switch size.magnitude {
        case ..<10_000: return "\(value)"
        case ..<999_950: return fixed(size / 1e3, digits: 1) + "k"
        case ..<999_950_000: return fixed(size / 1e6, digits: size.magnitude < 99_950_000 ? 2 : 1) + "M"
        case ..<999_950_000_000: return fixed(size / 1e9, digits: 2) + "G"
        default: return fixed(size / 1e12, digits: 2) + "T"
        }
    }

    /// A fraction as `98.5%`. Not all of many is never 100 %.
    static func percent(_ fraction: Double) -> String {
        guard fraction.isFinite else { return "-" }
        if fraction < 1, fraction >= 0.9995 { return "99.9%" }
        return fixed(fraction * 100, digits: fraction >= 1 ? 0 : 1) + "%"
    }

    /// Milliseconds as `120ms`, `12.3s`, `4m05s`.
    static func latency(_ milliseconds: Int) -> String {
        switch milliseconds {
        case ..<0: "-"
        case ..<10_000: "\(milliseconds)ms"
        case ..<100_000: fixed(Double(milliseconds) / 1000, digits: 1) + "s"
        case ..<3_600_000: "\(milliseconds / 60_000)m\(two(milliseconds / 1000 % 60))s"
        default: "\(milliseconds / 3_600_000)h"
        }
    }

    static func cost(_ dollars: Double) -> String {
        guard dollars.isFinite else { return "-" }
        return "$"
            + (dollars.magnitude >= 10_000 ? count(Int(min(max(dollars, -9e15), 9e15))) : fixed(dollars, digits: dollars.magnitude < 1 ? 3 : 2))
    }

    /// A time that has passed, as `5s`, `12m`, `3h`, `4d`.
    static func age(milliseconds: Int64) -> String {
        let seconds = max(0, milliseconds / 1000)
        switch seconds {
        case ..<60: return "\(seconds)s"
        case ..<3600: return "\(seconds / 60)m"
        case ..<86_400: return "\(seconds / 3600)h"
        default: return "\(seconds / 86_400)d"
        }
    }

    /// `10:30:05` at so many seconds east of UTC.
    static func clock(_ instant: Instant, offset: Int) -> String {
        let text = instant.advanced(byMilliseconds: Int64(offset) * 1000).rfc3339
        return String(text.dropFirst(11).prefix(8))
    }

    /// `2026-02-05 10:30:05.123`.
    static func date(_ instant: Instant, offset: Int) -> String {
        let text = instant.advanced(byMilliseconds: Int64(offset) * 1000).rfc3339
        return "\(text.prefix(10)) \(text.dropFirst(11).prefix(12))"
    }

    private static func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}
