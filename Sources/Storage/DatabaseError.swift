// What can go wrong with a database that belongs to someone else, as data.

/// A failed database call: SQLite's code, its words, and what was asked.
public struct DatabaseError: Error, Equatable, CustomStringConvertible {
    /// SQLite's extended result codes are an open number space; these are the ones that callers tell apart.
    public struct Code: RawRepresentable, Equatable, Sendable {
        public let rawValue: Int32
        public init(rawValue: Int32) { self.rawValue = rawValue }

        /// The code without its extension.
        public var primary: Int32 { rawValue & 0xFF }

        public static let error = Code(rawValue: 1)
        public static let permission = Code(rawValue: 3)
        public static let busy = Code(rawValue: 5)
        public static let locked = Code(rawValue: 6)
        public static let interrupted = Code(rawValue: 9)
        public static let ioError = Code(rawValue: 10)
        public static let corrupt = Code(rawValue: 11)
        public static let cannotOpen = Code(rawValue: 14)
        /// Readers and writers of a write-ahead log kept getting in each other's way.
        public static let protocolRace = Code(rawValue: 15)
        /// The schema kept changing while a statement was prepared.
        public static let schema = Code(rawValue: 17)
        public static let notADatabase = Code(rawValue: 26)
        /// A WAL database without its `-wal` or `-shm`, which only a writer may create. (SQLITE_CANTOPEN_DIRTYWAL, which
        /// SQLite itself does not use.)
        public static let walWithoutWriter = Code(rawValue: 14 | 5 << 8)
        /// A journal waits to be rolled back, which only a writer may do.
        public static let readOnlyRollback = Code(rawValue: 8 | 3 << 8)
    }

    public let code: Code
    /// SQLite's own sentence.
    public let message: String
    /// The statement or the file it was about.
    public let subject: String

    public init(code: Code, message: String, subject: String) {
        self.code = code
        self.message = message
        self.subject = subject
    }

    /// A writer is at it just now; the same call may succeed a moment later.
    public var isBusy: Bool { [Code.busy, .locked, .protocolRace, .schema].contains { $0.rawValue == code.primary } }
    /// Ended from outside by `Interrupter`, or by the read's own time limit.
    public var isInterrupted: Bool { code.primary == Code.interrupted.rawValue }

    public var description: String { "\(message) (SQLite \(code.rawValue)) in \(subject)" }
}
