// The gateway's database, and what the sources have prepared on it.

import Storage

/// Keeps a connection to the file that stands at the path, and the statements on it. Owner: one thread at a time.
final class GatewayDatabase {
    typealias FileID = DatabaseFile.FileID
    typealias State = DatabaseFile.State

    /// A connection and what is prepared on it.
    struct Session {
        let connection: Connection
        let file: FileID
        /// Prepared when first needed: tables may come later than the file.
        var requests: RequestQueries?
        var providers: ProviderQueries?
    }

    var session: Session?
    private let file: DatabaseFile

    /// - Parameter busyMilliseconds: how long a call waits for a writer's lock.
    init(path: String, busyMilliseconds: Int32 = 20) {
        file = DatabaseFile(path: path, busyMilliseconds: busyMilliseconds)
    }

    var path: String { file.path }

    /// Looks at the path, and opens the file where none is open. Costs one stat(2) when nothing has changed.
    func look() -> State {
        let state = file.look()
        if session == nil, let open = file.open { session = Session(connection: open.connection, file: open.file) }
        return state
    }

    /// Lets go of the open file.
    func close() {
        session = nil
        file.close()
    }

    /// What an error means to whoever has to mend it.
    func sentence(_ error: DatabaseError) -> String { file.sentence(error) }
}
