// How this process's own lines look in the journal, so that they are not fed back to it.

import Base
import CSystemd
import Glibc

/// What journald knows of this process.
public struct OwnService: Sendable, Equatable {
    public let processID: Int32
    /// Since when the process id is ours; before that it may have been anybody's.
    public let since: Instant
    /// The unit; nil where the process is in none.
    public let unit: String?
    /// The name of the process, as in _COMM.
    public let command: String

    public init(processID: Int32, since: Instant, unit: String?, command: String = "goleapai-ws") {
        self.processID = processID
        self.since = since
        self.unit = unit
        self.command = command
    }

    /// This process. Called at its start.
    public static func present(clock: any Clock = SystemClock()) -> OwnService {
        var name: UnsafeMutablePointer<CChar>?
        // Fails where there is no systemd, which is no error.
        let unit = sd_pid_get_unit(0, &name) >= 0 ? name.map { String(cString: $0) } : nil
        free(name)
        return OwnService(processID: getpid(), since: clock.now(), unit: unit)
    }
}
