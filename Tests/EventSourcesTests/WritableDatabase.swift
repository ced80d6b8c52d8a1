// The other side: a gateway that writes its database, as far as tests need one.

import CSQLite
import Glibc
import Testing

@testable import Base

/// A connection that writes, with the gateway's own time-out of 5 s. A failed statement is a failed test.
///
/// `@unchecked Sendable` because each test hands one to one thread at a time.
final class WritableDatabase: @unchecked Sendable {
    private let handle: OpaquePointer
    let path: String

    init(_ path: String, wal: Bool = false) throws {
        var opened: OpaquePointer?
        self.path = path
        let code = sqlite3_open_v2(path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nil)
        handle = try #require(opened)
        try #require(code == SQLITE_OK)
        sqlite3_busy_timeout(handle, 5000)
        execute("PRAGMA synchronous=OFF")
        if wal { execute("PRAGMA journal_mode=WAL") }
    }

    deinit { sqlite3_close_v2(handle) }

    func execute(_ sql: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        #expect(code == SQLITE_OK, "\(String(cString: sqlite3_errmsg(handle))) in \(sql.prefix(200))", sourceLocation: sourceLocation)
    }

    /// Like `execute`, without a word about failure.
    func attempt(_ sql: String) -> Bool { sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK }

    /// The gateway's tables and indexes.
    func createSchema() throws {
        execute(try Fixture.text("schema.sql"))
    }

    /// What each start of the gateway does: `providers` and `models` made anew, with other quoting, in one transaction.
    func restart() {
        func remake(_ table: String, _ columns: String, _ index: String) {
            execute("DROP TABLE IF EXISTS `\(table)__temp`")
            execute("CREATE TABLE \"\(table)__temp\"  (\(columns))")
            execute("INSERT INTO `\(table)__temp` SELECT * FROM `\(table)`")
            execute("DROP TABLE `\(table)`")
            execute("ALTER TABLE `\(table)__temp` RENAME TO `\(table)`")
            _ = index
        }
        let providers = """
            `id` uuid,`name` text NOT NULL,`type` text NOT NULL,`status` text NOT NULL DEFAULT "active",`base_url` text NOT NULL,\
            `auth_type` text NOT NULL DEFAULT "api_key",`tier` integer NOT NULL DEFAULT 3,`discovered_at` datetime NOT NULL,\
            `last_verified` datetime,`source` text,`supports_streaming` numeric DEFAULT true,`supports_tools` numeric DEFAULT false,\
            `supports_json` numeric DEFAULT true,`last_health_check` datetime,`health_score` real DEFAULT 1,`avg_latency_ms` integer,\
            `created_at` datetime,`updated_at` datetime,PRIMARY KEY (`id`)
            """
        let models = """
            `id` uuid,`provider_id` uuid NOT NULL,`name` text NOT NULL,`display_name` text,`modality` text NOT NULL,`context_length` integer,\
            `max_output_tokens` integer,`input_price_per1k` real DEFAULT 0,`output_price_per1k` real DEFAULT 0,`capabilities` JSON,\
            `quality_score` real DEFAULT 0.5,`speed_score` real DEFAULT 0.5,`description` text,`tags` JSON,`created_at` datetime,\
            `updated_at` datetime,PRIMARY KEY (`id`)
            """
        execute("BEGIN IMMEDIATE")
        remake("providers", providers, "")
        remake("models", models, "")
        execute("COMMIT")
        execute("BEGIN IMMEDIATE")
        remake("models", models, "")
        execute("COMMIT")
        execute("CREATE UNIQUE INDEX IF NOT EXISTS `idx_providers_name` ON `providers`(`name`)")
        execute("CREATE INDEX IF NOT EXISTS `idx_models_name` ON `models`(`name`)")
    }

    /// A provider as the gateway would have written it.
    func putProvider(
        _ id: String, name: String, status: String = "active", score: Double = 1, lastCheck: Instant?, latency: Int = 100,
        updated: Instant
    ) {
        let check = lastCheck.map { gatewayText($0) } ?? "0001-01-01 00:00:00+00:00"
        execute(
            """
            INSERT INTO providers (id, name, type, status, base_url, discovered_at, last_health_check, health_score, avg_latency_ms, updated_at)
            VALUES ('\(id)', '\(name)', 'free', '\(status)', 'https://x', '2026-01-01 00:00:00+00:00', '\(check)', \(score), \(latency),
                '\(gatewayText(updated))')
            ON CONFLICT (id) DO UPDATE SET name = excluded.name, status = excluded.status, last_health_check = excluded.last_health_check,
                health_score = excluded.health_score, avg_latency_ms = excluded.avg_latency_ms, updated_at = excluded.updated_at
            """)
    }

    func insert(_ rows: [TestRow]) {
        guard !rows.isEmpty else { return }
        execute("BEGIN IMMEDIATE")
        for row in rows { execute(row.sql) }
        execute("COMMIT")
    }
}

/// A row of request_logs.
struct TestRow {
    var id: String
    var provider = "11111111-1111-1111-1111-111111111111"
    var model = "22222222-2222-2222-2222-222222222222"
    var user = RowText.nilUUID
    var status = 200
    var latency: Int64 = 100
    var input: Int64 = 10
    var output: Int64 = 20
    var success = true
    var error = ""
    var cost = 0.0
    var at: Instant
    var offsetMinutes: Int64 = 0

    var sql: String {
        let text = gatewayText(at, offsetMinutes: offsetMinutes)
        return """
            INSERT INTO request_logs VALUES ('\(id)', '\(provider)', '\(model)', '\(user)', 'POST', '/v1/chat/completions', \(status), \
            \(latency), \(input), \(output), \(success ? 1 : 0), '\(error)', \(cost), '\(text)', '\(gatewayText(at))')
            """
    }
}

enum RowText { static let nilUUID = "00000000-0000-0000-0000-000000000000" }

/// An instant as the gateway writes it: end zeros of the fraction cut, always an offset.
func gatewayText(_ instant: Instant, offsetMinutes: Int64 = 0) -> String {
    let local = Instant(microseconds: instant.microseconds + offsetMinutes * 60_000_000)
    var text = String(local.rfc3339.prefix(19))
    text = text.replacing("T", with: " ")
    let micros = ((instant.microseconds % 1_000_000) + 1_000_000) % 1_000_000
    if micros != 0 {
        var digits = String(micros)
        digits = String(repeating: "0", count: 6 - digits.count) + digits
        while digits.hasSuffix("0") { digits.removeLast() }
        text += "." + digits
    }
    let sign = offsetMinutes < 0 ? "-" : "+"
    func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return text + sign + two(abs(offsetMinutes) / 60) + ":" + two(abs(offsetMinutes) % 60)
}
