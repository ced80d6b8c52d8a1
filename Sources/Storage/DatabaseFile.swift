// A database file that comes, goes, and may be another one the next time.

import Base
import Glibc

/// Keeps a connection to the database that stands at a path. Owner: one thread at a time. May block as long as the disk does.
public final class DatabaseFile {
    /// Which file it is, whatever its name.
    public struct FileID: Equatable, Sendable {
        let device: UInt64
        let inode: UInt64
    }

    public enum State {
        case open
        /// The path names another file than the open one, which can still be read, to its end.
        case replaced
        /// The path names nothing that can be read; the open file, if there is one, still can.
        case failing(String)
    }

    public let path: String
    /// The open file; nil before `look` has found one, and after `close`.
    public private(set) var open: (connection: Connection, file: FileID)?
    private let busyMilliseconds: Int32

    /// - Parameter busyMilliseconds: how long a call waits for a writer's lock.
    public init(path: String, busyMilliseconds: Int32 = 20) {
        self.path = path
        self.busyMilliseconds = busyMilliseconds
    }

    /// Looks at the path, and opens the file where none is open. Costs one stat(2) when nothing has changed.
    public func look() -> State {
        let found: FileID
        switch fileAtPath() {
        case .success(let file): found = file
        case .failure(let failure): return .failing(failure.sentence)
        }
        // While it is open its inode cannot be given to another file.
        if let open { return open.file == found ? .open : .replaced }
        do throws(DatabaseError) {
            let connection = try Connection(path: path, busyMilliseconds: busyMilliseconds)
            // SQLite opens by name as well: only if the name stood still meanwhile is it known which file that was.
            guard case .success(found) = fileAtPath() else { return .failing("the database \(path) is just being replaced") }
            open = (connection, found)
            return .open
        } catch {
            return .failing(sentence(error))
        }
    }

    /// Lets go of the open file.
    public func close() { open = nil }

    private struct Missing: Error { let sentence: String }

    private func fileAtPath() -> Result<FileID, Missing> {
        var status = stat()
        guard stat(path, &status) == 0 else {
            switch errno {
            case ENOENT, ENOTDIR: return .failure(Missing(sentence: "the database \(path) does not exist"))
            case EACCES: return .failure(Missing(sentence: "no permission to reach the database \(path)"))
            case let code: return .failure(Missing(sentence: "the database \(path): \(SystemError.text(of: code))"))
            }
        }
        guard status.st_mode & S_IFMT == S_IFREG else { return .failure(Missing(sentence: "the database \(path) is not a file")) }
        return .success(FileID(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)))
    }

    /// What an error means to whoever has to mend it.
    public func sentence(_ error: DatabaseError) -> String {
        if error.isBusy { return "the database \(path) is locked by a writer" }
        switch error.code.primary {
        case DatabaseError.Code.notADatabase.rawValue:
            return "\(path) is not an SQLite database"
        case DatabaseError.Code.corrupt.rawValue:
            return "the database \(path) is damaged, or is just being overwritten: \(error.message)"
        case DatabaseError.Code.interrupted.rawValue:
            return "a read of the database \(path) took too long and was ended"
        case DatabaseError.Code.error.rawValue:
            // SQLite names what is missing: "no such table: request_logs", "no such column: r.success".
            return "the database \(path) is not a gateway's, or not set up yet: \(error.message)"
        default: break
        }
        if access(path, R_OK) != 0 { return "no permission to read the database \(path)" }
        if error.code == .readOnlyRollback || access("\(path)-journal", F_OK) == 0 {
            return "the database \(path) has a hot journal of a writer that died; starting the gateway rolls it back"
        }
        if error.code == .walWithoutWriter || access("\(path)-wal", F_OK) == 0 {
            return "the database \(path) uses a write-ahead log and no gateway has it open, so that it cannot be read without "
                + "write permission; starting the gateway makes it readable"
        }
        return "the database \(path) cannot be read: \(error.message) (SQLite \(error.code.rawValue))"
    }
}
