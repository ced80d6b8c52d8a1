// What commands see of the dashboard.

import Base
import GoLeapAIWSClient

/// What the dashboard is started with.
public struct TopOptions: Sendable {
    /// How to reach the daemon; channels and filters are the dashboard's business.
    public var client: Options
    /// Seconds between two updates of the statistics.
    public var interval = 2
    /// Asks the daemon for its version; called once, on a thread of its own, may block.
    public var version: @Sendable () -> String?

    public init(client: Options, version: @escaping @Sendable () -> String? = { nil }) {
        self.client = client
        self.version = version
    }

    func filters(window: TopWindow, level: LogLine.Level) -> Filters {
        Filters(logs: .init(level: level == .debug ? nil : "\(level)"), stats: .init(window: window.rawValue, interval: interval))
    }

    /// Everything that the credential allows, and what was in the minutes before, as far as it is kept.
    func subscribed(window: TopWindow, level: LogLine.Level) -> Options {
        var client = client
        client.channels = [.all]
        client.filters = filters(window: window, level: level)
        client.since = "10m"
        client.history = TopLimits.requestsMax + TopLimits.logsMax
        return client
    }
}

/// How the dashboard ended.
public enum TopEnd: Sendable, Equatable {
    case quit
    /// The sentence for standard error.
    case failed(String)
    /// The process is to end by this signal.
    case signal(Int32)
}

/// The live dashboard.
public enum Top {
    /// Each key and what it does, for help texts.
    public static let keys = TopBinding.all.map { ($0.keys, $0.what) }

    /// Why there can be none here; nil: there can. A sentence for standard error.
    /// - Parameter environment: of the process: TERM, COLORTERM, NO_COLOR, LANG and LC_….
    public static func obstacle(_ environment: [String: String]) -> String? {
        guard TerminalScreen.isThere else { return "standard input and output are no terminal; --once prints one snapshot" }
        guard TerminalCapabilities(environment: environment).isAddressable else {
            return "TERM says that this terminal cannot move its cursor; --once prints one snapshot"
        }
        return nil
    }

    /// Shows the dashboard until the user quits. To be called once, on the main thread, before there are others.
    public static func run(_ options: TopOptions, environment: [String: String]) -> TopEnd {
        do {
            let loop = try TopLoop(options, TerminalCapabilities(environment: environment))
            return try loop.run()
        } catch {
            return .failed("\(error)")
        }
    }

    /// Ends the process as a signal would have, now that the terminal is in order.
    public static func end(by signal: Int32) -> Never { TerminalSignals.die(by: signal) }
}
