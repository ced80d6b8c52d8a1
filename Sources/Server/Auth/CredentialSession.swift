// One reader's view of the gateway's database: opened when needed, closed when it fails, opened anew when another file stands there.

import Storage

/// Reads credentials. Owner: one thread. Blocks as long as the disk does.
final class CredentialSession {
    struct Failure: Error { let sentence: String }

    private let file: DatabaseFile
    private var queries: CredentialQueries?

    init(path: String, busyMilliseconds: Int32) { file = DatabaseFile(path: path, busyMilliseconds: busyMilliseconds) }

    var path: String { file.path }

    /// Reads what is wanted in one transaction, so that it is all of one moment.
    ///
    /// - Parameter opened: told how to end a read, before one begins.
    /// - Returns: the rows of the reading's subjects, in order; those of its recheck go to the job.
    func read(_ reading: CredentialDesk.Reading, opened: (Interrupter?) -> Void) -> Result<[CredentialRow], Failure> {
        var state = file.look()
        if case .replaced = state {
            close()
            state = file.look()
        }
        if case .failing(let sentence) = state {
            // A file that lost its name may be read, but nobody writes to it any more that counts: a revocation would not be seen.
            close()
            opened(nil)
            return .failure(Failure(sentence: sentence))
        }
        guard let connection = file.open?.connection else {
            return .failure(Failure(sentence: "the database \(path) is just being replaced"))
        }
        opened(connection.interrupter)
        do throws(DatabaseError) {
            let queries: CredentialQueries
            if let prepared = self.queries { queries = prepared } else { queries = try CredentialQueries(connection) }
            self.queries = queries
            return .success(try connection.read { () throws(DatabaseError) in try rows(reading, queries) })
        } catch {
            let sentence = file.sentence(error)
            if !error.isBusy { close() }
            return .failure(Failure(sentence: sentence))
        }
    }

    private func rows(_ reading: CredentialDesk.Reading, _ queries: CredentialQueries) throws(DatabaseError) -> [CredentialRow] {
        var rows: [CredentialRow] = []
        for subject in reading.subjects { rows.append(try queries.read(subject)) }
        if let (job, subjects) = reading.recheck {
            for subject in subjects { job.add(try queries.read(subject), for: subject) }
        }
        return rows
    }

    private func close() {
        queries = nil
        file.close()
    }
}
