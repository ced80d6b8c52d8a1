// One owner per descriptor: closing is the end of the value's life.

import Glibc

/// An open file descriptor; closes it when it goes out of scope.
///
/// Any thread may own it; it cannot be copied, so it is closed exactly once.
public struct FileDescriptor: ~Copyable, Sendable {
    /// The number for system calls. Borrowed: valid while this value lives.
    public let number: Int32

    /// Takes over an open descriptor.
    public init(owning number: Int32) { self.number = number }

    /// Gives the number away; the receiver closes it.
    public consuming func release() -> Int32 {
        let number = self.number
        discard self
        return number
    }

    deinit { _ = close(number) }
}
