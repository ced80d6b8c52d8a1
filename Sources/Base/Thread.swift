// A thread of our own, for what must not sit on a Dispatch queue: blocking system calls.

import CLinux
import Glibc

/// Starting named, detached threads.
public enum Thread {
    /// Lets every other thread of the process go before the calling one (setpriority(2): on Linux a nice value is a thread's).
    public static func lowerPriority() { clinux_lower_priority() }

    /// The calling thread no longer interrupts another one when it is woken: it runs when that one sleeps or has used up its slice, and then
    /// finds more to do at once (SCHED_BATCH of sched(7)). Its share of a core stays as it was. Where that is forbidden, nothing changes.
    public static func waitForOthers() { clinux_wait_for_others() }

    private final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Runs `body` on a new detached thread with signals blocked (they belong to the main thread's sources).
    /// - Parameter name: at most 15 bytes, as in pthread_setname_np(3).
    /// - Returns: nil, or why the thread could not be made.
    public static func start(named name: String, _ body: @escaping @Sendable () -> Void) -> SystemError? {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let start = Unmanaged.passRetained(Start(name, body))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                var signals = sigset_t()
                sigfillset(&signals)
                pthread_sigmask(SIG_BLOCK, &signals, nil)
                clinux_name_thread(String(start.name.prefix(15)))
                start.body()
                return nil
            }, start.toOpaque())
        if result != 0 {
            start.release()
            return SystemError("pthread_create", result, on: name)
        }
        return nil
    }
}
