// Who listens on a port, as far as /proc shows it to us (proc(5)): for the sentence that says why we cannot, and for measuring.

import Glibc

/// Finds the processes that hold a listening TCP port. Blocks on /proc; for errors at start and for commands only.
public enum PortHolder {
    /// Such as `goleapai (pid 812)`; nil where nobody is seen, or the process is another user's.
    public static func name(port: Int) -> String? {
        let links = links(port: port)
        guard let process = everybody.first(where: { holds($0, links) }) else { return nil }
        let command = read("/proc/\(process)/comm").filter { !$0.isNewline }
        return "\(command) (pid \(process))"
    }

    /// All that have it open: a service manager that keeps the socket, too.
    public static func processes(port: Int) -> [Int] {
        let links = links(port: port)
        return links.isEmpty ? [] : everybody.filter { holds($0, links) }
    }

    private static var everybody: [Int] { entries(of: "/proc").compactMap { Int($0) } }

    private static func holds(_ process: Int, _ links: Set<String>) -> Bool {
        let folder = "/proc/\(process)/fd"
        return !links.isEmpty && entries(of: folder).contains { links.contains(target(of: "\(folder)/\($0)")) }
    }

    /// What the descriptors of the port's listening sockets point to.
    private static func links(port: Int) -> Set<String> {
        // The tables come in pages: what others open and close in between can hide a line, but hardly three times.
        for _ in 0..<3 {
            let inodes = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap { listeningInodes(in: read($0), port: port) }
            if !inodes.isEmpty { return Set(inodes.map { "socket:[\($0)]" }) }
        }
        return []
    }

    /// The inodes of the sockets that listen on a port, from the text of /proc/net/tcp or tcp6.
    static func listeningInodes(in table: String, port: Int) -> [String] {
        table.split(whereSeparator: \.isNewline).dropFirst().compactMap { line in
            let columns = line.split(separator: " ")
            // Local address `address:port` in hexadecimal is the second column, the state (0A: listening) the fourth, the inode the tenth.
            guard columns.count > 9, columns[3] == "0A", let text = columns[1].split(separator: ":").last, Int(text, radix: 16) == port
            else { return nil }
            return String(columns[9])
        }
    }

    private static func entries(of path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            names.append(withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } })
        }
        return names
    }

    private static func target(of link: String) -> String {
        var buffer = [CChar](repeating: 0, count: 64)
        let count = readlink(link, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func read(_ path: String) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress, $0.count) }
            if count <= 0 { return String(decoding: text, as: UTF8.self) }
            text.append(contentsOf: buffer.prefix(count))
        }
    }
}
