// Timestamps as the gateway's database has them: texts with an offset, which sort by their local time, not by instant.
// What is read here beyond the instant is the place of the text among the others: its minute.

import Base

/// A timestamp of the database taken apart.
struct GatewayTimestamp: Equatable {
    /// The text up to its minute, as minutes since 1970 in whatever zone it was written.
    let textMinute: Int64
    /// The offset in minutes, and whether date and time are parted by `T` (which sorts elsewhere); nil where the rest
    /// behind the minute makes no sense.
    let zone: Zone?
    /// Within the minute.
    let microseconds: UInt32

    /// Rows of one zone with neighbouring instants have neighbouring texts.
    struct Zone: Hashable {
        let offsetMinutes: Int16
        let hasT: Bool
    }

    /// The minute of the instant, since 1970 in UTC.
    var minute: Int64? { zone.map { textMinute - Int64($0.offsetMinutes) } }
    var instant: Instant? { minute.map { Instant(microseconds: $0 * 60_000_000 + Int64(microseconds)) } }

    /// The largest part of a text that `minuteText` gives: 16 bytes.
    static let minuteBytes = 16
    /// Texts may be this far from the text of the same instant in UTC: real offsets lie between -12:00 and +14:00.
    static let offsetMinutesMax: Int64 = 14 * 60

    /// `2026-03-02 14:29`: sorts before or equal to every text of that minute, and after every text of the one before.
    static func minuteText(_ minute: Int64) -> String {
        var text = Array(Instant(microseconds: minute &* 60_000_000).rfc3339.utf8.prefix(minuteBytes))
        text[10] = UInt8(ascii: " ")
        return String(decoding: text, as: UTF8.self)
    }

    /// The minute since 1970 in which an instant lies.
    static func minute(of instant: Instant) -> Int64 {
        let quotient = instant.microseconds / 60_000_000
        return instant.microseconds % 60_000_000 < 0 ? quotient - 1 : quotient
    }
}

/// Reads timestamps; remembers the last date, because a million rows have two or three.
struct TimestampReader {
    private var dateText: (UInt64, UInt16)?
    private var dateMinutes: Int64 = 0

    /// - Parameter text: any bytes.
    /// - Returns: nil where not even date, hour and minute can be read.
    /// - Complexity: about 40 ns; `Instant.init(parsing:)`, which takes any collection, costs many times that.
    mutating func read(_ text: UnsafeRawBufferPointer) -> GatewayTimestamp? {
        guard text.count >= 16, let date = minutes(ofDate: text), text[13] == UInt8(ascii: ":"),
            let hour = TimestampReader.number(text, at: 11), let minute = TimestampReader.number(text, at: 14),
            hour < 24, minute < 60, text[10] == UInt8(ascii: " ") || text[10] == UInt8(ascii: "T")
        else { return nil }
        let textMinute = date + Int64(hour) * 60 + Int64(minute)
        let seconds = TimestampReader.microsecondsAndOffset(text)
        return GatewayTimestamp(
            textMinute: textMinute,
            zone: seconds.map { .init(offsetMinutes: $0.offsetMinutes, hasT: text[10] == UInt8(ascii: "T")) },
            microseconds: seconds?.microseconds ?? 0)
    }

    /// The minutes from 1970 to the date in the first ten bytes.
    private mutating func minutes(ofDate text: UnsafeRawBufferPointer) -> Int64? {
        let key = (text.loadUnaligned(as: UInt64.self), text.loadUnaligned(fromByteOffset: 8, as: UInt16.self))
        if let dateText, key == dateText { return dateMinutes }
        guard let midnight = Instant(parsing: Array(text.prefix(10)) + Array(" 00:00:00".utf8)) else { return nil }
        dateText = key
        dateMinutes = midnight.microseconds / 60_000_000
        return dateMinutes
    }

    /// What follows the minute: `:ss`, a fraction of any length (cut to microseconds), an offset or `Z` or nothing (UTC).
    private static func microsecondsAndOffset(_ text: UnsafeRawBufferPointer) -> (microseconds: UInt32, offsetMinutes: Int16)? {
        guard text.count >= 19, text[16] == UInt8(ascii: ":"), let second = number(text, at: 17), second < 60 else { return nil }
        var microseconds = UInt32(second) * 1_000_000
        var index = 19
        if index < text.count, text[index] == UInt8(ascii: ".") {
            index += 1
            let first = index
            var scale: UInt32 = 100_000
            while index < text.count, text[index] >= 48, text[index] <= 57 {
                microseconds += UInt32(text[index] - 48) * scale
                scale /= 10
                index += 1
            }
            if index == first { return nil }
        }
        if index == text.count { return (microseconds, 0) }
        let sign = text[index]
        if sign == UInt8(ascii: "Z") { return index + 1 == text.count ? (microseconds, 0) : nil }
        guard sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"), text.count == index + 6, text[index + 3] == UInt8(ascii: ":"),
            let hours = number(text, at: index + 1), let minutes = number(text, at: index + 4), hours < 24, minutes < 60
        else { return nil }
        let offset = Int16(hours) * 60 + Int16(minutes)
        return (microseconds, sign == UInt8(ascii: "-") ? -offset : offset)
    }

    /// Two decimal digits.
    private static func number(_ text: UnsafeRawBufferPointer, at index: Int) -> UInt8? {
        let tens = text[index] &- 48
        let ones = text[index + 1] &- 48
        return tens < 10 && ones < 10 ? tens * 10 + ones : nil
    }
}
