// Writes the story into a database, statement by statement as the gateway does.

import Base

/// One thread at a time.
final class GatewayWriter {
    /// Rows that the gateway's queue writes at once.
    static let batchRowsMax = 100
    /// While the database cannot be written; older ones are given up, as the gateway's own queue does.
    static let waitingRowsMax = 10_000

    private let database: GatewayDatabase
    private var traffic: Traffic
    private var waiting: [RequestRow] = []
    private var waitingProviders: [ProviderState] = []
    private let offsetMinutes: (GatewayTime) -> Int

    /// Makes tables, providers, models, users, and a day of requests.
    ///
    /// - Parameter offsetMinutes: the time zone in which the gateway runs, at a time.
    init(
        path: String, options: DemoOptions, start: Instant, busyMilliseconds: Int32 = 5000,
        offsetMinutes: @escaping (GatewayTime) -> Int = { $0.localOffsetMinutes }
    ) throws(SQLError) {
        database = try GatewayDatabase(path: path, busyMilliseconds: busyMilliseconds)
        traffic = Traffic(rate: options.rate, seed: options.seed, start: start)
        self.offsetMinutes = offsetMinutes
        try database.transaction { () throws(SQLError) in
            for statement in GatewaySchema.statements { try database.execute(statement) }
        }
        try database.transaction { () throws(SQLError) in try insertCatalog(at: GatewayTime(start)) }
        let history = traffic.history()
        try database.transaction { () throws(SQLError) in
            for row in history { try insert(row) }
        }
    }

    /// When there is something to write next.
    var nextDue: Instant { traffic.nextDue }

    /// Writes what happened up to `now`.
    ///
    /// - Returns: the log lines of that time.
    /// - Throws: where the database is locked or full; what could not be written waits for the next call.
    func advance(to now: Instant) throws(SQLError) -> [DemoLogLine] {
        let step = traffic.advance(to: now)
        waiting += step.requests
        waitingProviders += step.providers
        waiting.removeFirst(max(0, waiting.count - GatewayWriter.waitingRowsMax))
        waitingProviders.removeFirst(max(0, waitingProviders.count - GatewayWriter.waitingRowsMax))
        while let state = waitingProviders.first {
            try save(state)
            waitingProviders.removeFirst()
        }
        while !waiting.isEmpty {
            let batch = waiting.prefix(GatewayWriter.batchRowsMax)
            try database.transaction { () throws(SQLError) in
                for row in batch { try insert(row) }
            }
            waiting.removeFirst(batch.count)
        }
        return step.log
    }

    // MARK: Statements, in GORM's words

    private func insert(_ row: RequestRow) throws(SQLError) {
        try database.execute(
            "INSERT INTO `request_logs` (`id`,`provider_id`,`model_id`,`user_id`,`method`,`endpoint`,`status_code`,`latency_ms`,"
                + "`input_tokens`,`output_tokens`,`success`,`error_message`,`estimated_cost`,`timestamp`,`created_at`) "
                + "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [
                .text(row.id), .text(row.providerID), .text(row.modelID), .text(row.userID), .text("POST"), .text(row.endpoint),
                .integer(row.status), .integer(row.latencyMilliseconds), .integer(row.inputTokens), .integer(row.outputTokens),
                .integer(row.isSuccess ? 1 : 0), .text(row.errorMessage), .real(row.cost), local(row.timestamp),
                .text(row.createdAt.text()),
            ])
    }

    /// GORM's Save: every column, changed or not.
    private func save(_ state: ProviderState) throws(SQLError) {
        let provider = Catalog.providers[state.index]
        try database.execute(
            "UPDATE `providers` SET `name`=?,`type`=?,`status`=?,`base_url`=?,`auth_type`=?,`tier`=?,`discovered_at`=?,"
                + "`last_verified`=?,`source`=?,`supports_streaming`=?,`supports_tools`=?,`supports_json`=?,`last_health_check`=?,"
                + "`health_score`=?,`avg_latency_ms`=?,`created_at`=?,`updated_at`=? WHERE `id` = ?",
            columns(of: state, provider) + [.text(state.id)])
    }

    /// All columns of a provider but its id.
    private func columns(of state: ProviderState, _ provider: Catalog.Provider) -> [SQLValue] {
        [
            .text(provider.name), .text(provider.type), .text(state.status), .text(provider.url), .text(provider.authentication),
            .integer(provider.tier), local(state.createdAt), .text(GatewayTime.noneText), .text(provider.source), .integer(1),
            .integer(provider.hasTools ? 1 : 0), .integer(1), local(state.lastCheck), .real(state.healthScore),
            .integer(state.latencyMilliseconds), .text(state.createdAt.text()), .text(state.updatedAt.text()),
        ]
    }

    private func insertCatalog(at start: GatewayTime) throws(SQLError) {
        for state in traffic.providers {
            try database.execute(
                "INSERT INTO `providers` (`id`,`name`,`type`,`status`,`base_url`,`auth_type`,`tier`,`discovered_at`,`last_verified`,"
                    + "`source`,`supports_streaming`,`supports_tools`,`supports_json`,`last_health_check`,`health_score`,"
                    + "`avg_latency_ms`,`created_at`,`updated_at`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                [.text(state.id)] + columns(of: state, Catalog.providers[state.index]))
        }
        let created = GatewayTime(nanoseconds: start.nanoseconds - 30 * 86_400 * 1_000_000_000)
        for (id, model) in zip(traffic.modelIDs, Catalog.models) {
            try database.execute(
                "INSERT INTO `models` (`id`,`provider_id`,`name`,`display_name`,`modality`,`context_length`,`max_output_tokens`,"
                    + "`input_price_per1k`,`output_price_per1k`,`capabilities`,`quality_score`,`speed_score`,`description`,`tags`,"
                    + "`created_at`,`updated_at`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                [
                    .text(id), .text(traffic.providers[model.provider].id), .text(model.name), .text(model.displayName),
                    .text(model.modality), .integer(model.context), .integer(model.output), .real(model.inputPrice),
                    .real(model.outputPrice), .text(model.capabilities), .real(model.quality), .real(model.speed), .text(""),
                    .text(model.tags), .text(created.text()), .text(created.text()),
                ])
        }
        for (id, user) in zip(traffic.userIDs, Catalog.users) {
            try database.execute(
                "INSERT INTO `users` (`id`,`email`,`password_hash`,`name`,`role`,`active`,`email_verified`,`last_login_at`,"
                    + "`quota_tokens`,`quota_tokens_used`,`quota_requests`,`quota_requests_used`,`quota_reset_at`,`created_at`,"
                    + "`updated_at`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                [
                    // No password has this hash: nobody logs in to a demo.
                    .text(id), .text(user.email), .text("*"), .text(user.name), .text(user.role), .integer(1), .integer(0), .null,
                    .integer(0), .integer(0), .integer(0), .integer(0),
                    .text(GatewayTime(nanoseconds: start.nanoseconds + 86_400 * 1_000_000_000).text()), .text(created.text()),
                    .text(created.text()),
                ])
        }
    }

    /// A time in the gateway's own zone.
    private func local(_ time: GatewayTime) -> SQLValue { .text(time.text(offsetMinutes: offsetMinutes(time))) }
}
