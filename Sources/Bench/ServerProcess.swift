// What the server's process costs, from outside: its clock, its memory (clock_getcpuclockid(3), proc(5)).

import Glibc
import Host

/// A process of this machine. Reading needs no rights but those to see it; memory only of one's own user's processes, or as root.
struct ServerProcess: Equatable, Sendable {
    let number: Int

    /// The one that listens on a port; of several, the one that serves is younger than the manager that keeps its socket.
    static func listening(on port: Int) -> ServerProcess? {
        PortHolder.processes(port: port).max().map { ServerProcess(number: $0) }
    }

    /// Computing time of all its threads, those that have ended included.
    struct CPU: Equatable, Sendable {
        var nanoseconds: UInt64 = 0
        /// Of these in user mode and in the kernel, as far as ticks tell.
        var userSeconds = 0.0
        var systemSeconds = 0.0

        static func - (a: CPU, b: CPU) -> CPU {
            CPU(
                nanoseconds: a.nanoseconds > b.nanoseconds ? a.nanoseconds - b.nanoseconds : 0, userSeconds: a.userSeconds - b.userSeconds,
                systemSeconds: a.systemSeconds - b.systemSeconds)
        }
    }

    /// nil where the process is not there (any more).
    func cpu() -> CPU? {
        var clock = clockid_t()
        var time = timespec()
        guard let process = pid_t(exactly: number), clock_getcpuclockid(process, &clock) == 0, clock_gettime(clock, &time) == 0,
            let ticks = ServerProcess.ticks(in: SystemFile.text("/proc/\(number)/stat"))
        else { return nil }
        let second = Double(sysconf(Int32(_SC_CLK_TCK)))
        return CPU(
            nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec), userSeconds: Double(ticks.user) / second,
            systemSeconds: Double(ticks.system) / second)
    }

    /// utime and stime of /proc/PID/stat. The name before them may hold anything, a bracket too.
    static func ticks(in stat: String) -> (user: Int, system: Int)? {
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[end...].split(separator: " ")
        // Behind the name come fields 3 and on; wanted are 14 and 15.
        guard fields.count > 13, let user = Int(fields[12]), let system = Int(fields[13]) else { return nil }
        return (user, system)
    }

    struct Memory: Equatable, Sendable {
        var residentBytes = 0
        /// Written by this process and shared with nobody.
        var privateDirtyBytes = 0
    }

    /// nil where that is not shown to us.
    func memory() -> Memory? { ServerProcess.memory(in: SystemFile.text("/proc/\(number)/smaps_rollup")) }

    static func memory(in rollup: String) -> Memory? {
        var memory = Memory()
        var isKnown = false
        for line in rollup.split(whereSeparator: \.isNewline) {
            let words = line.split(separator: " ")
            guard words.count >= 3, words[2] == "kB", let kilobytes = Int(words[1]) else { continue }
            switch words[0] {
            case "Rss:": (memory.residentBytes, isKnown) = (kilobytes * 1024, true)
            case "Private_Dirty:": memory.privateDirtyBytes = kilobytes * 1024
            default: break
            }
        }
        return isKnown ? memory : nil
    }
}

/// Files that the kernel makes up.
enum SystemFile {
    /// Empty where it cannot be read.
    static func text(_ path: String) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var text: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(file, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return String(decoding: text, as: UTF8.self) }
            text += part[..<count]
        }
    }
}
