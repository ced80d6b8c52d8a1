// A disk that does not answer.

import Base
import CSQLite
import Glibc

/// An SQLite file layer that is the usual one, except that reads of a database with `hanging` in its name wait while they are told to.
///
/// For the whole process: install it before the database is opened for the first time.
public enum HangingDisk {
    private struct State {
        /// Paths of open files, by SQLite's address of the file.
        var paths: [UInt: String] = [:]
        var hanging: Set<String> = []
        var waiting: [String: Int] = [:]
    }
    private static let state = Locked(State())

    /// From now on reads of this file wait.
    public static func hang(_ path: String) { state.withLock { _ = $0.hanging.insert(path) } }
    public static func release(_ path: String) { state.withLock { _ = $0.hanging.remove(path) } }
    /// Whether a read of it waits.
    public static func isWaitedFor(_ path: String) -> Bool { state.withLock { $0.waiting[path, default: 0] > 0 } }

    /// The usual layer and its methods. Written before the layer is registered and at the first open, by the test's own
    /// thread before others come; SQLite keeps the addresses, so both live on the heap for good.
    nonisolated(unsafe) private static var usual: UnsafeMutablePointer<sqlite3_vfs>?
    nonisolated(unsafe) private static var usualMethods: UnsafePointer<sqlite3_io_methods>?
    nonisolated(unsafe) private static let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)

    private static func wait(for file: UInt) {
        guard let path = state.withLock({ $0.paths[file] }) else { return }
        state.withLock { $0.waiting[path, default: 0] += 1 }
        while state.withLock({ $0.hanging.contains(path) }) { usleep(1000) }
        state.withLock { $0.waiting[path, default: 0] -= 1 }
    }

    /// Whether the layer is in place, which asking brings about.
    public static let installed: Bool = {
        guard let found = sqlite3_vfs_find(nil) else { return false }
        usual = found
        let layer = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
        layer.initialize(to: found.pointee)
        layer.pointee.zName = UnsafePointer(strdup("hanging"))
        layer.pointee.xOpen = { _, name, file, flags, outFlags in
            guard let usual = HangingDisk.usual, let open = usual.pointee.xOpen else { return SQLITE_ERROR }
            let code = open(usual, name, file, flags, outFlags)
            if code == SQLITE_OK, flags & SQLITE_OPEN_MAIN_DB != 0, let name, let file, strstr(name, "hanging") != nil {
                HangingDisk.state.withLock { state in
                    if HangingDisk.usualMethods == nil, let usual = file.pointee.pMethods {
                        HangingDisk.usualMethods = usual
                        HangingDisk.methods.initialize(to: usual.pointee)
                        HangingDisk.methods.pointee.xRead = { file, buffer, count, offset in
                            HangingDisk.wait(for: UInt(bitPattern: file))
                            return HangingDisk.usualMethods?.pointee.xRead?(file, buffer, count, offset) ?? SQLITE_ERROR
                        }
                    }
                    state.paths[UInt(bitPattern: file)] = String(cString: name)
                }
                file.pointee.pMethods = UnsafePointer(HangingDisk.methods)
            }
            return code
        }
        return sqlite3_vfs_register(layer, 1) == SQLITE_OK
    }()
}
