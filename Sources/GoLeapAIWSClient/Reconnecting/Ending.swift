// How a connection or an attempt ended, and what a client does then: the one table.

import Protocol

/// The end of a connection, or of an attempt to have one.
enum Ending: Equatable, Sendable {
    /// A close frame came; nil: without a code.
    case closed(CloseCode?, reason: String)
    /// The handshake was refused over HTTP.
    /// - Parameter retryAfter: seconds, where they were told.
    case refused(status: Int, retryAfter: Int?, why: String)
    /// It broke, or did not come about.
    case failed(String)
    /// No byte has come for `silenceMax`.
    case silent
    /// The daemon breaks the protocol.
    case violated(CloseCode, String)
    /// Nothing can help: a credential that is none, a file that cannot be read.
    case impossible(String)

    /// What a client does then.
    enum Reaction: Equatable {
        /// Not come back.
        case stop
        /// At once, with jitter; where that does not help, backing off.
        case atOnce
        /// With a fresh credential at once; without a way to get one, stop.
        case renew
        case backOff
        case backOffDoubled
        /// After the delay that `drain` told; else at random within 5 s.
        case afterDrain
        /// After so many seconds, and not before.
        case after(seconds: Int)
    }

    /// What to do. The verdicts of close codes are those of `CloseCode.table`, which the daemon and its documents have as well.
    var reaction: Reaction {
        switch self {
        case .closed(let code, _): Ending.reaction(to: (code ?? CloseCode(rawValue: 1005)).verdict)
        case .refused(let status, let retryAfter, _): Ending.reaction(toStatus: status, retryAfter)
        case .failed: .backOff
        case .silent: .atOnce
        case .violated: .stop
        case .impossible: .stop
        }
    }

    private static func reaction(to verdict: CloseCode.Verdict) -> Reaction {
        switch verdict {
        case .stop, .stopAndShow, .stopUntilUserActs: .stop
        case .returnAfterDrain: .afterDrain
        case .backOff, .backOffAndResume: .backOff
        case .returnAtOnce: .atOnce
        case .renewToken: .renew
        case .backOffDoubled: .backOffDoubled
        }
    }

    private static func reaction(toStatus status: Int, _ retryAfter: Int?) -> Reaction {
        switch status {
        case 401: .renew
        // Something in between may have answered for a daemon that is just starting.
        case 408, 425, 429, 500...599: retryAfter.map { .after(seconds: $0) } ?? .backOff
        default: .stop
        }
    }

    /// One sentence for people.
    var why: String {
        switch self {
        case .closed(let code, let reason):
            guard let code else { return "the server has closed the connection" }
            let words = reason.isEmpty ? code.reason : reason
            return "the server has closed the connection: \(code.rawValue)\(words.isEmpty ? "" : " \(words)")"
        case .refused(let status, _, let why): return "the server has refused the connection: \(status)\(why.isEmpty ? "" : " \(why)")"
        case .failed(let why): return why
        case .silent: return "nothing has come from the server for \(Machine.silenceMax / 1_000_000_000) s"
        case .violated(_, let what): return "the server does not keep to the protocol: \(what)"
        case .impossible(let why): return why
        }
    }

    /// The same for programs, of an end that is final.
    var cause: ConnectionState.Stop.Cause {
        switch self {
        case .closed(let code, _): .closed(code: code?.rawValue ?? 1005)
        case .refused(let status, _, _): .refused(status: status)
        case .violated(let code, _): .closed(code: code.rawValue)
        case .failed, .silent, .impossible: .impossible
        }
    }
}
