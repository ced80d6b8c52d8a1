// Signals that one thread fetches instead of being interrupted by them.

import Glibc

/// A set of signals, for blocking and for waiting (signal(7), sigwait(3)).
public struct SignalSet: Sendable {
    private let set: sigset_t

    public init(_ numbers: [Int32]) {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        self.set = set
    }

    /// Blocks the signals for the calling thread and all that it starts from now on.
    public func block() {
        var set = set
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Lets the signals through again: those that are pending have their effect at once.
    public func unblock() {
        var set = set
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }

    /// Takes one of the signals, which must be blocked, if one has come.
    /// - Returns: its number.
    public func takePending() -> Int32? {
        var set = set
        var now = timespec()
        let number = sigtimedwait(&set, nil, &now)
        return number > 0 ? number : nil
    }

    /// Waits for one of the signals, which must be blocked in every thread.
    /// - Returns: its number.
    public func wait() -> Int32 {
        var set = set
        var number: Int32 = 0
        // Fails only for a set that holds a number that is no signal.
        while sigwait(&set, &number) != 0 {}
        return number
    }
}
