// What this process uses of the machine, as /proc and the kernel tell it.

import Base
import Glibc

/// One look; nil where the kernel does not say. Blocks for as long as it takes to list the open descriptors: not on a shard.
public struct ProcessUsage: Sendable {
    /// Of all threads, in user space and in the kernel.
    public let cpuMicroseconds: UInt64
    public let residentBytes: UInt64?
    public let virtualBytes: UInt64?
    public let openDescriptors: Int?
    /// `UInt64.max` for no limit.
    public let descriptorsMax: UInt64?
    public let started: Instant?
    public let threads: Int?

    /// - Parameter now: the wall clock.
    public init(at now: Instant) {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let seconds = UInt64(clamping: usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        cpuMicroseconds = seconds * 1_000_000 + UInt64(clamping: usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
        var limit = rlimit()
        descriptorsMax = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 ? UInt64(limit.rlim_cur) : nil
        openDescriptors = ProcessUsage.countDescriptors()
        // proc_pid_stat(5). The second field is the name, in parentheses, and may hold anything: what counts is behind the last one.
        let text = ProcessUsage.contents(of: "/proc/self/stat") ?? ""
        let fields = text[(text.lastIndex(of: ")").map(text.index(after:)) ?? text.endIndex)...].split(separator: " ")
        func field(_ number: Int) -> UInt64? { fields.count > number - 3 ? UInt64(fields[number - 3]) : nil }
        threads = field(20).map { Int(clamping: $0) }
        virtualBytes = field(23)
        residentBytes = field(24).map { $0 &* UInt64(clamping: sysconf(Int32(_SC_PAGESIZE))) }
        let ticksPerSecond = UInt64(clamping: sysconf(Int32(_SC_CLK_TCK)))
        started = field(22).flatMap { ticks in
            // Field 22 counts from the start of the machine.
            var up = timespec()
            guard ticksPerSecond > 0, clock_gettime(CLOCK_BOOTTIME, &up) == 0 else { return nil }
            let uptime = Int64(up.tv_sec) * 1000 + Int64(up.tv_nsec) / 1_000_000
            return now.advanced(byMilliseconds: Int64(clamping: ticks &* 1000 / ticksPerSecond) - uptime)
        }
    }

    private static func countDescriptors() -> Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            if entry.pointee.d_name.0 != CChar(bitPattern: UInt8(ascii: ".")) { count += 1 }
        }
        // The one by which they are listed is none of ours.
        return max(0, count - 1)
    }

    private static func contents(of path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }
}
