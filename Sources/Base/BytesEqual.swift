// Bytes beside a literal of ours.

import Glibc

extension UnsafeRawBufferPointer {
    /// Whether these are the bytes of `text`. One comparison of memory, where a generic one of collections goes byte by byte.
    @inlinable
    public func equals(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        guard let baseAddress else { return true }
        return memcmp(baseAddress, text.utf8Start, count) == 0
    }
}
