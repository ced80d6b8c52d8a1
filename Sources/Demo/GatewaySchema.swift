// The gateway's tables and indexes after its first start, word for word as they stand in sqlite_master.

enum GatewaySchema {
    /// Statements in the order in which the gateway makes them.
    static let statements: [String] = [
        #"CREATE TABLE `users` (`id` uuid,`email` text NOT NULL,`password_hash` text NOT NULL,`name` text,`role` text NOT NULL DEFAULT "user",`active` numeric DEFAULT true,`email_verified` numeric DEFAULT false,`last_login_at` datetime,`quota_tokens` integer DEFAULT 0,`quota_tokens_used` integer DEFAULT 0,`quota_requests` integer DEFAULT 0,`quota_requests_used` integer DEFAULT 0,`quota_reset_at` datetime,`created_at` datetime,`updated_at` datetime,PRIMARY KEY (`id`))"#,
        #"CREATE UNIQUE INDEX `idx_users_email` ON `users`(`email`)"#,
        #"CREATE TABLE `api_keys` (`id` uuid,`user_id` uuid NOT NULL,`name` text NOT NULL,`key_hash` text NOT NULL,`key_bcrypt` text NOT NULL,`key_preview` text NOT NULL,`permissions` text DEFAULT "read,write",`rate_limit` integer DEFAULT 60,`usage_count` integer DEFAULT 0,`active` numeric DEFAULT true,`expires_at` datetime,`revoked_at` datetime,`last_used_at` datetime,`created_at` datetime,`updated_at` datetime,PRIMARY KEY (`id`),CONSTRAINT `fk_users_api_keys` FOREIGN KEY (`user_id`) REFERENCES `users`(`id`))"#,
        #"CREATE UNIQUE INDEX `idx_api_keys_key_hash` ON `api_keys`(`key_hash`)"#,
        #"CREATE INDEX `idx_api_keys_user_id` ON `api_keys`(`user_id`)"#,
        #"CREATE TABLE `providers` (`id` uuid,`name` text NOT NULL,`type` text NOT NULL,`status` text NOT NULL DEFAULT "active",`base_url` text NOT NULL,`auth_type` text NOT NULL DEFAULT "api_key",`tier` integer NOT NULL DEFAULT 3,`discovered_at` datetime NOT NULL,`last_verified` datetime,`source` text,`supports_streaming` numeric DEFAULT true,`supports_tools` numeric DEFAULT false,`supports_json` numeric DEFAULT true,`last_health_check` datetime,`health_score` real DEFAULT 1,`avg_latency_ms` integer,`created_at` datetime,`updated_at` datetime,PRIMARY KEY (`id`))"#,
        #"CREATE UNIQUE INDEX `idx_providers_name` ON `providers`(`name`)"#,
        #"CREATE TABLE `models` (`id` uuid,`provider_id` uuid NOT NULL,`name` text NOT NULL,`display_name` text,`modality` text NOT NULL,`context_length` integer,`max_output_tokens` integer,`input_price_per1k` real DEFAULT 0,`output_price_per1k` real DEFAULT 0,`capabilities` JSON,`quality_score` real DEFAULT 0.5,`speed_score` real DEFAULT 0.5,`description` text,`tags` JSON,`created_at` datetime,`updated_at` datetime,PRIMARY KEY (`id`),CONSTRAINT `fk_providers_models` FOREIGN KEY (`provider_id`) REFERENCES `providers`(`id`))"#,
        #"CREATE INDEX `idx_models_modality` ON `models`(`modality`)"#,
        #"CREATE INDEX `idx_models_name` ON `models`(`name`)"#,
        #"CREATE INDEX `idx_models_provider_id` ON `models`(`provider_id`)"#,
        #"CREATE TABLE `accounts` (`id` uuid,`user_id` uuid NOT NULL,`provider_id` uuid NOT NULL,`credentials` JSON NOT NULL,`quota_used` integer DEFAULT 0,`quota_limit` integer,`last_reset` datetime,`active` numeric DEFAULT true,`expires_at` datetime,`created_at` datetime,`updated_at` datetime,PRIMARY KEY (`id`),CONSTRAINT `fk_accounts_provider` FOREIGN KEY (`provider_id`) REFERENCES `providers`(`id`))"#,
        #"CREATE INDEX `idx_accounts_provider_id` ON `accounts`(`provider_id`)"#,
        #"CREATE INDEX `idx_accounts_user_id` ON `accounts`(`user_id`)"#,
        #"CREATE TABLE `rate_limits` (`id` uuid,`provider_id` uuid NOT NULL,`limit_type` text NOT NULL,`limit_value` integer NOT NULL,`reset_interval` integer,`created_at` datetime,`updated_at` datetime,PRIMARY KEY (`id`),CONSTRAINT `fk_providers_rate_limits` FOREIGN KEY (`provider_id`) REFERENCES `providers`(`id`))"#,
        #"CREATE INDEX `idx_rate_limits_provider_id` ON `rate_limits`(`provider_id`)"#,
        #"CREATE TABLE `provider_stats` (`id` uuid,`provider_id` uuid NOT NULL,`timestamp` datetime NOT NULL,`success_rate` real,`avg_latency_ms` integer,`total_requests` integer,`total_tokens` integer,`cost_saved` real,`error_count` integer,`timeout_count` integer,`quota_exhausted` integer,`created_at` datetime,PRIMARY KEY (`id`),CONSTRAINT `fk_provider_stats_provider` FOREIGN KEY (`provider_id`) REFERENCES `providers`(`id`))"#,
        #"CREATE INDEX `idx_provider_stats_timestamp` ON `provider_stats`(`timestamp`)"#,
        #"CREATE INDEX `idx_provider_stats_provider_id` ON `provider_stats`(`provider_id`)"#,
        #"CREATE TABLE `request_logs` (`id` uuid,`provider_id` uuid NOT NULL,`model_id` uuid,`user_id` uuid,`method` text,`endpoint` text,`status_code` integer,`latency_ms` integer,`input_tokens` integer,`output_tokens` integer,`success` numeric,`error_message` text,`estimated_cost` real,`timestamp` datetime NOT NULL,`created_at` datetime,PRIMARY KEY (`id`))"#,
        #"CREATE INDEX `idx_request_logs_timestamp` ON `request_logs`(`timestamp`)"#,
        #"CREATE INDEX `idx_request_logs_user_id` ON `request_logs`(`user_id`)"#,
        #"CREATE INDEX `idx_request_logs_model_id` ON `request_logs`(`model_id`)"#,
        #"CREATE INDEX `idx_request_logs_provider_id` ON `request_logs`(`provider_id`)"#,
    ]
}
