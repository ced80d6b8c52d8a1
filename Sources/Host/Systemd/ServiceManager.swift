// What a service and its manager tell each other (sd-daemon(3)): readiness, the status line, the watchdog, and descriptors that
// outlive a restart.

import Base
import CSystemd
import Glibc

/// systemd, as far as it has started this process. Without it (no `NOTIFY_SOCKET`) every method does nothing and succeeds.
///
/// Holds nothing; any thread may use it. A message is one datagram; sending it waits only while the manager's queue is full.
public struct ServiceManager: Sendable {
    public init() {}

    /// Whether anybody listens to what is said here.
    public var isPresent: Bool { getenv("NOTIFY_SOCKET") != nil }

    // MARK: state

    /// The service works: for systemd its start, or a reload, is done.
    /// - Parameter status: what `status` would say.
    @discardableResult
    public func ready(status: String? = nil) -> SystemError? { notify([("READY", "1")] + line(status)) }

    /// One line for `systemctl status`; line breaks become spaces.
    @discardableResult
    public func status(_ text: String) -> SystemError? { notify(line(text)) }

    /// A reload begins; `ready` ends it.
    @discardableResult
    public func reloading(clock: any Clock = SystemClock(), status: String? = nil) -> SystemError? {
        // Type=notify-reload compares the instant with that of its signal; older versions ignore it.
        notify([("RELOADING", "1"), ("MONOTONIC_USEC", "\(clock.monotonic() / 1000)")] + line(status))
    }

    /// The service is about to end.
    @discardableResult
    public func stopping(status: String? = nil) -> SystemError? { notify([("STOPPING", "1")] + line(status)) }

    /// Starting, reloading or stopping goes on for at most this long from now, whatever the unit's time-out says.
    @discardableResult
    public func extendTimeout(by time: Duration) -> SystemError? {
        notify([("EXTEND_TIMEOUT_USEC", "\(max(0, time.microseconds))")])
    }

    // MARK: watchdog

    /// A sign of life.
    @discardableResult
    public func watchdog() -> SystemError? { notify([("WATCHDOG", "1")]) }

    /// How long systemd waits for a sign of life; nil where it waits for none. Send one in half of that.
    public var watchdogInterval: Duration? {
        var microseconds: UInt64 = 0
        return sd_watchdog_enabled(0, &microseconds) > 0 ? .microseconds(Int64(clamping: microseconds)) : nil
    }

    // MARK: descriptors

    /// Hands over the descriptors that this process was started with: those of socket units and those of the store.
    ///
    /// Once, at the start, while there is no other thread: it takes `LISTEN_FDS` and its kin out of the environment. All of them
    /// have close-on-exec then.
    /// - Parameter receive: called for each, with its name in the store or in the socket unit; owns the descriptor.
    /// - Returns: `EINVAL` where the environment contradicts itself; nothing is handed over then.
    public func takeDescriptors(_ receive: (consuming FileDescriptor, String) -> Void) -> SystemError? {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = sd_listen_fds_with_names(1, &names)
        defer { free(names) }
        guard count >= 0 else { return SystemError("sd_listen_fds_with_names", -count, on: "LISTEN_FDS") }
        for position in 0..<count {
            let name = names?[Int(position)].map { String(cString: $0) } ?? ""
            free(names?[Int(position)])
            receive(FileDescriptor(owning: SD_LISTEN_FDS_START + position), name)
        }
        return nil
    }

    /// Gives systemd a copy of a descriptor, which it hands to the next process of this unit. The same again changes nothing.
    /// - Parameter name: see `isName`.
    /// - Returns: `EINVAL` for an impossible name. A unit without room in its store (FileDescriptorStoreMax=) ignores the message.
    public func store(_ descriptor: borrowing FileDescriptor, name: String) -> SystemError? {
        guard ServiceManager.isName(name) else { return SystemError("FDSTORE", EINVAL, on: name) }
        var number = descriptor.number
        let result = sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=\(name)", &number, 1)
        return result < 0 ? SystemError("sd_pid_notify_with_fds", -result, on: name) : nil
    }

    /// Has systemd close every copy of that name in the store.
    @discardableResult
    public func remove(_ name: String) -> SystemError? {
        guard ServiceManager.isName(name) else { return SystemError("FDSTOREREMOVE", EINVAL, on: name) }
        return notify([("FDSTOREREMOVE", "1"), ("FDNAME", name)])
    }

    /// Whether the store takes the name: 1 to 255 visible ASCII characters or spaces, none of them a colon (sd_notify(3)).
    public static func isName(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count) && name.utf8.allSatisfy { (32...126).contains($0) && $0 != UInt8(ascii: ":") }
    }

    // MARK: messages

    /// Sends assignments as one message; line breaks in values become spaces, since each would begin another assignment.
    @discardableResult
    public func notify(_ assignments: [(name: String, value: String)]) -> SystemError? {
        guard let first = assignments.first else { return nil }
        let result = sd_notify(0, ServiceManager.message(assignments))
        return result < 0 ? SystemError("sd_notify", -result, on: first.name) : nil
    }

    static func message(_ assignments: [(name: String, value: String)]) -> String {
        assignments.map { "\($0)=\(String($1.map { $0.isNewline || $0 == "\0" ? " " : $0 }))" }.joined(separator: "\n")
    }

    private func line(_ status: String?) -> [(name: String, value: String)] { status.map { [("STATUS", $0)] } ?? [] }
}

extension Duration {
    /// Whole microseconds, rounded down; clamped.
    fileprivate var microseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        return overflow ? (seconds < 0 ? .min : .max) : whole + attoseconds / 1_000_000_000_000
    }
}
