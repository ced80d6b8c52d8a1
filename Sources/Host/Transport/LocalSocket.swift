// Unix sockets that stand in the file system (unix(7)).

import Base
import CLinux
import Glibc

/// Binding a path, and telling whose socket stands there.
public enum LocalSocket {
    /// Listens on a path. The file has mode 0660 and our primary group before the first connection is possible. One that nobody
    /// listens on any more is replaced.
    /// - Throws: `EADDRINUSE` where another process listens there, `ENOTSOCK` where something else stands there.
    public static func bind(_ path: String) throws(SystemError) -> ListeningSocket {
        try clear(path)
        let socket = ListeningSocket(owning: try make(path), address: nil)
        guard call(Glibc.bind, socket.descriptor.number, path) == 0 else { throw SystemError("bind", on: path) }
        if let error = admitGroup(path) ?? (listen(socket.descriptor.number, ListeningSocket.backlog) == 0 ? nil : SystemError("listen", on: path)) {
            unlink(path)
            throw error
        }
        return socket
    }

    /// Connects to a path; on a local socket that is done at once.
    /// - Returns: a non-blocking socket.
    public static func connect(_ path: String) throws(SystemError) -> FileDescriptor {
        let descriptor = try make(path)
        guard call(Glibc.connect, descriptor.number, path) == 0 else { throw SystemError("connect", on: path) }
        return descriptor
    }

    /// Whether who connects to the path comes out at this socket, and not at another one that has taken its place.
    ///
    /// The kernel has no call for that. But it tells whoever connects which process has called listen(2); so we call it once more, and
    /// connect. The connection is ended at once, and whoever accepts it will find nothing in it.
    public static func leads(_ path: String, to socket: ListeningSocket) -> Bool {
        guard listen(socket.descriptor.number, ListeningSocket.backlog) == 0, let probe = try? make(path) else { return false }
        guard call(Glibc.connect, probe.number, path) == 0 else {
            // So many wait there that one more finds no place. It would be odd if these were somebody else's.
            return errno == EAGAIN
        }
        var process: Int32 = 0
        var user = UInt32.max
        var group = UInt32.max
        return clinux_peer(probe.number, &process, &user, &group) == 0 && process == getpid()
    }

    /// Lets our primary group connect, and nobody else beside us.
    public static func admitGroup(_ path: String) -> SystemError? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return SystemError("lstat", on: path) }
        // Another group only where the directory hands down its own.
        if status.st_gid != getegid(), lchown(path, uid_t.max, getegid()) != 0 { return SystemError("lchown", on: path) }
        return chmod(path, 0o660) == 0 ? nil : SystemError("chmod", on: path)
    }

    /// Takes a socket that nobody listens on out of the way.
    private static func clear(_ path: String) throws(SystemError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            // What else is wrong with the path, bind(2) will say.
            return
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw SystemError("bind", ENOTSOCK, on: path) }
        let probe = try make(path)
        if call(Glibc.connect, probe.number, path) == 0 { throw SystemError("bind", EADDRINUSE, on: path) }
        switch errno {
        case ECONNREFUSED: break
        case ENOENT: return
        // EAGAIN: its queue is full; EPROTOTYPE: it is of another type. EACCES and others: whose it is cannot be found out.
        case EAGAIN, EPROTOTYPE: throw SystemError("bind", EADDRINUSE, on: path)
        case let code: throw SystemError("connect", code, on: path)
        }
        guard unlink(path) == 0 || errno == ENOENT else { throw SystemError("unlink", on: path) }
    }

    private static func make(_ path: String) throws(SystemError) -> FileDescriptor {
        let number = clinux_stream_socket(AF_UNIX)
        guard number >= 0 else { throw SystemError("socket", on: path) }
        return FileDescriptor(owning: number)
    }

    /// bind or connect with a path as the address.
    private static func call(
        _ function: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32, _ number: Int32, _ path: String
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        // One byte stays for the NUL.
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            errno = ENAMETOOLONG
            return -1
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { function(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
}

/// A file by its place on the disk: to know it again.
public struct FileIdentity: Sendable, Equatable {
    private let device: dev_t
    private let inode: ino_t

    /// - Returns: nil where there is none.
    public init?(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        device = status.st_dev
        inode = status.st_ino
    }
}
