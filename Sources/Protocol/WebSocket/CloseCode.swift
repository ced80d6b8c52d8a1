// Why a connection ends. One table gives each code its words on the wire, its metric label and what a client should do.

/// The status code of a close frame (RFC 6455 §7.4).
public struct CloseCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The client asked for the end.
    public static let normal = CloseCode(rawValue: 1000)
    /// The daemon stops or restarts.
    public static let goingAway = CloseCode(rawValue: 1001)
    /// The peer broke RFC 6455.
    public static let protocolError = CloseCode(rawValue: 1002)
    /// Binary messages were not agreed upon.
    public static let unsupportedData = CloseCode(rawValue: 1003)
    /// A text that is not UTF-8.
    public static let invalidPayload = CloseCode(rawValue: 1007)
    /// A message above the limit.
    public static let messageTooBig = CloseCode(rawValue: 1009)
    public static let internalError = CloseCode(rawValue: 1011)
    /// No sign of life for `client_timeout`.
    public static let timeout = CloseCode(rawValue: 4000)
    public static let tokenExpired = CloseCode(rawValue: 4001)
    public static let tooSlow = CloseCode(rawValue: 4008)
    /// The client sends more than its limit.
    public static let flood = CloseCode(rawValue: 4013)
    /// The credential was revoked, or not given in time.
    public static let revoked = CloseCode(rawValue: 4500)
    /// The role or the channel is not allowed any more.
    public static let forbidden = CloseCode(rawValue: 4503)
    public static let disconnectedByAdmin = CloseCode(rawValue: 4505)

    /// What a client should do after a close.
    public enum Verdict: String, Sendable {
        case stop
        case stopAndShow = "stop, show"
        case returnAfterDrain = "back after the delay told in drain, else at random within 5 s; resume"
        case backOff = "back off"
        case returnAtOnce = "at once with jitter, resume"
        case renewToken = "fresh token, then at once"
        case backOffAndResume = "back off, resume"
        case backOffDoubled = "back off doubled"
        case stopUntilUserActs = "stop until the user acts"
    }

    /// One line of the table.
    public struct Entry: Sendable {
        public let code: CloseCode
        /// The words in the close frame; at most 123 bytes.
        public let reason: String
        /// The value of the `reason` label.
        public let metricLabel: String
        public let verdict: Verdict
    }

    /// Every code the daemon sends, by number.
    public static let table: [Entry] = [
        Entry(code: .normal, reason: "the client asked", metricLabel: "normal", verdict: .stop),
        Entry(code: .goingAway, reason: "the daemon stops or restarts", metricLabel: "going_away", verdict: .returnAfterDrain),
        Entry(code: .protocolError, reason: "protocol error", metricLabel: "protocol_error", verdict: .stopAndShow),
        Entry(code: .unsupportedData, reason: "binary not agreed", metricLabel: "unsupported_data", verdict: .stopAndShow),
        Entry(code: .invalidPayload, reason: "text is not UTF-8", metricLabel: "invalid_payload", verdict: .stopAndShow),
        Entry(code: .messageTooBig, reason: "message too big", metricLabel: "message_too_big", verdict: .stopAndShow),
        Entry(code: .internalError, reason: "internal error", metricLabel: "internal_error", verdict: .backOff),
        Entry(code: .timeout, reason: "no sign of life", metricLabel: "timeout", verdict: .returnAtOnce),
        Entry(code: .tokenExpired, reason: "token expired", metricLabel: "token_expired", verdict: .renewToken),
        Entry(code: .tooSlow, reason: "too slow", metricLabel: "too_slow", verdict: .backOffAndResume),
        Entry(code: .flood, reason: "too many messages, pings or bytes", metricLabel: "flood", verdict: .backOffDoubled),
        Entry(code: .revoked, reason: "credential revoked or not given in time", metricLabel: "revoked", verdict: .stop),
        Entry(code: .forbidden, reason: "role or channel not allowed any more", metricLabel: "forbidden", verdict: .stop),
        Entry(
            code: .disconnectedByAdmin, reason: "disconnected by an admin", metricLabel: "disconnected_by_admin",
            verdict: .stopUntilUserActs),
    ]

    /// This code's line, or nil for a code that the daemon never sends.
    public var entry: Entry? { CloseCode.table.first { $0.code == self } }

    /// The words for the close frame; empty for codes outside the table.
    public var reason: String { entry?.reason ?? "" }

    /// The metric label; all codes outside the table share `other`, so that peers cannot make label values.
    public var metricLabel: String { entry?.metricLabel ?? "other" }

    /// What a client should do; unknown codes are treated as a passing fault.
    public var verdict: Verdict { entry?.verdict ?? .backOff }

    /// Whether a close frame may carry this code. RFC 6455 §7.4: 1004, 1005, 1006 and 1015 are for local use only, numbers below
    /// 1000 are unused, 1016 to 2999 are reserved; 1012 to 1014 were registered with IANA later.
    public var isSendableOnWire: Bool {
        switch rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}
