// Where a client stands with the daemon.

import Protocol

/// What a client is doing. It begins with `connecting`, and after `stopped` nothing follows until it is started again.
public enum ConnectionState: Sendable, Equatable {
    case connecting
    case connected(Session)
    /// It comes back by itself.
    /// - Parameters:
    ///   - until: when, by the wall clock.
    ///   - attempt: how many attempts have failed in a row; 0 where the daemon asked to come back later.
    ///   - why: one sentence.
    case waiting(until: Instant, attempt: Int, why: String)
    case stopped(Stop)

    /// What the daemon tells of itself at the beginning (`welcome`).
    public struct Session: Sendable, Equatable {
        /// `admin`, another role of the gateway, or empty where the daemon has not told it.
        public var role: String
        public var epoch: String
        /// Seconds.
        public var heartbeatInterval: Int
        /// Seconds.
        public var clientTimeout: Int
        /// `TLS 1.3`; nil without.
        public var tlsVersion: String?

        public init(role: String = "", epoch: String = "", heartbeatInterval: Int = 30, clientTimeout: Int = 90, tlsVersion: String? = nil) {
            self.role = role
            self.epoch = epoch
            self.heartbeatInterval = heartbeatInterval
            self.clientTimeout = clientTimeout
            self.tlsVersion = tlsVersion
        }
    }

    /// Why a client does not come back.
    public struct Stop: Sendable, Equatable {
        public enum Cause: Sendable, Equatable {
            /// `stop()` was called.
            case asked
            /// The daemon has closed, with this code of RFC 6455 (or of the daemon's own, from 4000).
            case closed(code: UInt16)
            /// The daemon has refused the handshake, with this status of HTTP.
            case refused(status: Int)
            /// What was asked for cannot work: an address, a certificate file, a credential.
            case impossible
        }

        public var cause: Cause
        /// One sentence for people.
        public var why: String

        public init(cause: Cause, why: String) {
            self.cause = cause
            self.why = why
        }
    }
}
