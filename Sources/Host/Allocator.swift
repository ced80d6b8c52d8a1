// What the C library's allocator does with large blocks.

import CLinux

public enum Allocator {
    /// Of this size and more, a block is mapped by itself.
    private static let mappedBytes: Int32 = 131_072

    /// Has large blocks given back to the kernel as soon as they are freed. Before there is a second thread; once.
    ///
    /// By itself, the allocator learns from the first large block that is freed to keep such ones (mallopt(3), M_MMAP_THRESHOLD): stretches of history
    /// and of frames, which come and go all the time and in many sizes, would fill arenas that are never given back.
    public static func giveBackLargeBlocks() { clinux_give_back_blocks(mappedBytes) }
}
