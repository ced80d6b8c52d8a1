import Base
import Glibc
import Storage
import Synchronization
import Testing

@testable import Demo

private let start = Instant(milliseconds: 1_772_461_800_000)

/// A clock that moves by itself a tenth of a second each time it is asked.
private final class HastyClock: Clock {
    private let milliseconds = Atomic<Int64>(0)

    func now() -> Instant {
        start.advanced(byMilliseconds: milliseconds.wrappingAdd(100, ordering: .relaxed).newValue)
    }
    func monotonic() -> UInt64 { UInt64(milliseconds.load(ordering: .relaxed)) * 1_000_000 }
}

private func rows(_ connection: Connection, _ sql: String) throws -> [[String]] {
    let statement = try connection.prepare(sql)
    var rows: [[String]] = []
    // As many columns as words behind SELECT; good enough for the statements below.
    let columns = Int32(sql.split(separator: " FROM ")[0].split(separator: ",").count)
    while try statement.step() { rows.append((0..<columns).map { statement.string($0) }) }
    return rows
}

private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

struct DemoGatewayTests {
    @Test func schemaIsTheGatewaysWordForWord() throws {
        let gateway = try DemoGateway(DemoOptions(), clock: HastyClock())
        let connection = try Connection(path: gateway.databasePath)
        let made = try rows(connection, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid").map { $0[0] + ";" }
        let tests = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
        let descriptor = FileDescriptor(owning: open("/\(tests)/Fixtures/gateway/schema.sql", O_RDONLY))
        var text = [UInt8](repeating: 0, count: 65_536)
        let count = read(descriptor.number, &text, text.count)
        try #require(count > 0)
        let lines = String(decoding: text[..<count], as: UTF8.self).split(separator: "\n").map(String.init)
        #expect(made == lines.filter { !$0.hasPrefix("--") })
    }

    @Test func valuesAreStoredAsTheGatewayDoes() throws {
        let path = "/tmp/goleapai-ws-test-\(getpid())-values.db"
        defer { unlink(path) }
        let writer = try GatewayWriter(path: path, options: DemoOptions(), start: start, offsetMinutes: { _ in 120 })
        for second in 1...30 { _ = try writer.advance(to: start.advanced(byMilliseconds: Int64(second) * 1000)) }
        let connection = try Connection(path: path)
        let types = try rows(
            connection,
            "SELECT DISTINCT typeof(id) || typeof(provider_id) || typeof(model_id) || typeof(user_id) || typeof(status_code) || "
                + "typeof(latency_ms) || typeof(success) || typeof(error_message) || typeof(estimated_cost) || typeof(timestamp) "
                + "|| typeof(created_at) FROM request_logs")
        #expect(types == [["texttexttexttextintegerintegerintegertextrealtexttext"]])
        for row in try rows(connection, "SELECT timestamp, created_at FROM request_logs") {
            #expect(row[0].hasSuffix("+02:00") && row[1].hasSuffix("+00:00"))
            let (timestamp, created) = (try #require(Instant(parsing: row[0])), try #require(Instant(parsing: row[1])))
            #expect(timestamp <= created && created.milliseconds - timestamp.milliseconds < 2000)
            #expect(!row[0].contains("0+02:00") || !row[0].contains("."))
        }
        let providers = try rows(connection, "SELECT name, typeof(health_score), typeof(avg_latency_ms), typeof(supports_tools), last_verified FROM providers")
        #expect(providers.map { $0[0] } == Catalog.providers.map(\.name))
        #expect(providers.allSatisfy { $0[1...] == ["real", "integer", "integer", "0001-01-01 00:00:00+00:00"] })
        #expect(try rows(connection, "SELECT count(*) FROM models") == [["\(Catalog.models.count)"]])
        // Every request names a provider, and a model of it or none.
        #expect(
            try rows(
                connection,
                "SELECT count(*) FROM request_logs r LEFT JOIN models m ON m.id = r.model_id LEFT JOIN providers p ON p.id = r.provider_id "
                    + "WHERE p.id IS NULL OR (m.id IS NULL AND r.model_id <> '\(Catalog.nilUUID)') OR m.provider_id <> p.id") == [["0"]])
        #expect(try rows(connection, "PRAGMA journal_mode") == [["delete"]])
    }

    /// A reader that holds its lock makes the writer wait, not lose rows.
    @Test func rowsWaitForALockedDatabase() throws {
        let path = "/tmp/goleapai-ws-test-\(getpid())-locked.db"
        defer { unlink(path) }
        let writer = try GatewayWriter(path: path, options: DemoOptions(), start: start, busyMilliseconds: 0)
        let other = try GatewayDatabase(path: path)
        try other.execute("BEGIN EXCLUSIVE")
        #expect(throws: SQLError.self) { try writer.advance(to: start.advanced(byMilliseconds: 5000)) }
        try other.execute("ROLLBACK")
        _ = try writer.advance(to: start.advanced(byMilliseconds: 5000))
        let connection = try Connection(path: path)
        let count = try rows(connection, "SELECT count(*) FROM request_logs WHERE created_at > '2026-03-02 14:30:00'")
        #expect((Int(count[0][0]) ?? 0) > 50)
    }

    @Test func startsWritesAndCleansUp() throws {
        let gateway = try DemoGateway(DemoOptions(), clock: HastyClock())
        let path = gateway.databasePath
        #expect(exists(path))
        var status = stat()
        #expect(stat(String(path.dropLast("/goleapai.db".count)), &status) == 0 && status.st_mode & 0o777 == 0o700)
        let lines = Mutex<[DemoLogLine]>([])
        let enough = Semaphore()
        try gateway.start(
            onLog: { line in
                let count = lines.withLock { lines in
                    lines.append(line)
                    return lines.count
                }
                if count == 100 { enough.signal() }
            }, onFailure: { Issue.record("\($0)") })
        enough.wait()
        gateway.stop()
        gateway.stop()
        #expect(!exists(path) && !exists(String(path.dropLast("/goleapai.db".count))))
        lines.withLock { lines in #expect(zip(lines, lines.dropFirst()).allSatisfy { $0.timestamp.milliseconds <= $1.timestamp.milliseconds + 2000 }) }
    }

    @Test func removesItsFilesWhenNeverStarted() throws {
        var gateway: DemoGateway? = try DemoGateway(DemoOptions())
        let path = try #require(gateway?.databasePath)
        #expect(exists(path))
        gateway = nil
        #expect(!exists(path))
    }
}

/// sem_t(3) as an object.
private final class Semaphore: @unchecked Sendable {  // Sendable because sem_t is made for threads.
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    init() { sem_init(semaphore, 0, 0) }
    func signal() { sem_post(semaphore) }
    func wait() { while sem_wait(semaphore) != 0 {} }
    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }
}
