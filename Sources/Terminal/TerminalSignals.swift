// Signals of a program that owns the terminal: fetched by a thread, so that nothing is interrupted by them.

import Base
import Glibc

/// Owner: the thread that starts it, before it starts any other.
struct TerminalSignals {
    private static let ends: [Int32] = [SIGINT, SIGTERM, SIGHUP]
    private static let all = ends + [SIGTSTP, SIGCONT, SIGWINCH]
    /// For a loop that hangs in a write to a terminal that takes nothing.
    private static let patience: UInt64 = 2_000_000_000

    /// Blocks them, for all threads that are started from now on, and posts each that comes.
    static func follow(_ inbox: TopInbox, _ screen: TerminalScreen) throws(SystemError) {
        let set = SignalSet(all)
        set.block()
        let failure = Thread.start(named: "signals") {
            while true {
                let number = set.wait()
                inbox.post(.signal(number))
                guard ends.contains(number) else { continue }
                Bell().sleep(nanoseconds: patience)
                screen.giveBackAtOnce()
                die(by: number)
            }
        }
        if let failure { throw failure }
    }

    /// Ends the process as the signal would have: its parent sees that.
    static func die(by number: Int32) -> Never {
        signal(number, SIG_DFL)
        SignalSet([number]).unblock()
        kill(getpid(), number)
        // It is on its way.
        while true { pause() }
    }
}
