// Memory straight from the kernel, and back to it.

import Glibc

/// Pages of one's own (mmap(2)), zeroed; given back when the value ends. For what is large, long-lived and comes and goes in many sizes: an allocator
/// keeps such memory in arenas of which a piece here and there is in use, and never gives them back. What is not written takes no room.
///
/// Any thread.
public struct MappedMemory: ~Copyable {
    public let start: UnsafeMutableRawPointer
    private let byteCount: Int

    /// Ends the process without memory, as any allocation does.
    /// - Parameter byteCount: at least 1; rounded up to whole pages.
    public init(byteCount: Int) {
        guard let memory = MappedMemory(trying: byteCount) else { preconditionFailure("\(SystemError("mmap", on: "\(byteCount) bytes"))") }
        self = memory
    }

    /// - Returns: nil without memory, or where the process has too many mappings.
    public init?(trying byteCount: Int) {
        guard let start = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), start != MAP_FAILED else { return nil }
        self.start = start
        self.byteCount = byteCount
    }

    deinit { munmap(start, byteCount) }
}
