// Instants and their texts: RFC 3339 as events carry it, and what the gateway's database writes.

import Glibc

/// A point in time as microseconds since 1970-01-01T00:00:00Z; before that, negative.
///
/// Microseconds, because the gateway writes up to nanoseconds but every promise of ours is to the millisecond.
public struct Instant: Comparable, Hashable, Sendable {
    public var microseconds: Int64

    public init(microseconds: Int64) { self.microseconds = microseconds }
    public init(milliseconds: Int64) { self.microseconds = milliseconds &* 1000 }

    public static func < (a: Instant, b: Instant) -> Bool { a.microseconds < b.microseconds }

    /// Whole milliseconds since 1970, rounded down.
    public var milliseconds: Int64 { Instant.floorDivide(microseconds, 1000) }

    /// This instant moved by a number of milliseconds; saturates at the ends of Int64.
    public func advanced(byMilliseconds milliseconds: Int64) -> Instant {
        let (step, over) = milliseconds.multipliedReportingOverflow(by: 1000)
        let (sum, overSum) = microseconds.addingReportingOverflow(over ? (milliseconds < 0 ? .min : .max) : step)
        if over || overSum { return Instant(microseconds: milliseconds < 0 ? .min : .max) }
        return Instant(microseconds: sum)
    }

    static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 {
        let quotient = a / b
        return a % b < 0 ? quotient - 1 : quotient
    }

    /// The proleptic Gregorian date of a day number (0 = 1970-01-01). Algorithm: Howard Hinnant, "chrono-compatible
    /// low-level date algorithms".
    static func civil(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let z = days + 719_468
        let era = floorDivide(z, 146_097)
        let doe = z - era * 146_097
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100)
        let mp = (5 * doy + 2) / 153
        let month = mp < 10 ? mp + 3 : mp - 9
        return (yoe + era * 400 + (month <= 2 ? 1 : 0), month, doy - (153 * mp + 2) / 5 + 1)
    }

    /// The day number of a date; months 1...12.
    static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = floorDivide(y, 400)
        let yoe = y - era * 400
        let doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
    }

    /// RFC 3339 in UTC with milliseconds: `2026-02-05T10:30:00.123Z`. Years outside 0...9999 are clamped.
    public var rfc3339: String {
        String(unsafeUninitializedCapacity: 24) { write(rfc3339: UnsafeMutableRawBufferPointer($0)) }
    }

    /// Writes `rfc3339` (24 bytes) into a buffer of at least 24 bytes.
    /// - Returns: 24.
    @discardableResult
    public func write(rfc3339 buffer: UnsafeMutableRawBufferPointer) -> Int {
        precondition(buffer.count >= 24)
        // 0000-01-01 and 9999-12-31 as milliseconds.
        let ms = min(max(milliseconds, -62_167_219_200_000), 253_402_300_799_999)
        let days = Instant.floorDivide(ms, 86_400_000)
        let rest = ms - days * 86_400_000
        let date = Instant.civil(fromDays: days)
        func put(_ value: Int64, at offset: Int, digits: Int) {
            var v = value
            for i in stride(from: offset + digits - 1, through: offset, by: -1) {
                buffer[i] = UInt8(truncatingIfNeeded: 48 + v % 10)
                v /= 10
            }
        }
        put(date.year, at: 0, digits: 4)
        buffer[4] = UInt8(ascii: "-")
        put(date.month, at: 5, digits: 2)
        buffer[7] = UInt8(ascii: "-")
        put(date.day, at: 8, digits: 2)
        buffer[10] = UInt8(ascii: "T")
        put(rest / 3_600_000, at: 11, digits: 2)
        buffer[13] = UInt8(ascii: ":")
        put(rest / 60_000 % 60, at: 14, digits: 2)
        buffer[16] = UInt8(ascii: ":")
        put(rest / 1000 % 60, at: 17, digits: 2)
        buffer[19] = UInt8(ascii: ".")
        put(rest % 1000, at: 20, digits: 3)
        buffer[23] = UInt8(ascii: "Z")
        return 24
    }

    /// Reads an instant as the gateway's database writes it (`2026-03-02 14:29:45.33500902+00:00`) or as RFC 3339 has it
    /// (`T` for the blank, `Z` for the offset); without an offset it is UTC. Digits beyond microseconds are cut.
    ///
    /// - Returns: nil for anything else.
    public init?(parsing text: some Collection<UInt8>) {
        var bytes = text.makeIterator()
        var next = bytes.next()
        func isDigit(_ byte: UInt8?) -> Bool { byte.map { $0 >= 48 && $0 <= 57 } ?? false }
        func number(_ digits: Int) -> Int64? {
            var value: Int64 = 0
            for _ in 0..<digits {
                guard let byte = next, isDigit(byte) else { return nil }
                value = value * 10 + Int64(byte - 48)
                next = bytes.next()
            }
            return value
        }
        func take(_ character: Unicode.Scalar) -> Bool {
            guard next == UInt8(ascii: character) else { return false }
            next = bytes.next()
            return true
        }
        guard let year = number(4), take("-"), let month = number(2), take("-"), let day = number(2),
            take("T") || take(" ") || take("t"),
            let hour = number(2), take(":"), let minute = number(2), take(":"), let second = number(2),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        let lengths: [Int64] = [31, year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard day <= lengths[Int(month) - 1] else { return nil }
        var micros: Int64 = 0
        if take(".") {
            guard isDigit(next) else { return nil }
            var scale: Int64 = 100_000
            while let byte = next, isDigit(byte) {
                micros += Int64(byte - 48) * scale
                scale /= 10
                next = bytes.next()
            }
        }
        var offset: Int64 = 0
        if take("Z") || take("z") {
        } else if let sign = next, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
            next = bytes.next()
            guard let hours = number(2), take(":"), let minutes = number(2), hours < 24, minutes < 60 else { return nil }
            offset = (hours * 60 + minutes) * 60 * (sign == UInt8(ascii: "-") ? -1 : 1)
        }
        guard next == nil else { return nil }
        let seconds = Instant.days(year: year, month: month, day: day) * 86_400 + hour * 3600 + minute * 60 + second - offset
        self.init(microseconds: seconds * 1_000_000 + micros)
    }

    public init?(parsing text: String) { self.init(parsing: text.utf8) }
}
