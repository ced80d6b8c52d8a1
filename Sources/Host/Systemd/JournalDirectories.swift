// Whether there is a journal, and whether we may read it: libsystemd says neither, it just gives no entries.

import Base
import CSystemd
import Glibc

/// Whether the journal can be read.
public enum JournalAccess: Sendable, Equatable {
    case ok
    /// No journal file of this machine.
    case noJournal
    /// A journal that this user may not read.
    case noPermission(path: String)

    /// What is wrong and what would help; empty where nothing is.
    public var sentence: String {
        switch self {
        case .ok: ""
        case .noJournal:
            "no journal: neither /var/log/journal nor /run/log/journal holds a system.journal; systemd-journald must be running"
        case .noPermission(let path):
            // A directory made by hand has the wrong group.
            "\(path) may not be read: add the user to group systemd-journal; if it is in it, run systemd-tmpfiles --create --prefix=/var/log/journal"
        }
    }
}

/// The directories in which journald keeps its files, as they are just now.
public struct JournalDirectories: Sendable, Equatable {
    /// A directory by device and inode, so that one that was put in place anew is another.
    struct Identity: Sendable, Hashable {
        let device: UInt64
        let inode: UInt64
    }

    public static let roots = ["/var/log/journal", "/run/log/journal"]

    public let access: JournalAccess
    /// An open journal watches the roots that were there when it was opened, and what comes in them; where the roots
    /// themselves come later it has to be opened again.
    let identities: [Identity?]

    /// Looks at the directories; a few system calls.
    public static func look() -> JournalDirectories { look(in: roots, machine: machineID) }

    static func look(in roots: [String], machine: String?) -> JournalDirectories {
        let files = roots.flatMap { root in
            (machine.map { [$0] } ?? subdirectories(of: root)).map { "\(root)/\($0)/system.journal" }
        }
        var denied: String?
        var isReadable = false
        for file in files {
            if faccessat(AT_FDCWD, file, R_OK, AT_EACCESS) == 0 {
                isReadable = true
            } else if errno == EACCES, denied == nil {
                denied = file
            }
        }
        let access: JournalAccess = isReadable ? .ok : denied.map { .noPermission(path: $0) } ?? .noJournal
        return JournalDirectories(access: access, identities: roots.map(identity))
    }

    private static func identity(of path: String) -> Identity? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// The name of this machine's own directory. Others are of machines whose disk or image this once was.
    private static var machineID: String? {
        var id = sd_id128_t()
        guard sd_id128_get_machine(&id) >= 0 else { return nil }
        return withUnsafeBytes(of: id) { bytes in
            bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
    }

    private static func subdirectories(of root: String) -> [String] {
        guard let directory = opendir(root) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }
}
