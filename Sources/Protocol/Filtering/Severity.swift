// How bad a line of a log is.

import Base

/// Severities of log events, least first; `fatal` and `panic` rank above `error`.
public enum Severity: UInt8, CaseIterable, Sendable {
    case debug, info, warn, error, fatal, panic

    private static let names: [(name: StaticString, severity: Severity)] = [
        ("debug", .debug), ("trace", .debug), ("info", .info), ("warn", .warn), ("warning", .warn), ("error", .error), ("fatal", .fatal), ("panic", .panic),
    ]

    /// - Parameter name: as the gateway writes it, in lower case; `trace` and `warning` are understood too.
    public init?(name: UnsafeRawBufferPointer) {
        guard let known = Severity.names.first(where: { name.equals($0.name) }) else { return nil }
        self = known.severity
    }

    /// Its place in a set of severities.
    public var bit: UInt8 { 1 << rawValue }
    /// The bits of this severity and all worse ones.
    public var andWorse: UInt8 { ~(bit - 1) & 0b11_1111 }
}
