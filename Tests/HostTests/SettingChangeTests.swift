import Testing

@testable import Host

@Suite struct SettingChangeTests {
    @Test func differencesAreNamedWithBothValues() {
        var other = Settings()
        other.websocket.maxClients = 2000
        other.server.port = 9000
        other.websocket.heartbeatInterval = .seconds(60)
        other.server.allowedOrigins = ["https://a.example"]
        let changes = Settings().changes(to: other)
        #expect(
            changes.map(\.text) == [
                "server.port: 8080 -> 9000", #"server.allowed_origins: [] -> ["https://a.example"]"#, "websocket.max_clients: 1000 -> 2000",
                "websocket.heartbeat_interval: 30s -> 1m",
            ])
        #expect(changes.map(\.needsRestart) == [true, false, false, false])
        #expect(Settings().changes(to: Settings()).isEmpty)
    }

    @Test func secretsAreNotShown() {
        var other = Settings()
        other.auth.jwtSecret = "canary"
        #expect(Settings().changes(to: other).map(\.text) == ["auth.jwt_secret"])
    }

    @Test func whatNeedsARestartStays() {
        var other = Settings()
        other.websocket.maxClients = 2000
        for setting in Setting.all where setting.needsRestart {
            if case .integer(let value) = setting.read(other) { setting.write(&other, .integer(value + 1)) }
        }
        other.server.host = ["127.0.0.2"]
        let mixed = other.keepingWhatNeedsRestart(of: Settings())
        #expect(mixed.changes(to: Settings()).map(\.key) == ["websocket.max_clients"])
    }
}
